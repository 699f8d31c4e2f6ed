"""Studies: made, optimized, asked and told, remembered."""

import threading

import kilter
import pytest
from kilter import TrialState


def quadratic(trial):
    x = trial.suggest_float("x", -10, 10)
    y = trial.suggest_int("y", 0, 5)
    return (x - 2) ** 2 + y


def test_optimize_finds_better_than_it_began_with():
    study = kilter.create_study(seed=3)
    study.optimize(quadratic, n_trials=60)
    assert len(study.trials) == 60
    assert [trial.number for trial in study.trials] == list(range(60))
    assert study.best_value == min(trial.value for trial in study.trials)
    assert study.best_value < study.trials[0].value
    assert study.best_params == study.best_trial.params
    assert (study.best_params["x"] - 2) ** 2 + study.best_params["y"] == study.best_value
    # A tenth of the range around the optimum is what chance needs many more trials for in two dimensions.
    assert study.best_value < 1.5


def test_maximize_takes_the_largest():
    study = kilter.create_study(direction="maximize", sampler="random")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=10)
    assert study.best_value == max(trial.value for trial in study.trials)
    assert study.direction == "maximize"


def test_the_same_seed_gives_the_same_trials():
    def trials(seed):
        study = kilter.create_study(seed=seed)
        study.optimize(quadratic, n_trials=25)
        return [trial.params for trial in study.trials]

    assert trials(7) == trials(7)
    assert trials(7) != trials(8)


def test_python_proposes_what_the_command_line_proposes(storage, script, tmp_path):
    import json
    import subprocess

    from kilter.__main__ import binary

    study = kilter.create_study(
        name="python", storage=storage, seed=5, sampler="tpe", space={"x": "-10..10", "layers": "int:1..8"}, metrics=["loss"]
    )
    study.optimize(lambda trial: (trial.params["x"] - 2) ** 2 + trial.params["layers"], n_trials=20)
    command = "import sys; print('loss=' + repr((float(sys.argv[1]) - 2) ** 2 + int(sys.argv[2])))"
    words = [binary(), "tune", "--study", "line", "--storage", storage, "--seed", "5", "--sampler", "tpe"]
    words += ["--param", "x=-10..10", "--param", "layers=int:1..8", "--trials", "20", "--minimize=loss", "--quiet"]
    words += ["--metric", "loss=loss=(.*)", "--", "python3", "-c", command, "{x}", "{layers}"]
    subprocess.run(words, check=True, cwd=tmp_path, capture_output=True)
    told = subprocess.run(
        [binary(), "trials", "line", "--storage", storage, "--json"], check=True, capture_output=True, text=True
    )
    line = [trial["params"] for trial in json.loads(told.stdout)["trials"]]
    assert [trial.params for trial in study.trials] == line


def test_questions_are_define_by_run():
    def objective(trial):
        depth = trial.suggest_int("depth", 1, 3)
        return sum(trial.suggest_float(f"width{layer}", 0, 1) for layer in range(depth))

    study = kilter.create_study(seed=1)
    study.optimize(objective, n_trials=20)
    for trial in study.trials:
        assert set(trial.params) == {"depth"} | {f"width{layer}" for layer in range(trial.params["depth"])}
    assert set(study.space) == {"depth", "width0", "width1", "width2"}


def test_every_kind_of_question():
    seen = {}

    def objective(trial):
        seen["log"] = trial.suggest_float("log", 1e-5, 1e-1, log=True)
        seen["step"] = trial.suggest_float("step", 0.0, 1.0, step=0.25)
        seen["int"] = trial.suggest_int("int", 2, 10, step=4)
        seen["int_log"] = trial.suggest_int("int_log", 1, 1024, log=True)
        seen["choice"] = trial.suggest_categorical("choice", [None, True, 1, 1.5, "a", (64, 64)])
        seen["one"] = trial.suggest_float("one", 3.0, 3.0)
        seen["one_int"] = trial.suggest_int("one_int", 3, 3)
        seen["single"] = trial.suggest_categorical("single", ["only"])
        assert trial.suggest_float("log", 1e-5, 1e-1, log=True) == seen["log"]
        return 0.0

    study = kilter.create_study(sampler="random")
    # One of six choices is missed by a hundred draws once in ten million times.
    for _ in range(100):
        study.optimize(objective, n_trials=1)
        assert 1e-5 <= seen["log"] <= 1e-1
        assert seen["step"] in (0.0, 0.25, 0.5, 0.75, 1.0)
        assert seen["int"] in (2, 6, 10) and isinstance(seen["int"], int)
        assert 1 <= seen["int_log"] <= 1024
        assert seen["choice"] in [None, True, 1, 1.5, "a", (64, 64)]
        assert (seen["one"], seen["one_int"], seen["single"]) == (3.0, 3, "only")
        assert study.trials[-1].params == seen
    assert len({repr(trial.params["choice"]) for trial in study.trials}) == 6


