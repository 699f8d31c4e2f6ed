"""Makes the tables of `testdata/bench/tables`: `python small_tables.py testdata/bench/tables`, with scikit-learn 1.9.

Every allowed configuration of some learners on scikit-learn's own data is trained once, as for the tables of
`testdata/golden/hpo-tables`. By those of the folder `held-out` nothing was decided: they show how what was chosen elsewhere
carries over.
"""

import itertools
import json
import pathlib
import sys
import warnings

import numpy
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine, make_friedman1
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import ElasticNet, HuberRegressor, LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, QuantileTransformer, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

warnings.simplefilter("ignore")

SCALERS = {
    "none": lambda: None,
    "standard": StandardScaler,
    "minmax": MinMaxScaler,
    "quantile": lambda: QuantileTransformer(n_quantiles=100),
}


def spaced(low, high, count):
    return [float(f"{level:.6g}") for level in numpy.geomspace(low, high, count)]


def ordered(name, levels, **when):
    return {"name": name, "kind": "ordered", "levels": levels, **when}


def choice(name, levels, **when):
    return {"name": name, "kind": "categorical", "levels": levels, **when}


def given(parent, *levels):
    return {"active_if": {"param": parent, "in": list(levels)}}


def halves(x, y, train):
    order = numpy.random.default_rng(0).permutation(len(x))
    return x[order[:train]], y[order[:train]], x[order[train:]], y[order[train:]]


def scaled(scaler, train, valid):
    scaler = SCALERS[scaler]()
    return (train, valid) if scaler is None else (scaler.fit_transform(train), scaler.transform(valid))


def knn_digits():
    """digits (500 train, 600 valid), nearest neighbours, validation error"""
    x, y, vx, vy = halves(*load_digits(return_X_y=True), 500)
    vx, vy = vx[:600], vy[:600]
    parts = {}

    def loss(scaler, components, n_neighbors, weights, metric):
        if (scaler, components) not in parts:
            tx, ux = scaled(scaler, x, vx)
            pca = PCA(components, random_state=0).fit(tx)
            parts[scaler, components] = pca.transform(tx), pca.transform(ux)
        tx, ux = parts[scaler, components]
        model = KNeighborsClassifier(n_neighbors, weights=weights, metric=metric, algorithm="brute").fit(tx, y)
        return 1 - model.score(ux, vy)

    return loss, [
        choice("scaler", list(SCALERS)),
        ordered("components", [2, 4, 6, 9, 13, 19, 28, 40]),
        ordered("n_neighbors", [1, 2, 3, 4, 5, 7, 10, 14, 20, 30]),
        choice("weights", ["uniform", "distance"]),
        choice("metric", ["euclidean", "manhattan", "chebyshev", "cosine"]),
    ]


def sgd_cancer():
    """breast_cancer (280 train, 289 valid), linear model by stochastic gradient descent (conditional), validation error"""
    x, y, vx, vy = halves(*load_breast_cancer(return_X_y=True), 280)
    x, vx = scaled("standard", x, vx)

    def loss(loss, penalty, alpha, learning_rate, l1_ratio=0.15, eta0=0.01, power_t=0.5):
        model = SGDClassifier(
            loss=loss,
            penalty=penalty,
            alpha=alpha,
            l1_ratio=l1_ratio,
            learning_rate=learning_rate,
            eta0=eta0,
            power_t=power_t,
            max_iter=20,
            tol=None,
            random_state=0,
        )
        return 1 - model.fit(x, y).score(vx, vy)

    return loss, [
        choice("loss", ["hinge", "log_loss", "modified_huber", "perceptron"]),
        choice("penalty", ["l2", "l1", "elasticnet"]),
        ordered("l1_ratio", [0.1, 0.3, 0.6, 0.9], **given("penalty", 2)),
        ordered("alpha", spaced(1e-6, 1e-1, 8)),
        choice("learning_rate", ["optimal", "constant", "invscaling"]),
        ordered("eta0", spaced(1e-4, 1.0, 7), **given("learning_rate", 1, 2)),
        ordered("power_t", [0.1, 0.25, 0.5], **given("learning_rate", 2)),
    ]


