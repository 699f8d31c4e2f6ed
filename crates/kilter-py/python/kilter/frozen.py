"""Trials as they are remembered: nothing about them changes any more."""

import enum
from datetime import datetime, timedelta

__all__ = ["FrozenTrial", "TrialState"]


class TrialState(enum.Enum):
    """The state of a trial."""

    WAITING = "waiting"
    RUNNING = "running"
    STALE = "stale"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    #: Optuna's word for the same.
    FAIL = "failed"

    def is_finished(self):
        """Has it ended?"""
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)

    def __repr__(self):
        return f"TrialState.{self.name}"


class FrozenTrial:
    """A trial of a study as it was when it was asked for.

    Attributes:
        number: Its number, from 0.
        state: A `TrialState`.
        params: Its hyperparameters by name; lists are tuples.
        values: Its values, one per direction; of a pruned trial with one direction the last that it reported.
        metrics: Its metrics by name.
        intermediate_values: What it reported of the first direction's metric, by step.
        user_attrs: What was written on it.
        duration: How long it ran, or None.
        why: Why it failed or was stopped early, or None.
        failure: (kind, message, last lines) of its failure, or None.
    """

    __slots__ = (
        "_domains",
        "_goals",
        "attempt",
        "datetime_complete",
        "datetime_start",
        "failure",
        "feasible",
        "metrics",
        "number",
        "params",
        "reports",
        "state",
        "user_attrs",
        "violations",
        "wall_seconds",
        "why",
    )

    def __init__(self, row, goals, domains):
        self._goals = goals
        self._domains = {name: domains[name] for name in row["params"] if name in domains}
        self.number = row["number"]
        self.state = TrialState(row["state"])
        self.params = row["params"]
        self.metrics = row["metrics"]
        self.reports = row["points"]
        self.user_attrs = row["user"]
        self.attempt = row["attempt"]
        self.datetime_start = _moment(row["opened_ms"])
        self.datetime_complete = _moment(row["ended_ms"])
        self.wall_seconds = row["wall_seconds"]
        self.feasible = row["feasible"]
        self.violations = row["violations"]
        self.why = row["why"]
        self.failure = row["failure"]

    @property
    def values(self):
        if self.state is TrialState.COMPLETE:
            return [self.metrics[metric] for metric, _ in self._goals]
        if self.state is TrialState.PRUNED and len(self._goals) == 1:
            steps = self.intermediate_values
            return [steps[max(steps)]] if steps else None
        return None

    @property
    def value(self):
        """Its value, of a study with one direction."""
        if len(self._goals) > 1:
            raise _several("value", "values")
        values = self.values
        return values[0] if values else None

    @property
    def intermediate_values(self):
        first = self._goals[0][0]
        return {step: value for step, metric, value in self.reports if metric == first}

    @property
    def last_step(self):
        """The last step that it reported, or None."""
        return max(self.intermediate_values, default=None)

    @property
    def duration(self):
        if self.wall_seconds is not None:
            return timedelta(seconds=self.wall_seconds)
        if self.datetime_complete is None:
            return None
        return self.datetime_complete - self.datetime_start

    def __eq__(self, other):
        if not isinstance(other, FrozenTrial):
            return NotImplemented
        # What is searched may have changed since one of them was asked for.
        return all(getattr(self, name) == getattr(other, name) for name in _SLOTS if name != "_domains")

    def __hash__(self):
        return hash((self.number, self.state))

    def __getstate__(self):
        return {name: getattr(self, name) for name in _SLOTS}

    def __setstate__(self, state):
        for name, value in state.items():
            setattr(self, name, value)

    def __repr__(self):
        said = [f"number={self.number}", f"state={self.state!r}"]
        if self.values is not None:
            said.append(f"values={self.values}")
        said.append(f"params={self.params}")
        if self.why:
            said.append(f"why={self.why!r}")
        return f"FrozenTrial({', '.join(said)})"

    def _repr_html_(self):
        from .html import table

        rows = [("state", self.state.value), ("values", self.values), *self.params.items()]
        if self.why:
            rows.append(("why", self.why))
        return table(("", f"trial {self.number}"), rows)


_SLOTS = FrozenTrial.__slots__


def _several(one, many):
    from .errors import StudyError

    return StudyError(f"the study has several directions, so there is no single `{one}`; use `{many}`")


def _moment(ms):
    return None if ms is None else datetime.fromtimestamp(ms / 1000)
