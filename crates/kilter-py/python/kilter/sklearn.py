"""scikit-learn's search over hyperparameters, by kilter's samplers.

>>> from sklearn.datasets import load_iris
>>> from sklearn.svm import SVC
>>> import kilter
>>> from kilter.sklearn import KilterSearchCV
>>> search = KilterSearchCV(SVC(), {"C": kilter.Float(1e-2, 1e3, log=True), "kernel": ["rbf", "linear"]}, random_state=0)
>>> bool(search.fit(*load_iris(return_X_y=True)).best_score_ > 0.95)
True
"""

import math
import numbers
import warnings

import numpy as np
from joblib import effective_n_jobs
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state

from . import _kilter
from . import opening as ours
from .errors import ArgumentError
from .frozen import TrialState
from .spaces import Choice, Float, Int, Space
from .study import told
from .trial import Trial

__all__ = ["KilterSearchCV"]


class KilterSearchCV(BaseSearchCV):
    """Cross-validated search, with the conventions of `RandomizedSearchCV`.

    Args:
        estimator: What is tuned.
        param_distributions: By name a domain: what `kilter.Float`, `Int`, `Choice`, … give, a text as on the command
            line (``"log:1e-5..1e-1"``), a list of values, or scipy's `uniform`, `loguniform` or `randint`. Or a whole
            `kilter.Space`, which may have conditions and constraints.
        n_iter: How many configurations are tried; fewer if there are no more.
        sampler: One of kilter's, by name with options.
        scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score, return_train_score: As everywhere in scikit-learn.
            With several scores `refit` names the one that is searched for.
        random_state: Of what is drawn.
        storage, study_name: Where the trials are remembered; by default in memory.

    A candidate all of whose fits fail is a failed trial and has no row in `cv_results_`, unless all candidates are such or
    `error_score` is ``"raise"``: then the error goes on.

    After `fit`, `study_` is the study, beside `best_params_`, `best_score_`, `best_estimator_`, `cv_results_`.
    """

    def __init__(
        self,
        estimator,
        param_distributions,
        *,
        n_iter=10,
        sampler="auto",
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        pre_dispatch="2*n_jobs",
        random_state=None,
        error_score=np.nan,
        return_train_score=False,
        storage=None,
        study_name=None,
    ):
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.sampler = sampler
        self.random_state = random_state
        self.storage = storage
        self.study_name = study_name

    def _run_search(self, evaluate_candidates):
        if isinstance(self.n_iter, bool) or not isinstance(self.n_iter, numbers.Integral) or self.n_iter < 1:
            raise ArgumentError(f"n_iter {self.n_iter!r}: write a whole number from 1")
        space, objects = _space(self.param_distributions)
        self.study_ = ours.create_study(
            name=self.study_name,
            storage=self.storage,
            direction="maximize",
            metrics=["score"],
            sampler=self.sampler,
            seed=_seed(self.random_state),
            space=space,
            load_if_exists=self.study_name is not None,
        )
        tried, folds, failure = 0, 1, None
        while tried < self.n_iter:
            # As many at a time as keep all workers busy: each candidate is as many jobs as there are folds. The first
            # comes alone and tells how many those are.
            size = math.ceil(effective_n_jobs(self.n_jobs) / folds) if tried else 1
            trials = self._ask(min(size, self.n_iter - tried))
            if not trials:
                break
            candidates = [
                {name: objects[name][value] if name in objects else value for name, value in trial.params.items()}
                for trial in trials
            ]
            tried += len(trials)
            try:
                results = evaluate_candidates(candidates)
            except ValueError as why:
                for trial in trials:
                    trial._handle.finish("failed", [], told(why))
                if not str(why).lstrip().startswith("All the"):
                    raise
                # scikit-learn gives up where all fits of a round fail. Here a round may be one candidate of many.
                failure = why
                warnings.warn(f"all fits of {candidates} failed; they are left out of cv_results_", FitFailedWarning)
                continue
            metric = self._metric(results)
            folds = sum(key.startswith("split") and key.endswith(f"_test_{metric}") for key in results)
            for trial, score in zip(trials, results[f"mean_test_{metric}"][-len(trials) :]):
                if math.isfinite(score):
                    trial._handle.finish("complete", [("score", float(score))], None)
                else:
                    trial._handle.finish("failed", [], ("", f"the score is {score}", ""))
        if failure is not None and all(trial.state is TrialState.FAILED for trial in self.study_.trials):
            raise failure

    def _ask(self, count):
        trials = []
        while len(trials) < count:
            asked = self.study_._core.ask(True)
            if not isinstance(asked, _kilter.Handle):
                break  # nothing more, or nothing before those in hand are told
            trials.append(Trial(self.study_, asked))
        return trials

    def _metric(self, results):
        if "mean_test_score" in results:
            return "score"
        if isinstance(self.refit, str) and f"mean_test_{self.refit}" in results:
            return self.refit
        names = sorted(key.removeprefix("mean_test_") for key in results if key.startswith("mean_test_"))
        raise ArgumentError(f"there are several scores ({', '.join(names)}); name the one to search for: refit={names[0]!r}")


def _seed(random_state):
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _space(parameters):
    """The space, and by name the objects that stand behind places: what is no plain value."""
    if isinstance(parameters, Space):
        return parameters, {}
    if not hasattr(parameters, "items"):
        raise ArgumentError(f"param_distributions must be a dict or a kilter.Space, not {parameters!r}")
    objects, declared = {}, {}
    for name, domain in parameters.items():
        if isinstance(domain, (dict, str)):
            declared[name] = domain
        elif hasattr(domain, "dist") and hasattr(domain, "support"):
            declared[name] = _scipy(name, domain)
        elif hasattr(domain, "__len__") and hasattr(domain, "__getitem__"):
            values = [value.item() if isinstance(value, np.generic) else value for value in domain]
            if all(value is None or isinstance(value, (bool, int, float, str)) for value in values):
                declared[name] = Choice(values)
            else:
                objects[name] = list(domain)
                declared[name] = Choice(range(len(objects[name])))
        else:
            raise ArgumentError(
                f"hyperparameter `{name}`: {domain!r} is no domain; write kilter.Float(low, high), a list of values, "
                'or a text such as "log:1e-5..1e-1"'
            )
    return Space(declared), objects


def _scipy(name, frozen):
    low, high = frozen.support()
    kind = frozen.dist.name
    if kind == "uniform":
        return Float(low, high)
    if kind in ("loguniform", "reciprocal"):
        return Float(low, high, log=True)
    if kind == "randint":
        return Int(int(low), int(high))
    raise ArgumentError(f"hyperparameter `{name}`: scipy's {kind} is not known here; uniform, loguniform and randint are")
