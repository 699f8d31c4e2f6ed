"""Optuna's interface over kilter: the same script, one line changed."""

import logging as python_logging
import math
import pickle
import runpy
from pathlib import Path

import kilter.compat.optuna as optuna
import pytest

SCRIPTS = Path(__file__).parent / "scripts"


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_tutorial_scripts_run_with_one_changed_line(path, tmp_path, monkeypatch):
    # The scripts are written for Optuna. What a user changes is the line that imports it.
    text = path.read_text()
    assert text.count("\nimport optuna\n") == 1
    changed = tmp_path / path.name
    changed.write_text(text.replace("\nimport optuna\n", "\nimport kilter.compat.optuna as optuna\n"))
    monkeypatch.chdir(tmp_path)
    study = runpy.run_path(str(changed), run_name="__main__")["study"]
    assert isinstance(study, optuna.Study)
    assert len(study.trials) >= 10
    # The scripts draw without a seed: how many are pruned is chance, but three at least are needed for a median.
    states = [trial.state for trial in study.trials]
    assert set(states) <= {optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED}
    assert states.count(optuna.trial.TrialState.COMPLETE) >= 3
    # As it was, it runs with Optuna.
    assert isinstance(runpy.run_path(str(path), run_name="__main__")["study"], __import__("optuna").Study)


def test_there_are_scripts_of_each_kind():
    names = {path.stem for path in SCRIPTS.glob("*.py")}
    assert {"sklearn_simple", "numpy_mlp_pruning", "lightgbm_simple", "xgboost_simple"} <= names


def objective(trial):
    x = trial.suggest_float("x", -10, 10)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return (x - 2) ** 2 + (kind == "b")


def test_a_study_speaks_optunas_words():
    study = optuna.create_study(study_name="words", direction="minimize", sampler=optuna.samplers.TPESampler(seed=3))
    study.optimize(objective, n_trials=20)
    assert study.direction == optuna.study.StudyDirection.MINIMIZE and study.direction.name == "MINIMIZE"
    assert study.study_name == "words"
    best = study.best_trial
    assert best.state == optuna.trial.TrialState.COMPLETE
    assert best.value == study.best_value and best.params == study.best_params
    assert best.distributions == {
        "x": optuna.distributions.FloatDistribution(-10, 10),
        "kind": optuna.distributions.CategoricalDistribution(("a", "b")),
    }
    assert best.duration.total_seconds() >= 0 and best.datetime_complete >= best.datetime_start
    assert study.trials[3].number == 3
    assert pickle.loads(pickle.dumps(study)).best_params == study.best_params
    assert pickle.loads(pickle.dumps(best)) == best
    # The best of twenty of TPE is better than the worst by far.
    assert best.value < max(trial.value for trial in study.trials)


def test_what_optuna_raises():
    study = optuna.create_study()
    with pytest.raises(ValueError):
        study.best_trial
    with pytest.raises(RuntimeError):
        study.stop()
    with pytest.raises(RuntimeError):
        optuna.create_study(directions=["minimize", "maximize"]).best_trial
    with pytest.raises(ValueError):
        optuna.create_study(direction="up")
    assert issubclass(optuna.TrialPruned, optuna.exceptions.OptunaError)
    for name in ("CmaEsSampler", "GPSampler"):
        with pytest.raises(AttributeError, match="kilter has no"):
            getattr(optuna.samplers, name)
    with pytest.raises(AttributeError, match="kilter has no HyperbandPruner"):
        optuna.pruners.HyperbandPruner


def test_studies_in_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # As SQLAlchemy writes it: three slashes and a relative path.
    study = optuna.create_study(study_name="a", storage="sqlite:///example.db")
    assert (tmp_path / "example.db").exists()
    study.optimize(objective, n_trials=3)
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(study_name="a", storage="sqlite:///example.db")
    again = optuna.create_study(study_name="a", storage=f"sqlite:///{tmp_path}/example.db", load_if_exists=True)
    assert len(again.trials) == 3
    with pytest.raises(KeyError):
        optuna.load_study(study_name="b", storage="sqlite:///example.db")
    storage = optuna.storages.RDBStorage("sqlite:///example.db")
    optuna.copy_study(from_study_name="a", from_storage=storage, to_storage=storage, to_study_name="c")
    assert optuna.get_all_study_names(storage) == ["a", "c"]
    summaries = optuna.get_all_study_summaries(storage)
    assert [(s.study_name, s.n_trials) for s in summaries] == [("a", 3), ("c", 3)]
    assert summaries[0].best_trial.value == study.best_value
    optuna.delete_study(study_name="c", storage=storage)
    assert optuna.get_all_study_names(storage) == ["a"]


def test_memory_is_shared_by_name():
    storage = optuna.storages.InMemoryStorage()
    one = optuna.create_study(study_name="one", storage=storage)
    one.optimize(objective, n_trials=2)
    assert len(optuna.load_study(study_name="one", storage=storage).trials) == 2