def test_several_directions_have_a_front():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        return x, 1 - x + trial.suggest_float("waste", 0, 1)

    study = kilter.create_study(directions=["minimize", "minimize"], metrics=["cost", "error"])
    study.optimize(objective, n_trials=30)
    front = study.best_trials
    assert front
    for trial in front:
        better = [o for o in study.trials if all(a <= b for a, b in zip(o.values, trial.values)) and o.values != trial.values]
        assert not better
    assert study.trials[0].metrics.keys() == {"cost", "error"}
    with pytest.raises(kilter.StudyError, match="best_trials"):
        study.best_trial
    with pytest.raises(kilter.StudyError, match="values"):
        study.trials[0].value


def test_a_dict_names_metrics_and_requirements_hold():
    study = kilter.create_study(metrics=["loss"], require=["latency <= 0.5"])
    study.optimize(
        lambda trial: {"loss": trial.suggest_float("x", 0, 1), "latency": 1 - trial.params["x"]}, n_trials=40
    )
    assert study.best_trial.metrics["latency"] <= 0.5
    assert any(not trial.feasible for trial in study.trials)


def test_a_declared_space_is_answered_at_once():
    space = kilter.Space({"a": kilter.Float(0, 1), "b": kilter.Int(1, 4)}, constraints=["a < 0.5 or b > 2"])
    study = kilter.create_study(space=space)

    def objective(trial):
        assert set(trial.params) == {"a", "b"}
        assert trial.params["a"] < 0.5 or trial.params["b"] > 2
        return trial.params["a"]

    study.optimize(objective, n_trials=20)
    assert study.space == space


def test_grid_ends_by_itself(capfd):
    study = kilter.create_study(sampler="exhaustive", space={"a": "1|2|3", "b": "true|false"})
    study.optimize(lambda trial: trial.params["a"])
    assert len(study.trials) == 6
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 6
    assert "the study has ended" in capfd.readouterr().err


def test_ask_and_tell():
    study = kilter.create_study()
    trial = study.ask()
    assert study.trials[0].state is TrialState.RUNNING
    x = trial.suggest_float("x", 0, 1)
    told = study.tell(trial, x)
    assert told.state is TrialState.COMPLETE and told.params == {"x": x} and told.value == x
    second = study.ask()
    assert study.tell(second.number, state=TrialState.FAILED).state is TrialState.FAILED
    third = study.ask()
    third.report(0.5, 3)
    assert study.tell(third, state=TrialState.PRUNED).value == 0.5
    with pytest.raises(kilter.StudyError, match="has ended"):
        study.tell(trial, 1.0)
    assert study.tell(trial, 1.0, skip_if_finished=True).value == x
    with pytest.raises(kilter.ArgumentError, match="tell was given 2 values"):
        study.tell(study.ask(), [1.0, 2.0])


def test_another_process_tells(storage, script):
    study = kilter.create_study(name="shared", storage=storage)
    trial = study.ask()
    x = trial.suggest_float("x", 0, 1)
    # What was asked is stored when somebody needs it, at the latest with the end.
    script(
        """
        import sys, kilter
        study = kilter.load_study("shared", storage=sys.argv[1])
        study.tell(int(sys.argv[2]), float(sys.argv[3]))
        """,
        storage,
        trial.number,
        x,
    )
    assert study.best_value == x


def test_reports_and_pruning():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        for step in range(10):
            trial.report(x + 1 / (step + 1), step)
            if trial.should_prune():
                raise kilter.TrialPruned()
        return x

    study = kilter.create_study(pruner=kilter.pruner("median", n_startup_trials=3), sampler="random")
    study.optimize(objective, n_trials=30)
    pruned = study.get_trials(states=[TrialState.PRUNED])
    assert pruned and len(pruned) < 27
    for trial in pruned:
        assert trial.why and "median" in trial.why
        assert trial.value == trial.intermediate_values[trial.last_step]
        assert trial.last_step < 9
    assert all(len(trial.intermediate_values) == 10 for trial in study.get_trials(states=[TrialState.COMPLETE]))


def test_enqueued_trials_run_first():
    study = kilter.create_study()
    study.enqueue_trial({"x": 4.5, "y": 2}, user_attrs={"from": "me"})
    study.enqueue_trial({"x": 4.5, "y": 2}, skip_if_exists=True)
    assert len(study.trials) == 1 and study.trials[0].state is TrialState.WAITING
    study.optimize(quadratic, n_trials=2)
    assert study.trials[0].params == {"x": 4.5, "y": 2}
    assert study.trials[0].user_attrs == {"from": "me"}
    assert study.trials[0].value == 2.5**2 + 2


