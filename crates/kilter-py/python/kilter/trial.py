"""Trials: what an objective asks and reports to."""

import json
import math
import os

from .errors import ArgumentError, SpaceError, StudyError

__all__ = ["FixedTrial", "Trial"]


class Trial:
    """A running trial. Asked twice, a question has one answer; with another domain it is refused.

    Objectives get one from `Study.optimize`, programs of their own from `Study.ask`.
    """

    __slots__ = ("_handle", "_stop", "_study", "_user", "number")

    def __init__(self, study, handle):
        self._study = study
        self._handle = handle
        self._stop = None
        self._user = {}
        #: Its number, from 0.
        self.number = handle.number

    def suggest_float(self, name, low, high, *, step=None, log=False):
        """A number in ``[low, high]``; with `log` searched by its logarithm, with `step` on a grid.

        >>> import kilter
        >>> trial = kilter.create_study(seed=0).ask()
        >>> 1e-5 <= trial.suggest_float("lr", 1e-5, 1e-1, log=True) <= 1e-1
        True
        """
        return self._handle.float(name, _number(name, low), _number(name, high), log, step)

    def suggest_int(self, name, low, high, *, step=1, log=False):
        """A whole number in ``[low, high]``, both ends included."""
        return self._handle.int(name, _whole(name, low), _whole(name, high), log, _whole(name, step))

    def suggest_categorical(self, name, choices):
        """One of `choices`: None, truths, numbers, texts, or lists and tuples of such."""
        choices = list(choices)
        return choices[self._handle.choice(name, choices)]

    def report(self, value, step):
        """Reports the value at a step, or several metrics at once as a dict. What a pruner sees."""
        if isinstance(value, dict):
            metrics = [(metric, _figure(metric, figure)) for metric, figure in value.items()]
        else:
            goals = self._study._goals
            if len(goals) > 1:
                names = ", ".join(metric for metric, _ in goals)
                raise ArgumentError(f"the study has several directions; report a dict with some of {names}")
            metrics = [(goals[0][0], _figure("value", value))]
        step = _step(step)
        stop = self._handle.report(step, metrics)
        self._stop = self._stop or stop

    def should_prune(self):
        """Does the study's pruner hold the trial for hopeless? If so, raise `TrialPruned`."""
        if self._study._interrupted:
            raise KeyboardInterrupt
        return (self._stop or self._handle.stopped()) is not None

    @property
    def params(self):
        """Its hyperparameters so far; of a declared space all of them."""
        return self._handle.params()

    @property
    def user_attrs(self):
        """What was written on it."""
        return dict(self._user)

    def set_user_attr(self, key, value):
        """Writes on the trial; `value` must be JSON."""
        self._study._core.tag(self.number, tags(key, value))
        self._user[key] = value

    @property
    def study(self):
        """Its study."""
        return self._study

    def __reduce__(self):
        raise TypeError(
            f"trial {self.number} cannot be pickled: it is held by process {os.getpid()}; send its number and params, and "
            "tell its end here, or with `Study.tell(number, …)` if it was asked by `Study.ask`"
        )

    def __repr__(self):
        return f"Trial(number={self.number}, study={self._study.name!r})"

    def _repr_html_(self):
        from .html import table

        try:
            params = self.params.items()
        except StudyError:  # it has ended
            return self._study.trial(self.number)._repr_html_()
        return table(("", f"trial {self.number}"), [("state", "running"), *params])


