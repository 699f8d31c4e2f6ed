"""Optuna's trials."""

import json

from ... import frozen
from ... import trial as ours
from ...errors import ArgumentError
from ...frozen import TrialState
from . import distributions as _distributions

__all__ = ["FixedTrial", "FrozenTrial", "Trial", "TrialState", "create_trial"]


class _OldWords:
    """Ways to ask that Optuna still knows from its beginnings."""

    def suggest_uniform(self, name, low, high):
        """A number in ``[low, high]``."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name, low, high):
        """A number in ``[low, high]``, searched by its logarithm."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name, low, high, q):
        """A number of a grid."""
        return self.suggest_float(name, low, high, step=q)


class Trial(ours.Trial, _OldWords):
    """A running trial."""

    __slots__ = ("_distributions", "datetime_start")

    def __init__(self, study, handle):
        import datetime

        super().__init__(study, handle)
        self._distributions = {}
        self.datetime_start = datetime.datetime.now()

    def suggest_float(self, name, low, high, *, step=None, log=False):
        """A number in ``[low, high]``."""
        value = super().suggest_float(name, low, high, step=step, log=log)
        self._distributions[name] = _distributions.FloatDistribution(low, high, log, step)
        return value

    def suggest_int(self, name, low, high, *, step=1, log=False):
        """A whole number in ``[low, high]``."""
        value = super().suggest_int(name, low, high, step=step, log=log)
        self._distributions[name] = _distributions.IntDistribution(low, high, log, step)
        return value

    def suggest_categorical(self, name, choices):
        """One of `choices`."""
        choices = list(choices)
        value = super().suggest_categorical(name, choices)
        self._distributions[name] = _distributions.CategoricalDistribution(choices)
        return value

    @property
    def distributions(self):
        """What was asked so far."""
        return dict(self._distributions)

    @property
    def system_attrs(self):
        """kilter keeps none."""
        return {}


class FrozenTrial(frozen.FrozenTrial, _OldWords):
    """A trial as it is remembered."""

    __slots__ = ()

    @property
    def distributions(self):
        """The domains of its hyperparameters."""
        made = {name: _distributions.of(domain) for name, domain in self._domains.items()}
        return {name: made[name] for name in self.params if made.get(name) is not None}

    @property
    def system_attrs(self):
        """kilter keeps none."""
        return {}

    def suggest_float(self, name, low, high, *, step=None, log=False):
        """The answer that it had."""
        return self.params[name]

    def suggest_int(self, name, low, high, *, step=1, log=False):
        """The answer that it had."""
        return self.params[name]

    def suggest_categorical(self, name, choices):
        """The answer that it had."""
        return self.params[name]

    def report(self, value, step):
        """Nobody listens."""

    def should_prune(self):
        """Never."""
        return False


class FixedTrial(ours.FixedTrial, _OldWords):
    """A trial whose answers are given."""


def create_trial(
    *,
    state=TrialState.COMPLETE,
    value=None,
    values=None,
    params=None,
    distributions=None,
    user_attrs=None,
    intermediate_values=None,
    system_attrs=None,
):
    """A trial that has ended, for `Study.add_trial`.

    >>> from kilter.compat import optuna
    >>> made = optuna.create_trial(
    ...     params={"x": 2.0}, distributions={"x": optuna.distributions.FloatDistribution(0, 10)}, value=4.0
    ... )
    >>> made.value
    4.0
    """
    params, distributions = dict(params or {}), dict(distributions or {})
    if value is not None and values is not None:
        raise ArgumentError("both value and values were given; give one of them")
    if params.keys() != distributions.keys():
        raise ArgumentError(f"params name {sorted(params)}, distributions {sorted(distributions)}; they must name the same")
    for name, answer in params.items():
        if not distributions[name]._contains(answer):
            raise ArgumentError(f"hyperparameter `{name}`: {answer!r} is outside {distributions[name]}")
    values = [value] if value is not None else list(values or [])
    if state is TrialState.COMPLETE and not values:
        raise ArgumentError("a complete trial needs its value")
    metrics = ["value"] if len(values) <= 1 else [f"value_{i}" for i in range(len(values))]
    json.dumps(user_attrs or {})
    row = {
        "number": 0,
        "state": state.value,
        "params": params,
        "metrics": dict(zip(metrics, map(float, values))),
        "points": [(step, metrics[0], float(figure)) for step, figure in (intermediate_values or {}).items()],
        "user": dict(user_attrs or {}),
        "attempt": 1,
        "opened_ms": None,
        "ended_ms": None,
        "wall_seconds": None,
        "feasible": state is TrialState.COMPLETE,
        "violations": [],
        "why": None,
        "failure": None,
    }
    domains = {name: distribution._described() for name, distribution in distributions.items()}
    return FrozenTrial(row, [(metric, "minimize") for metric in metrics], domains)
