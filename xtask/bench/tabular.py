"""scikit-learn's side of `cargo xtask bench tabular`: answers each line of JSON with one."""

import json
import sys
import time
import warnings

import numpy as np
import sklearn
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

warnings.simplefilter("ignore")

x, y = load_breast_cancer(return_X_y=True)
y = 1 - y  # malignant is 1
scaled = StandardScaler().fit_transform(x)


# Tolerances that stop at kilter's default, a violation of optimality of 1e-6 in the summed loss. For lbfgs that is the
# gradient of the mean; for liblinear the relation has no closed form: 1e-8 leaves 2e-6 on this table.
AS_EXACT = {"l2": 1e-6 / len(y), "l1": 1e-8}


def l2(**how):
    return LogisticRegression(C=1.0, **how).fit(scaled, y)


def l1(**how):
    # liblinear is the fast solver for L1 here. It charges the intercept too, so its optimum is slightly another.
    return LogisticRegression(C=1.0, l1_ratio=1.0, solver="liblinear", random_state=0, **how).fit(scaled, y)


def exact_l2():
    return l2(tol=AS_EXACT["l2"], max_iter=10_000)


def exact_l1():
    return l1(tol=AS_EXACT["l1"], max_iter=10_000)


def objective(model, penalty):
    margin = (2 * y - 1) * model.decision_function(scaled)
    return float(np.logaddexp(0.0, -margin).sum() + penalty(model.coef_))


def forest(seed):
    return RandomForestClassifier(100, n_jobs=1, random_state=seed).fit(x, y)


def boosting(_):
    return HistGradientBoostingClassifier(early_stopping=False).fit(x, y)


grown = forest(0)
boosted = boosting(0)
neighbours = KNeighborsClassifier(5).fit(scaled, y)
WORK = {
    "forest of 100 trees: fit": forest,
    "forest of 100 trees: predict 569 rows": lambda _: grown.predict_proba(x),
    "boosting of 100 rounds: fit": boosting,
    "boosting of 100 rounds: predict 569 rows": lambda _: boosted.predict_proba(x),
    "5 neighbours: predict 569 rows": lambda _: neighbours.predict_proba(scaled),
    "tree: fit": lambda seed: DecisionTreeClassifier(random_state=seed).fit(x, y),
    "logistic L2: fit as exactly": lambda _: exact_l2(),
    "logistic L2: fit at each side's default tolerance": lambda _: l2(),
    "logistic L1: fit as exactly": lambda _: exact_l1(),
    "logistic L1: fit at each side's default tolerance": lambda _: l1(),
}


def timed(work):
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


print(json.dumps(f"scikit-learn {sklearn.__version__}"), flush=True)
for seed, line in enumerate(sys.stdin):
    order = json.loads(line)
    if order["do"] == "results":
        square, absolute = lambda w: float((w**2).sum() / 2), lambda w: float(np.abs(w).sum())
        answer = {
            "leaves": DecisionTreeClassifier(random_state=0).fit(x, y).get_n_leaves().item(),
            "forest_leaves": float(np.mean([tree.get_n_leaves() for tree in grown.estimators_])),
            "l2": objective(exact_l2(), square),
            "l2_default": objective(l2(), square),
            "l1": objective(exact_l1(), absolute),
            "l1_default": objective(l1(), absolute),
        }
    else:
        answer = timed(lambda: WORK[order["do"]](seed))
    print(json.dumps(answer), flush=True)