class FixedTrial:
    """A trial whose answers are given: to run an objective by hand.

    >>> import kilter
    >>> kilter.FixedTrial({"x": 3.0}).suggest_float("x", 0, 10)
    3.0
    """

    def __init__(self, params, number=0):
        self._given = dict(params)
        self._user = {}
        self.params = {}
        self.number = number

    def suggest_float(self, name, low, high, *, step=None, log=False):
        """The given number."""
        return self._get(name, lambda value: low <= value <= high, f"{low} to {high}")

    def suggest_int(self, name, low, high, *, step=1, log=False):
        """The given whole number."""
        return self._get(name, lambda value: low <= value <= high and value == int(value), f"{low} to {high}")

    def suggest_categorical(self, name, choices):
        """The given choice."""
        return self._get(name, list(choices).__contains__, f"one of {list(choices)}")

    def _get(self, name, allows, allowed):
        if name not in self._given:
            raise SpaceError(f"the value of `{name}` is not among those given; add it")
        value = self._given[name]
        if not allows(value):
            raise SpaceError(f"hyperparameter `{name}`: {value!r} is not allowed; allowed is {allowed}")
        self.params[name] = value
        return value

    def report(self, value, step):
        """Nobody listens."""

    def should_prune(self):
        """Never."""
        return False

    @property
    def user_attrs(self):
        """What was written on it."""
        return dict(self._user)

    def set_user_attr(self, key, value):
        """Writes on the trial."""
        self._user[key] = value

    def __repr__(self):
        return f"FixedTrial({self._given!r})"


def tags(key, value):
    """One tag as the JSON text that is stored."""
    try:
        return json.dumps({key: value}, allow_nan=False)
    except (TypeError, ValueError) as why:
        raise TypeError(f"the attribute {key!r} cannot be stored: {why}; give texts, numbers, lists or dicts") from None


def _number(name, value):
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"hyperparameter `{name}`: {value!r} is no number, and a range needs numbers as its ends") from None


def _whole(name, value):
    try:
        whole = int(value)
    except (TypeError, ValueError):
        raise TypeError(f"hyperparameter `{name}`: {value!r} is no whole number") from None
    if whole != value:
        raise ArgumentError(f"hyperparameter `{name}`: {value!r} is no whole number; suggest_float takes any")
    return whole


def _step(step):
    try:
        whole = int(step)
    except (TypeError, ValueError):
        raise TypeError(f"the step {step!r} is no whole number") from None
    if whole < 0:
        raise ArgumentError(f"the step {step!r} is below 0; steps count up from 0")
    return whole


def _figure(metric, value):
    """A reported figure; NaN is one."""
    if isinstance(value, complex):
        raise TypeError(f"`{metric}` is {value!r}, a complex number; report a real one")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"`{metric}` is {value!r} ({type(value).__name__}), no number") from None


def values_of(result, goals):
    """What an objective returned as (metrics, None), or (None, what is wrong with it)."""
    if isinstance(result, dict):
        missing = [metric for metric, _ in goals if metric not in result]
        if missing:
            return None, f"the function returned a dict without {', '.join(map(repr, missing))}"
        given = list(result.items())
    elif len(goals) == 1 and not isinstance(result, (list, tuple)):
        given = [(goals[0][0], result)]
    else:
        if result is None or isinstance(result, (str, bytes)):
            return None, f"the function returned {result!r}; it must return {_wanted(goals)}"
        try:
            given = list(result)
        except TypeError:
            return None, f"the function returned {result!r}; it must return {_wanted(goals)}"
        if len(given) != len(goals):
            return None, f"the function returned {len(given)} values; it must return {_wanted(goals)}"
        given = [(metric, value) for (metric, _), value in zip(goals, given)]
    metrics = []
    for metric, value in given:
        if value is None:
            return None, f"the function returned None; it must return {_wanted(goals)}"
        if isinstance(value, (str, bytes)):
            return None, f"the function returned {value!r}, a text; it must return {_wanted(goals)}"
        try:
            figure = float(value)
        except (TypeError, ValueError, OverflowError):
            return None, f"the function returned {value!r} ({type(value).__name__}); it must return {_wanted(goals)}"
        if math.isnan(figure) and not any(metric == goal for goal, _ in goals):
            continue
        metrics.append((str(metric), figure))
    return metrics, None


def _wanted(goals):
    if len(goals) == 1:
        return "a real number"
    return f"{len(goals)} real numbers ({', '.join(metric for metric, _ in goals)})"
