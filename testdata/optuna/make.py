"""Makes a small Optuna database for the tests of `kilter import`: python3 make.py FILE

Run with Optuna 5.0.0 it made optuna-5.db, with Optuna 2.10.1 (and SQLAlchemy 1.4) optuna-2.db.
"""

import math
import sys

import optuna
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)
NEW = int(optuna.__version__.split(".")[0]) >= 3
storage = f"sqlite:///{sys.argv[1]}"


def train(trial):
    optimizer = trial.suggest_categorical("optimizer", ["adam", "sgd", None])
    if NEW:
        rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
        dropout = trial.suggest_float("dropout", 0.0, 0.5, step=0.1)
        layers = trial.suggest_int("layers", 1, 8)
        width = trial.suggest_int("width", 16, 256, log=True)
        batch = trial.suggest_int("batch", 8, 64, step=8)
        shift = trial.suggest_float("shift", -1.0, 1.0)
    else:
        rate = trial.suggest_loguniform("rate", 1e-5, 1e-1)
        dropout = trial.suggest_discrete_uniform("dropout", 0.0, 0.5, 0.1)
        layers = trial.suggest_int("layers", 1, 8)
        width = trial.suggest_int("width", 16, 256, log=True)
        batch = trial.suggest_int("batch", 8, 64, 8)
        shift = trial.suggest_uniform("shift", -1.0, 1.0)
    nesterov = trial.suggest_categorical("nesterov", [True, False])
    if optimizer == "sgd":
        momentum = trial.suggest_float("momentum", 0.0, 0.9)
    else:
        momentum = 0.0
    trial.set_user_attr("note", f"trial {trial.number}")
    trial.set_user_attr("shape", [layers, width])
    loss = (math.log10(rate) + 3) ** 2 + dropout + shift**2 + 1 / layers + momentum / 10 + batch / 100
    for step in range(3):
        trial.report(loss + 3 - step, step)
        if trial.number == 4 and step == 1:
            raise optuna.TrialPruned()
    if trial.number == 5:
        raise ValueError("it did not work")
    return float("inf") if trial.number == 6 else loss + (0.0 if nesterov else 0.5)


study = optuna.create_study(
    storage=storage, study_name="train", sampler=optuna.samplers.RandomSampler(seed=1)
)
study.set_user_attr("team", "vision")
study.optimize(train, n_trials=12, catch=(ValueError,))
# One that runs, with all its answers but no end, and one that was asked only half.
trial = study.ask()
trial.suggest_categorical("optimizer", ["adam", "sgd", None])
study.enqueue_trial({"optimizer": "adam", "rate": 0.01})

several = optuna.create_study(
    storage=storage,
    study_name="several",
    directions=["minimize", "maximize"],
    sampler=optuna.samplers.NSGAIISampler(
        seed=1, population_size=4, constraints_func=lambda trial: (trial.params["x"] - 0.75, -1.0)
    ),
)
if NEW:
    several.set_metric_names(["cost", "gain"])
several.optimize(
    lambda trial: (
        trial.suggest_float("x", 0, 1) ** 2 if NEW else trial.suggest_uniform("x", 0, 1) ** 2,
        trial.params["x"] * trial.suggest_int("k", 1, 3),
    ),
    n_trials=8,
)
optuna.create_study(storage=storage, study_name="empty")
print([trial.state.name for trial in study.trials])
