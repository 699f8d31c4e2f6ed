"""What users get wrong, and what they are told."""

import sqlite3
import threading

import kilter
import pytest
from kilter import TrialState


class Odd(Exception):
    """Raised by objectives here."""


def test_a_function_that_raises_fails_its_trial_and_the_exception_goes_on():
    study = kilter.create_study()

    def objective(trial):
        trial.suggest_float("x", 0, 1)
        raise Odd("no luck")

    with pytest.raises(Odd, match="no luck"):
        study.optimize(objective, n_trials=5)
    (trial,) = study.trials
    assert trial.state is TrialState.FAILED
    assert trial.why == "Odd: no luck"
    kind, message, tail = trial.failure
    assert kind == "raised" and "no luck" in message and "raise Odd" in tail
    assert set(trial.params) == {"x"}


def test_catch_goes_on():
    study = kilter.create_study()

    def objective(trial):
        if trial.number % 2:
            raise Odd("every second")
        return trial.suggest_float("x", 0, 1)

    study.optimize(objective, n_trials=6, catch=Odd)
    assert [trial.state.value for trial in study.trials] == ["complete", "failed"] * 3
    study.optimize(objective, n_trials=2, catch=(KeyError, Odd))


def test_an_exception_in_one_thread_ends_all():
    study = kilter.create_study()

    def objective(trial):
        trial.suggest_float("x", 0, 1)
        if trial.number == 5:
            raise Odd("in a thread")
        return 1.0

    with pytest.raises(Odd, match="in a thread"):
        study.optimize(objective, n_trials=200, n_jobs=3)
    assert study.trial(5).state is TrialState.FAILED
    assert len(study.trials) < 200
    assert not [trial for trial in study.trials if trial.state is TrialState.RUNNING]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "returned None"),
        (float("nan"), "NaN"),
        (float("inf"), "inf"),
        (1j, "complex"),
        ("0.5", "a text"),
        ([1.0, 2.0], "returned 2 values"),
        ([], "returned 0 values"),
        (object(), "object"),
        ({"other": 1.0}, "without 'value'"),
    ],
)
def test_a_function_that_returns_no_number_fails_its_trial(result, said):
    study = kilter.create_study()
    study.optimize(lambda trial: result, n_trials=1)
    (trial,) = study.trials
    assert trial.state is TrialState.FAILED
    assert said in trial.why
    assert trial.values is None


@pytest.mark.parametrize("result", [1.0, (1.0,), (1.0, 2.0, 3.0), (1.0, None), (1.0, 1j), None, (1.0, float("nan"))])
def test_several_directions_want_as_many_values(result):
    study = kilter.create_study(directions=["minimize", "maximize"])
    study.optimize(lambda trial: result, n_trials=1)
    assert study.trials[0].state is TrialState.FAILED
    assert study.trials[0].why


def test_numpy_values_count_as_numbers():
    import numpy

    study = kilter.create_study()

    def objective(trial):
        choice = trial.suggest_categorical("c", [numpy.int64(1), numpy.float32(0.5), numpy.bool_(True)])
        assert isinstance(choice, numpy.generic)
        return numpy.float32(trial.suggest_float("x", numpy.float64(0), numpy.int32(1)))

    study.optimize(objective, n_trials=10)
    assert len(study.get_trials(states=[TrialState.COMPLETE])) == 10
    assert {type(trial.params["c"]) for trial in study.trials} <= {int, float, bool}
    study.optimize(lambda trial: numpy.array([1.0, 2.0]), n_trials=1)
    assert study.trials[-1].state is TrialState.FAILED