def tree_friedman():
    """friedman1 (400 train, 1,000 valid, noise 1), regression tree, validation mean squared error"""
    x, y, vx, vy = halves(*make_friedman1(1400, n_features=10, noise=1.0, random_state=0), 400)

    def loss(criterion, splitter, **sizes):
        model = DecisionTreeRegressor(criterion=criterion, splitter=splitter, random_state=0, **sizes)
        return numpy.mean((model.fit(x, y).predict(vx) - vy) ** 2)

    return loss, [
        choice("criterion", ["squared_error", "absolute_error"]),
        choice("splitter", ["best", "random"]),
        ordered("max_depth", [1, 2, 3, 4, 5, 6, 8, 12]),
        ordered("min_samples_leaf", [1, 2, 3, 5, 8, 13, 20]),
        ordered("max_features", [1, 2, 4, 6, 8, 10]),
        ordered("ccp_alpha", [0.0, *spaced(0.01, 1.0, 6)]),
    ]


def svr_diabetes():
    """diabetes (220 train, 222 valid, standardised), support vector regression (conditional), validation mean squared
    error, at most 10"""
    x, y = load_diabetes(return_X_y=True)
    x, y, vx, vy = halves(StandardScaler().fit_transform(x), (y - y.mean()) / y.std(), 220)

    def loss(kernel, C, epsilon, gamma="scale", degree=3, coef0=0.0):
        model = SVR(kernel=kernel, C=C, epsilon=epsilon, gamma=gamma, degree=degree, coef0=coef0, max_iter=20000)
        return min(numpy.mean((model.fit(x, y).predict(vx) - vy) ** 2), 10.0)

    return loss, [
        choice("kernel", ["linear", "rbf", "poly", "sigmoid"]),
        ordered("C", spaced(1e-3, 1e3, 10)),
        ordered("epsilon", [0.0, 0.05, 0.1, 0.3, 0.6]),
        ordered("gamma", spaced(1e-4, 1.0, 9), **given("kernel", 1, 2, 3)),
        ordered("degree", [2, 3], **given("kernel", 2)),
        ordered("coef0", [0.0, 0.5, 1.0], **given("kernel", 2, 3)),
    ]


def forest_wine():
    """wine (60 train, 118 valid), random forest, validation log loss (probabilities floored at 1e-3)"""
    x, y, vx, vy = halves(*load_wine(return_X_y=True), 60)

    def loss(n_estimators, **sizes):
        model = RandomForestClassifier(n_estimators, random_state=0, **sizes).fit(x, y)
        return log_loss(vy, numpy.clip(model.predict_proba(vx), 1e-3, 1.0))

    return loss, [
        ordered("n_estimators", [1, 2, 4, 8, 16]),
        choice("criterion", ["gini", "entropy"]),
        ordered("max_depth", [1, 2, 3, 5, 8]),
        ordered("max_features", [1, 2, 3, 5, 8, 13]),
        ordered("min_samples_leaf", [1, 2, 4, 8]),
        choice("bootstrap", [True, False]),
    ]


def trees_cancer():
    """breast_cancer (200 train, 369 valid), extremely randomised trees, validation log loss (probabilities floored at 1e-3)"""
    x, y, vx, vy = halves(*load_breast_cancer(return_X_y=True), 200)

    def loss(n_estimators, **sizes):
        model = ExtraTreesClassifier(n_estimators, random_state=0, **sizes).fit(x, y)
        return log_loss(vy, numpy.clip(model.predict_proba(vx), 1e-3, 1.0))

    return loss, [
        ordered("n_estimators", [1, 2, 4, 8, 16]),
        choice("criterion", ["gini", "entropy"]),
        ordered("max_depth", [1, 2, 4, 8]),
        ordered("max_features", [1, 3, 6, 12, 30]),
        ordered("min_samples_leaf", [1, 2, 4, 8, 16]),
        choice("class_weight", [None, "balanced"]),
    ]


