"""KilterSearchCV keeps scikit-learn's conventions."""

import doctest
import pickle

import kilter
import kilter.sklearn
import numpy
import pytest
import scipy.stats
from kilter.sklearn import KilterSearchCV
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.datasets import load_iris, make_classification
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

X, y = load_iris(return_X_y=True)
SPACE = {"C": kilter.Float(1e-2, 1e2, log=True), "kernel": ["rbf", "linear"]}


def test_the_examples_run():
    assert doctest.testmod(kilter.sklearn).failed == 0


#: Why a check does not apply. scikit-learn excepts its own searches from the same one.
EXCEPTIONS = {
    "check_supervised_y_2d": "the warning about y as a column comes from the tuned estimator in cross-validation, not from fit",
}


@parametrize_with_checks(
    [
        KilterSearchCV(LogisticRegression(), {"C": kilter.Float(0.1, 10, log=True)}, n_iter=2, cv=2, random_state=0),
        KilterSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, n_iter=2, cv=2, random_state=0),
    ],
    expected_failed_checks=lambda estimator: EXCEPTIONS if isinstance(estimator.estimator, Ridge) else {},
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_fit_predict_and_results():
    search = KilterSearchCV(SVC(), SPACE, n_iter=12, cv=3, random_state=1, return_train_score=True).fit(X, y)
    assert len(search.cv_results_["params"]) == 12
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert search.best_params_ == search.cv_results_["params"][search.best_index_]
    assert search.best_params_ == search.study_.best_params
    assert search.best_score_ == pytest.approx(search.study_.best_value, abs=0)
    assert {"rank_test_score", "split2_test_score", "mean_train_score", "param_C", "mean_fit_time"} <= set(search.cv_results_)
    assert search.predict(X).shape == y.shape and search.score(X, y) > 0.9
    assert search.classes_.tolist() == [0, 1, 2]


def test_the_same_random_state_gives_the_same_search():
    def params(state):
        return KilterSearchCV(SVC(), SPACE, n_iter=8, cv=2, random_state=state).fit(X, y).cv_results_["params"]

    assert params(3) == params(3)
    assert params(3) != params(4)
    assert params(numpy.random.RandomState(3)) == params(numpy.random.RandomState(3))


def test_clone_params_and_pickles():
    search = KilterSearchCV(SVC(), SPACE, n_iter=3, cv=2, random_state=0)
    assert clone(search).get_params()["n_iter"] == 3
    assert search.set_params(estimator__gamma=0.5).estimator.gamma == 0.5
    fitted = search.fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    assert numpy.array_equal(again.predict(X), fitted.predict(X))
    assert again.study_.best_params == fitted.best_params_
    with pytest.raises(AttributeError):
        clone(fitted).study_


def test_many_jobs_find_as_many_candidates():
    search = KilterSearchCV(SVC(), SPACE, n_iter=11, cv=2, n_jobs=4, random_state=0).fit(X, y)
    assert len(search.cv_results_["params"]) == 11
    assert all(trial.state.is_finished() for trial in search.study_.trials)


def test_objects_lists_and_scipys_distributions():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    space = {
        "standardscaler": [StandardScaler(), MinMaxScaler(), "passthrough"],
        "logisticregression__C": scipy.stats.loguniform(1e-2, 1e2),
        "logisticregression__tol": scipy.stats.uniform(1e-4, 1e-2),
        "logisticregression__max_iter": scipy.stats.randint(150, 200),
        "logisticregression__fit_intercept": numpy.array([True, False]),
    }
    search = KilterSearchCV(pipeline, space, n_iter=10, cv=2, random_state=0).fit(X, y)
    for params in search.cv_results_["params"]:
        assert params["standardscaler"] in space["standardscaler"]
        assert 1e-2 <= params["logisticregression__C"] <= 1e2
        assert 150 <= params["logisticregression__max_iter"] < 200
        assert params["logisticregression__fit_intercept"] in (True, False)


def test_a_space_with_conditions():
    space = kilter.Space(
        {"kernel": kilter.Choice(["rbf", "linear"]), "C": "log:0.1..10", "gamma": kilter.Float(1e-3, 1, log=True, when="kernel == 'rbf'")}
    )
    search = KilterSearchCV(SVC(), space, n_iter=10, cv=2, random_state=0).fit(X, y)
    assert all(("gamma" in params) == (params["kernel"] == "rbf") for params in search.cv_results_["params"])


def test_a_finite_space_ends():
    search = KilterSearchCV(SVC(), {"C": [0.1, 1.0], "kernel": ["rbf", "linear"]}, n_iter=50, cv=2, n_jobs=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 4


def test_several_scores():
    binary = make_classification(random_state=0)
    scoring = ["accuracy", "roc_auc"]
    search = KilterSearchCV(LogisticRegression(), {"C": "log:1e-3..10"}, n_iter=5, scoring=scoring, refit="roc_auc", random_state=0)
    search.fit(*binary)
    assert search.best_score_ == max(search.cv_results_["mean_test_roc_auc"]) == search.study_.best_value
    with pytest.raises(ValueError, match="name the one to search for"):
        KilterSearchCV(LogisticRegression(), {"C": "log:1e-3..10"}, n_iter=2, scoring=scoring, refit=False).fit(*binary)


def test_failing_candidates_and_wrong_spaces():
    with pytest.warns(FitFailedWarning, match="left out"):
        search = KilterSearchCV(SVC(), {"C": [1.0, -1.0]}, n_iter=2, cv=2, random_state=0).fit(X, y)
    states = {trial.params["C"]: trial.state.value for trial in search.study_.trials}
    assert states == {1.0: "complete", -1.0: "failed"} and search.best_params_ == {"C": 1.0}
    with pytest.warns(FitFailedWarning), pytest.raises(ValueError, match="must be a float in the range"):
        KilterSearchCV(SVC(), {"C": [-2.0, -1.0]}, n_iter=2, cv=2).fit(X, y)
    with pytest.raises(ValueError, match="must be a float in the range"):
        KilterSearchCV(SVC(), {"C": [-2.0, -1.0]}, n_iter=2, cv=2, error_score="raise").fit(X, y)
    for space, said in (({"C": 3}, "is no domain"), ([1], "must be a dict"), ({"C": scipy.stats.norm()}, "norm is not known")):
        with pytest.raises(ValueError, match=said):
            KilterSearchCV(SVC(), space).fit(X, y)
    with pytest.raises(ValueError, match="n_iter"):
        KilterSearchCV(SVC(), SPACE, n_iter=0).fit(X, y)


def test_it_is_remembered_in_a_file(storage):
    KilterSearchCV(SVC(), SPACE, n_iter=3, cv=2, storage=storage, study_name="svc", random_state=0).fit(X, y)
    assert len(kilter.load_study("svc", storage=storage).trials) == 3