def test_ask_and_tell_with_distributions():
    study = optuna.create_study(direction="maximize")
    asked = {
        "x": optuna.distributions.FloatDistribution(0, 1),
        "n": optuna.distributions.IntDistribution(1, 9, step=2),
        "c": optuna.distributions.CategoricalDistribution(["a", None]),
    }
    trial = study.ask(asked)
    assert set(trial.params) == set(asked) and trial.distributions == asked
    assert study.tell(trial, trial.params["x"]).state == optuna.trial.TrialState.COMPLETE
    assert study.tell(study.ask(), state=optuna.trial.TrialState.FAIL).state.name in ("FAIL", "FAILED")


def test_add_trial_enqueue_and_fixed():
    study = optuna.create_study()
    study.add_trial(
        optuna.trial.create_trial(
            params={"x": 2.0, "kind": "a"},
            distributions={
                "x": optuna.distributions.FloatDistribution(-10, 10),
                "kind": optuna.distributions.CategoricalDistribution(["a", "b"]),
            },
            value=0.0,
            intermediate_values={0: 1.0, 1: 0.5},
            user_attrs={"from": "paper"},
        )
    )
    study.enqueue_trial({"x": 1.0, "kind": "b"})
    study.optimize(objective, n_trials=2)
    assert study.best_trial.number == 0 and study.best_trial.intermediate_values == {0: 1.0, 1: 0.5}
    assert study.trials[0].user_attrs == {"from": "paper"}
    assert study.trials[1].params == {"x": 1.0, "kind": "b"} and study.trials[1].value == 2.0
    assert objective(optuna.trial.FixedTrial({"x": 2.0, "kind": "b"})) == 1.0
    with pytest.raises(ValueError):
        optuna.create_trial(params={"x": 1.0}, distributions={}, value=1.0)
    with pytest.raises(ValueError):
        optuna.create_trial(
            params={"x": 11.0}, distributions={"x": optuna.distributions.FloatDistribution(0, 10)}, value=1.0
        )


def test_grid_sampler_tries_everything_once():
    grid = {"x": [-5.0, 0.0, 5.0], "kind": ["a", "b"]}
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(grid))
    study.optimize(objective)
    assert len(study.trials) == 6
    assert {(t.params["x"], t.params["kind"]) for t in study.trials} == {(x, k) for x in grid["x"] for k in grid["kind"]}


def test_random_and_partial_samplers():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=3)
    sampler = optuna.samplers.PartialFixedSampler({"kind": "b"}, optuna.samplers.RandomSampler(seed=1))
    fixed = optuna.create_study(sampler=sampler)
    fixed.optimize(objective, n_trials=8)
    assert {trial.params["kind"] for trial in fixed.trials} == {"b"}


def test_pruning():
    def learning(trial):
        slope = trial.suggest_float("slope", 0, 1)
        for step in range(10):
            trial.report(math.exp(-slope * step), step)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return math.exp(-slope * 10)

    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2))
    study.optimize(learning, n_trials=25)
    pruned = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.PRUNED,))
    assert pruned and all(trial.last_step >= 2 for trial in pruned)
    assert study.pruner.startswith("median")


def test_callbacks_and_max_trials():
    study = optuna.create_study()
    study.optimize(objective, callbacks=[optuna.study.MaxTrialsCallback(7)])
    assert len(study.trials) == 7


def test_several_directions():
    study = optuna.create_study(directions=["minimize", optuna.study.StudyDirection.MAXIMIZE])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)), n_trials=10)
    assert [d.name for d in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.best_trials and all(len(trial.values) == 2 for trial in study.best_trials)


def test_the_table_has_optunas_columns():
    optuna_itself = __import__("optuna")
    optuna_itself.logging.set_verbosity(optuna_itself.logging.WARNING)

    def tagged(trial):
        trial.set_user_attr("tag", trial.number)
        return objective(trial)

    ours, theirs = optuna.create_study(), optuna_itself.create_study()
    for study in (ours, theirs):
        study.optimize(tagged, n_trials=3)
    one, other = ours.trials_dataframe(), theirs.trials_dataframe()
    # Optuna keeps attributes of its own, which nobody else has.
    other = other[[column for column in other.columns if not column.startswith("system_attrs")]]
    assert list(one.columns) == list(other.columns)
    assert list(one["state"]) == list(other["state"]) and list(one["number"]) == [0, 1, 2]
    assert list(one["value"]) == [trial.value for trial in ours.trials]


def test_it_says_what_optuna_says(caplog):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    try:
        with caplog.at_level(python_logging.INFO, logger="kilter"):
            study = optuna.create_study(study_name="said")
            study.optimize(objective, n_trials=1)
    finally:
        optuna.logging.disable_propagation()
    assert "A new study created with name: said" in caplog.text
    assert f"Trial 0 finished with value: {study.best_value} and parameters" in caplog.text


def test_old_words_of_trials():
    study = optuna.create_study()
    study.optimize(
        lambda t: t.suggest_uniform("u", 0, 1) + t.suggest_loguniform("l", 1e-3, 1) + t.suggest_discrete_uniform("d", 0, 1, 0.5),
        n_trials=2,
    )
    assert study.trials[0].params["d"] in (0.0, 0.5, 1.0)


def test_distances_between_choices_are_said_with_the_choice():
    with pytest.raises(ValueError, match=r"Choice\(values, distances=function\)"):
        optuna.samplers.TPESampler(categorical_distance_func={"kind": lambda a, b: float(a != b)})