def test_a_name_asked_with_another_domain_is_refused():
    study = kilter.create_study()

    def objective(trial):
        trial.suggest_float("x", 0, 1)
        return trial.suggest_float("x", 0, 2)

    with pytest.raises(kilter.SpaceError, match="`x` was asked as 0.0..1.0 and now as 0.0..2.0"):
        study.optimize(objective, n_trials=1)
    with pytest.raises(ValueError, match="one name has one domain"):
        study.optimize(lambda trial: trial.suggest_float("y", 0, 1) + trial.suggest_int("y", 0, 1), n_trials=1)


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (lambda t: t.suggest_float("x", 1, 0), kilter.SpaceError, "did you swap them"),
        (lambda t: t.suggest_float("x", 0, float("inf")), kilter.SpaceError, "finite"),
        (lambda t: t.suggest_float("x", float("nan"), 1), kilter.SpaceError, "finite"),
        (lambda t: t.suggest_float("x", 0, 1, log=True), kilter.SpaceError, "above 0"),
        (lambda t: t.suggest_float("x", 1, 2, log=True, step=0.1), kilter.SpaceError, "log and a step"),
        (lambda t: t.suggest_float("x", 0, 1, step=-1), kilter.SpaceError, "positive"),
        (lambda t: t.suggest_float("x", "a", 1), TypeError, "no number"),
        (lambda t: t.suggest_int("x", 0.5, 1), ValueError, "no whole number"),
        (lambda t: t.suggest_int("x", 1, 9, step=0), kilter.SpaceError, "step"),
        (lambda t: t.suggest_int("x", 0, 2**70), OverflowError, "too large|int too big|convert"),
        (lambda t: t.suggest_categorical("x", []), kilter.SpaceError, "at least one"),
        (lambda t: t.suggest_categorical("x", [1, 1]), kilter.SpaceError, "twice"),
        (lambda t: t.suggest_categorical("x", [float("nan")]), TypeError, "finite"),
        (lambda t: t.suggest_categorical("x", [object()]), TypeError, "cannot be the value"),
        (lambda t: t.suggest_categorical("x", [lambda: 0]), TypeError, "function"),
        (lambda t: t.suggest_float("a-b", 0, 1), kilter.SpaceError, "a_b"),
        (lambda t: t.suggest_float("", 0, 1), kilter.SpaceError, "needs a name"),
        (lambda t: t.report("a", 0), TypeError, "no number"),
        (lambda t: t.report(1j, 0), TypeError, "complex"),
        (lambda t: t.report(1.0, -1), ValueError, "below 0"),
        (lambda t: t.report(1.0, "a"), TypeError, "step"),
    ],
)
def test_questions_that_cannot_be(ask, error, said):
    study = kilter.create_study()
    with pytest.raises(error, match=said):
        study.optimize(ask, n_trials=1)
    # The study is none the worse for it.
    study.optimize(lambda trial: trial.suggest_float("fine", 0, 1), n_trials=1)
    assert study.trials[-1].state is TrialState.COMPLETE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"direction": "up"}, "write \"minimize\" or \"maximize\""),
        ({"direction": "minimize", "directions": ["minimize"]}, "one of them"),
        ({"directions": []}, "empty"),
        ({"directions": "minimize"}, "a list"),
        ({"directions": ["minimize"], "metrics": ["a", "b"]}, "2 metrics but 1"),
        ({"directions": ["minimize"] * 2, "metrics": ["a", "a"]}, "named twice"),
        ({"metrics": ["a b"]}, "metric"),
        ({"sampler": "tpee"}, "did you mean `tpe`"),
        ({"sampler": "tpe:startupp=3"}, "startup"),
        ({"pruner": "medan"}, "did you mean `median`"),
        ({"seed": -1}, "whole number"),
        ({"seed": "a"}, "whole number"),
        ({"name": ""}, "line of text"),
        ({"name": "a\nb"}, "line of text"),
        ({"require": ["a <"]}, "a <"),
        ({"storage": "mysql://x"}, "is not known here"),
        ({"space": {"x": "1.."}}, "x"),
        ({"space": {"x": kilter.Float(1, 0)}}, "swap"),
    ],
)
def test_studies_that_cannot_be(arguments, said):
    with pytest.raises((kilter.KilterError, ValueError), match=said):
        kilter.create_study(**arguments)


@pytest.mark.parametrize("arguments", [{"n_trials": -1}, {"n_trials": 1.5}, {"n_jobs": 0}, {"n_jobs": 1.5}])
def test_calls_that_cannot_be(arguments):
    with pytest.raises(ValueError, match="write a whole number"):
        kilter.create_study().optimize(lambda trial: 0.0, **arguments)
    with pytest.raises(ValueError, match="cannot be called"):
        kilter.create_study().optimize(3, n_trials=1)


def test_nothing_is_best_before_anything_is_complete():
    study = kilter.create_study()
    with pytest.raises(kilter.StudyError, match="no trial is complete yet"):
        study.best_params
    with pytest.raises(kilter.StudyError, match="no trial 3"):
        study.trial(3)


def test_a_study_is_not_optimized_twice_at_once():
    study = kilter.create_study()

    def objective(trial):
        with pytest.raises(kilter.StudyError, match="optimized already"):
            study.optimize(lambda trial: 0.0, n_trials=1)
        return 1.0

    study.optimize(objective, n_trials=1)
    assert len(study.trials) == 1


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_study_opened_in_two_threads(where, storage):
    one = kilter.create_study(name="both", storage=storage if where == "file" else None)
    errors = []

    def work(study):
        try:
            for _ in range(20):
                trial = study.ask()
                study.tell(trial, trial.suggest_float("x", 0, 1))
        except BaseException as error:  # what a thread raises nobody sees
            errors.append(error)

    # In a file, the same study is opened a second time; in memory, both threads hold the one.
    two = kilter.load_study("both", storage=storage) if where == "file" else one
    threads = [threading.Thread(target=work, args=(study,)) for study in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(one.trials) == 40 and one.trials == two.trials


def test_a_database_of_a_newer_version(tmp_path, storage):
    kilter.create_study(storage=storage)
    path = tmp_path / "kilter.db"
    with sqlite3.connect(path) as file:
        (version,) = file.execute("PRAGMA user_version").fetchone()
        file.execute(f"PRAGMA user_version = {version + 1}")
    file.close()
    with pytest.raises(kilter.StorageError, match="newer kilter"):
        kilter.load_study(storage=storage)


def test_files_that_are_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes, which nobody may overwrite " * 50)
    before = path.read_bytes()
    with pytest.raises(kilter.StorageError, match="not a kilter database"):
        kilter.create_study(storage=f"sqlite:{path}")
    assert path.read_bytes() == before
    with pytest.raises(kilter.StorageError, match="there is no"):
        kilter.load_study(storage=f"sqlite:{tmp_path}/none.db")
    with pytest.raises(kilter.StorageError):
        kilter.create_study(storage=f"sqlite:{tmp_path}/no/such/folder/x.db")


def test_enqueued_configurations_that_do_not_fit():
    study = kilter.create_study(space={"x": "0..1", "y": "int:1..3"})
    with pytest.raises(kilter.SpaceError, match="did you mean"):
        study.enqueue_trial({"x": 0.5, "yy": 2})
    with pytest.raises(kilter.SpaceError, match="outside"):
        study.enqueue_trial({"x": 2.0, "y": 2})
    with pytest.raises(kilter.SpaceError, match="without a value"):
        study.enqueue_trial({"x": 0.5})
    assert study.trials == []