def test_trials_of_another_study_are_added():
    old = kilter.create_study(seed=1)
    old.optimize(quadratic, n_trials=10)
    new = kilter.create_study(seed=2)
    new.add_trials(old.trials)
    assert [(t.params, t.value) for t in new.trials] == [(t.params, t.value) for t in old.trials]
    assert new.best_value == old.best_value
    new.optimize(quadratic, n_trials=5)
    assert len(new.trials) == 15


def test_attributes():
    study = kilter.create_study()
    study.set_user_attr("data", {"rows": [1, 2.5, "x", None]})
    assert study.user_attrs == {"data": {"rows": [1, 2.5, "x", None]}}

    def objective(trial):
        trial.set_user_attr("seed", 3)
        assert trial.user_attrs == {"seed": 3}
        return 1.0

    study.optimize(objective, n_trials=1)
    assert study.trials[0].user_attrs == {"seed": 3}
    with pytest.raises(TypeError, match="cannot be stored"):
        study.set_user_attr("f", lambda: 0)


def test_callbacks_see_each_trial_and_can_stop():
    seen = []

    def callback(study, trial):
        seen.append((trial.number, trial.state, study.best_value))
        if trial.number == 4:
            study.stop()

    study = kilter.create_study()
    study.optimize(quadratic, n_trials=100, callbacks=[callback])
    assert [number for number, _, _ in seen] == [0, 1, 2, 3, 4]
    assert all(state is TrialState.COMPLETE for _, state, _ in seen)
    with pytest.raises(kilter.StudyError, match="callback"):
        study.stop()


def test_timeout_ends_it():
    study = kilter.create_study()
    study.optimize(lambda trial: 0.0, timeout=0.0)
    assert study.trials == []
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), timeout=0.2)
    assert study.trials


@pytest.mark.parametrize("where", ["memory", "file"])
def test_many_threads(where, storage):
    study = kilter.create_study(storage=storage if where == "file" else None)
    threads = set()

    def objective(trial):
        threads.add(threading.get_ident())
        return quadratic(trial)

    study.optimize(objective, n_trials=40, n_jobs=4)
    assert len(study.trials) == 40
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)
    assert sorted(trial.number for trial in study.trials) == list(range(40))
    assert 1 <= len(threads) <= 4


def test_studies_in_a_file(storage):
    first = kilter.create_study(storage=storage)
    kilter.create_study(storage=storage, name="other", direction="maximize")
    first.optimize(quadratic, n_trials=3)
    assert kilter.get_all_study_names(storage) == ["study", "other"]
    summaries = kilter.get_all_study_summaries(storage)
    assert [summary.n_trials for summary in summaries] == [3, 0]
    assert summaries[0].best_trial.value == first.best_value
    assert kilter.load_study(storage=storage).name == "other"
    again = kilter.create_study(storage=storage, name="study", load_if_exists=True)
    assert again.trials == first.trials
    with pytest.raises(kilter.DuplicatedStudyError, match="load_if_exists"):
        kilter.create_study(storage=storage, name="study")
    kilter.delete_study("other", storage=storage)
    assert kilter.get_all_study_names(storage) == ["study"]
    with pytest.raises(kilter.UnknownStudyError, match="did you mean `study`"):
        kilter.load_study("stdy", storage=storage)


def test_a_resumed_study_equals_an_uninterrupted_one(storage, tmp_path):
    whole = kilter.create_study(storage=f"sqlite:{tmp_path}/whole.db", seed=4)
    whole.optimize(quadratic, n_trials=24)
    kilter.create_study(storage=storage, seed=4)
    for _ in range(4):
        kilter.load_study(storage=storage).optimize(quadratic, n_trials=6)
    parts = kilter.load_study(storage=storage)
    assert [trial.params for trial in parts.trials] == [trial.params for trial in whole.trials]


def test_all_samplers_and_pruners_by_name():
    for name, about, _ in kilter.samplers():
        assert about
        study = kilter.create_study(sampler=kilter.sampler(name), space={"a": "1|2", "b": "0..1/0.5"})
        study.optimize(lambda trial: trial.params["b"], n_trials=3)
        assert len(study.trials) == 3, name
    for name, about, _ in kilter.pruners():
        assert about
        study = kilter.create_study(pruner=kilter.pruner(name))
        study.optimize(lambda trial: trial.report(1.0, 0) or 1.0, n_trials=3)
        assert len(study.trials) == 3, name


def test_a_progress_bar_says_how_far_it_is(capfd):
    study = kilter.create_study()
    study.optimize(quadratic, n_trials=3, show_progress_bar=True)
    said = capfd.readouterr().err
    assert "3/3 trials" in said and "best" in said
