"""kilter's samplers in Optuna's studies."""

import doctest
import pickle

import kilter.optuna
import optuna
import pytest
from kilter.optuna import KilterSampler

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial):
    x = trial.suggest_float("x", -10, 10)
    n = trial.suggest_int("n", 1, 9, step=2)
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    if kind == "b":
        x += trial.suggest_float("shift", 1e-3, 1.0, log=True)
    return (x - 2) ** 2 + n + (kind == "a")


def test_the_examples_run():
    assert doctest.testmod(kilter.optuna).failed == 0


def test_it_finds_better_than_chance():
    study = optuna.create_study(sampler=KilterSampler("tpe", seed=3))
    study.optimize(objective, n_trials=80)
    chance = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    chance.optimize(objective, n_trials=80)
    assert len(study.trials) == 80
    half = sorted(trial.value for trial in study.trials[40:])
    # The median of what it proposes once it has learnt, against the median of chance.
    assert half[20] < sorted(trial.value for trial in chance.trials)[40]


def test_the_same_seed_gives_the_same_trials_also_after_a_pickle():
    def trials(stop):
        study = optuna.create_study(sampler=KilterSampler("tpe", seed=5))
        study.optimize(objective, n_trials=stop)
        return study

    whole = trials(20)
    parts = pickle.loads(pickle.dumps(trials(12)))
    assert isinstance(parts.sampler, KilterSampler)
    parts.optimize(objective, n_trials=8)
    assert [trial.params for trial in parts.trials] == [trial.params for trial in whole.trials]


@pytest.mark.parametrize("name", ["random", "tpe", "auto"])
def test_threads_pruning_and_failures(name):
    def hard(trial):
        x = trial.suggest_float("x", 0, 1)
        for step in range(5):
            trial.report(x, step)
            if trial.should_prune():
                raise optuna.TrialPruned()
        if trial.number == 7:
            raise ValueError
        return x

    pruner = optuna.pruners.MedianPruner(n_startup_trials=3)
    study = optuna.create_study(sampler=KilterSampler(name, seed=1), pruner=pruner)
    study.optimize(hard, n_trials=40, n_jobs=3, catch=ValueError)
    states = {trial.state.name for trial in study.trials}
    assert len(study.trials) == 40 and "PRUNED" in states and "COMPLETE" in states


def test_trials_of_others_are_learnt_from(tmp_path):
    storage = f"sqlite:///{tmp_path}/optuna.db"
    study = optuna.create_study(storage=storage, study_name="s", sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=15)
    study.enqueue_trial({"x": 2.0, "n": 1, "kind": None})
    sampler = KilterSampler("tpe", seed=2)
    again = optuna.load_study(storage=storage, study_name="s", sampler=sampler)
    again.optimize(objective, n_trials=10)
    assert len(again.trials) == 25 and again.best_value == 1.0
    assert sum(dict(sampler._core.counts()).values()) == 25


def test_several_directions():
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=KilterSampler(seed=1))
    study.optimize(lambda t: (t.suggest_float("x", 0, 1), t.suggest_float("y", 0, 1)), n_trials=25)
    assert study.best_trials


def test_names_and_choices_that_kilter_would_not_take():
    kinds = [(1, 2), 1.5, float("nan")]

    def odd(trial):
        trial.suggest_categorical("layer sizes", kinds)
        return trial.suggest_float("max", 0, 1) + trial.suggest_float("a-b", 0, 1)

    study = optuna.create_study(sampler=KilterSampler("tpe", seed=1))
    study.optimize(odd, n_trials=25)
    assert {repr(trial.params["layer sizes"]) for trial in study.trials} <= {repr(kind) for kind in kinds}


def test_wrong_names():
    with pytest.raises(ValueError, match="did you mean `tpe`"):
        KilterSampler("tpee")