def logistic_digits():
    """digits (400 train, 700 valid), logistic regression, validation log loss (probabilities floored at 1e-3)"""
    x, y, vx, vy = halves(*load_digits(return_X_y=True), 400)
    vx, vy = vx[:700], vy[:700]
    parts = {}

    def loss(scaler, components, C, max_iter):
        if (scaler, components) not in parts:
            tx, ux = scaled(scaler, x, vx)
            pca = PCA(components, random_state=0).fit(tx)
            parts[scaler, components] = pca.transform(tx), pca.transform(ux)
        tx, ux = parts[scaler, components]
        model = LogisticRegression(C=C, max_iter=max_iter).fit(tx, y)
        return log_loss(vy, numpy.clip(model.predict_proba(ux), 1e-3, 1.0))

    return loss, [
        choice("scaler", list(SCALERS)),
        ordered("components", [2, 4, 8, 12, 18, 26, 40, 60]),
        ordered("C", spaced(1e-4, 1e3, 15)),
        ordered("max_iter", [3, 6, 12, 25, 50]),
    ]


def linear_friedman():
    """friedman1 (150 train, 600 valid, noise 1), linear models of powers (conditional), validation mean squared error, at
    most 50"""
    x, y, vx, vy = halves(*make_friedman1(750, n_features=8, noise=1.0, random_state=1), 150)

    def loss(degree, interaction_only, model, alpha, scaler, l1_ratio=0.5, epsilon=1.35):
        powers = PolynomialFeatures(degree, interaction_only=interaction_only, include_bias=False)
        tx, ux = scaled(scaler, powers.fit_transform(x), powers.transform(vx))
        if model == "ridge":
            model = Ridge(alpha=alpha)
        elif model == "elastic_net":
            model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, max_iter=200)
        else:
            model = HuberRegressor(alpha=alpha, epsilon=epsilon, max_iter=50)
        return min(numpy.mean((model.fit(tx, y).predict(ux) - vy) ** 2), 50.0)

    return loss, [
        ordered("degree", [1, 2, 3]),
        choice("interaction_only", [False, True]),
        choice("model", ["ridge", "elastic_net", "huber"]),
        ordered("l1_ratio", [0.05, 0.3, 0.7, 1.0], **given("model", 1)),
        ordered("epsilon", [1.1, 1.35, 2.0], **given("model", 2)),
        ordered("alpha", spaced(1e-4, 1e2, 13)),
        choice("scaler", ["none", "standard", "minmax"]),
    ]


def configurations(params):
    """Every allowed one, as levels: -1 where a parameter is not asked."""
    for levels in itertools.product(*(range(-1, len(param["levels"])) for param in params)):
        by_name = {param["name"]: level for param, level in zip(params, levels)}
        when = [param.get("active_if") for param in params]
        asked = [condition is None or by_name[condition["param"]] in condition["in"] for condition in when]
        if all((level >= 0) == is_asked for level, is_asked in zip(levels, asked)):
            yield levels


def table(make):
    loss, params = make()
    rows = []
    for levels in configurations(params):
        answers = {param["name"]: param["levels"][level] for param, level in zip(params, levels) if level >= 0}
        rows.append([*levels, float(f"{loss(**answers):.6g}")])
    return {
        "schema": "kilter-hpo-table/1",
        "name": make.__name__,
        "what": " ".join(make.__doc__.split()),
        "direction": "minimize",
        "params": params,
        "n": len(rows),
        "rows": rows,
    }


TABLES = {
    "further": [knn_digits, sgd_cancer, tree_friedman, svr_diabetes, forest_wine],
    "held-out": [trees_cancer, logistic_digits, linear_friedman],
}

for group, makers in TABLES.items():
    folder = pathlib.Path(sys.argv[1]) / group
    folder.mkdir(parents=True, exist_ok=True)
    for make in makers:
        file = folder / f"{make.__name__.replace('_', '-')}.json"
        if not file.exists():
            file.write_text(json.dumps(table(make), separators=(",", ":")) + "\n")
        print(file)
