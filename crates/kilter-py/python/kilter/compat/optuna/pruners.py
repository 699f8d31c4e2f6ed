"""Optuna's pruners, as far as kilter has them.

>>> from kilter.compat.optuna.pruners import MedianPruner
>>> str(MedianPruner(n_warmup_steps=10))
'median:n_startup_trials=5,n_warmup_steps=10,interval_steps=1,n_min_trials=1'
"""

from ... import opening

__all__ = ["BasePruner", "MedianPruner", "NopPruner", "PercentilePruner"]


class BasePruner:
    """One of kilter's pruners; `str` gives its name with options."""

    def __init__(self, name, **options):
        self._text = opening.pruner(name, **options)

    def __str__(self):
        return self._text

    def __repr__(self):
        return f"{type(self).__name__}({self._text!r})"


class NopPruner(BasePruner):
    """Stops nothing."""

    def __init__(self):
        super().__init__("none")


class PercentilePruner(BasePruner):
    """Stops a trial whose best value so far is worse than a percentile of the others' at the same step."""

    def __init__(self, percentile, n_startup_trials=5, n_warmup_steps=0, interval_steps=1, *, n_min_trials=1):
        super().__init__(
            "percentile",
            percentile=percentile,
            n_startup_trials=n_startup_trials,
            n_warmup_steps=n_warmup_steps,
            interval_steps=interval_steps,
            n_min_trials=n_min_trials,
        )


class MedianPruner(BasePruner):
    """Stops a trial whose best value so far is worse than the median of the others' at the same step."""

    def __init__(self, n_startup_trials=5, n_warmup_steps=0, interval_steps=1, *, n_min_trials=1):
        super().__init__(
            "median",
            n_startup_trials=n_startup_trials,
            n_warmup_steps=n_warmup_steps,
            interval_steps=interval_steps,
            n_min_trials=n_min_trials,
        )


def __getattr__(name):
    if name.endswith("Pruner"):
        there = ", ".join(listed for listed, _, _ in opening.pruners())
        raise AttributeError(f"kilter has no {name}; it has {there}: kilter.create_study(pruner=NAME)")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
