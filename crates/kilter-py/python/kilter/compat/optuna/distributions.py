"""Optuna's distributions: domains as objects.

>>> from kilter.compat.optuna.distributions import FloatDistribution
>>> FloatDistribution(1e-5, 1e-1, log=True)
FloatDistribution(high=0.1, log=True, low=1e-05, step=None)
"""

__all__ = ["BaseDistribution", "CategoricalDistribution", "FloatDistribution", "IntDistribution"]


class BaseDistribution:
    """What the others have in common."""

    def _said(self):
        raise NotImplementedError

    def __eq__(self, other):
        return type(self) is type(other) and self._said() == other._said()

    def __hash__(self):
        return hash((type(self), tuple(sorted(self._said().items()))))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in sorted(self._said().items()))})"

    def _contains(self, value):
        raise NotImplementedError


class FloatDistribution(BaseDistribution):
    """A range of real numbers."""

    def __init__(self, low, high, log=False, step=None):
        if low > high:
            raise ValueError(f"low ({low}) must not be above high ({high})")
        if log and step is not None:
            raise ValueError("a range cannot have both log and a step; drop one")
        if log and low <= 0.0:
            raise ValueError(f"a logarithmic range must begin above 0, and this one begins at {low}")
        if step is not None and step <= 0:
            raise ValueError(f"the step must be a positive number, not {step}")
        self.low, self.high, self.log = float(low), float(high), log
        self.step = None if step is None else float(step)

    def _said(self):
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}

    def single(self):
        """Does it hold one number only?"""
        return self.low == self.high or (self.step is not None and self.high - self.low < self.step)

    def _contains(self, value):
        return self.low <= value <= self.high

    def _described(self):
        return ("float", self.low, self.high, self.log, self.step)

    def _suggest(self, trial, name):
        return trial.suggest_float(name, self.low, self.high, log=self.log, step=self.step)


class IntDistribution(BaseDistribution):
    """A range of whole numbers, both ends included."""

    def __init__(self, low, high, log=False, step=1):
        if low > high:
            raise ValueError(f"low ({low}) must not be above high ({high})")
        if log and step != 1:
            raise ValueError("a range cannot have both log and a step; drop one")
        if log and low < 1:
            raise ValueError(f"a logarithmic range must begin at 1 or above, and this one begins at {low}")
        if step <= 0:
            raise ValueError(f"the step must be a positive number, not {step}")
        self.low, self.high, self.log, self.step = int(low), int(high), log, int(step)

    def _said(self):
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}

    def single(self):
        """Does it hold one number only?"""
        return self.low == self.high or self.high - self.low < self.step

    def _contains(self, value):
        return self.low <= value <= self.high and int(value) == value

    def _described(self):
        return ("int", self.low, self.high, self.log, self.step)

    def _suggest(self, trial, name):
        return trial.suggest_int(name, self.low, self.high, log=self.log, step=self.step)


class CategoricalDistribution(BaseDistribution):
    """One of several values."""

    def __init__(self, choices):
        if not choices:
            raise ValueError("a choice needs at least one value")
        self.choices = tuple(choices)

    def _said(self):
        return {"choices": self.choices}

    def single(self):
        """Is there one value only?"""
        return len(self.choices) == 1

    def _contains(self, value):
        return value in self.choices

    def _described(self):
        return ("choice", list(self.choices))

    def _suggest(self, trial, name):
        return trial.suggest_categorical(name, self.choices)


def of(described):
    """A domain as the compiled half describes it, as a distribution; None for what Optuna does not have."""
    kind, *what = described
    if kind == "float":
        return FloatDistribution(*what)
    if kind == "int":
        return IntDistribution(*what)
    if kind in ("choice", "ordinal"):
        return CategoricalDistribution(what[0])
    if kind == "fixed":
        value = what[0]
        if isinstance(value, float):
            return FloatDistribution(value, value)
        if isinstance(value, int) and not isinstance(value, bool):
            return IntDistribution(value, value)
        return CategoricalDistribution([value])
    return None
