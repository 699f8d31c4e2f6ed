"""Optuna and scikit-learn's side of `cargo xtask bench diagnosis`: answers each line of JSON with one.

An order {"family", "trials", "seed", "folds": [[train, test], ...], "outer": [train, test]} tunes the family by TPE for the
mean log-loss over the folds, from the defaults on, and scores the best on the outer test rows. The answer tells how many
fits ended at the limit of liblinear, of how many."""

import json
import sys
import time
import warnings

import numpy as np
import optuna
import sklearn
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)

x, y = load_breast_cancer(return_X_y=True)
y = 1 - y  # malignant is 1

# Newton steps of liblinear: its own limit, and scikit-learn's default. Each has up to 1,000 passes of coordinate descent
# within it, so that 10,000 of them (a weak penalty on columns that nearly repeat each other) take hours.
LIMIT = 100


def logistic(trial):
    c = trial.suggest_float("c", 1e-4, 1e4, log=True)
    penalty = trial.suggest_categorical("penalty", ["l1", "l2"])
    weight = trial.suggest_categorical("class_weight", ["none", "balanced"])
    how = {"C": c, "class_weight": None if weight == "none" else weight}
    if penalty == "l1":
        model = LogisticRegression(l1_ratio=1.0, solver="liblinear", random_state=0, max_iter=LIMIT, **how)
    else:
        model = LogisticRegression(max_iter=10_000, **how)
    return make_pipeline(StandardScaler(), model)


def forest(trial):
    return RandomForestClassifier(
        trial.suggest_int("trees", 20, 500, log=True),
        max_features=trial.suggest_float("max_features", 0.1, 1.0),
        max_depth=trial.suggest_int("max_depth", 2, 30),
        min_samples_leaf=trial.suggest_int("min_samples_leaf", 1, 10),
        bootstrap=trial.suggest_categorical("bootstrap", [True, False]),
        random_state=0,
        n_jobs=1,
    )


FAMILIES = {
    "logistic-regression": (logistic, {"c": 1.0, "penalty": "l2", "class_weight": "none"}),
    "random-forest": (
        forest,
        {"trees": 100, "max_features": 0.166, "max_depth": 30, "min_samples_leaf": 1, "bootstrap": True},
    ),
}


def tune(order):
    make, defaults = FAMILIES[order["family"]]
    folds = [(np.array(train), np.array(test)) for train, test in order["folds"]]
    fits = {"fits": 0, "at_limit": 0}

    def fitted(trial, train):
        model = make(trial).fit(x[train], y[train])
        last = model[-1] if hasattr(model, "steps") else model
        fits["fits"] += 1
        fits["at_limit"] += getattr(last, "solver", "") == "liblinear" and int(np.max(last.n_iter_)) >= LIMIT
        return model

    def objective(trial):
        losses = []
        for train, test in folds:
            p = fitted(trial, train).predict_proba(x[test])[:, 1]
            losses.append(log_loss(y[test], p))
        return float(np.mean(losses))

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=order["seed"]))
    study.enqueue_trial(defaults)
    study.optimize(objective, n_trials=order["trials"])
    train, test = (np.array(rows) for rows in order["outer"])
    p = fitted(optuna.trial.FixedTrial(study.best_params), train).predict_proba(x[test])[:, 1]
    return {"validation": study.best_value, "auc": roc_auc_score(y[test], p), "log_loss": log_loss(y[test], p)} | fits


print(json.dumps(f"Optuna {optuna.__version__} + scikit-learn {sklearn.__version__}"), flush=True)
for line in sys.stdin:
    cpu, wall = time.process_time(), time.perf_counter()
    answer = tune(json.loads(line))
    answer |= {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps(answer), flush=True)
