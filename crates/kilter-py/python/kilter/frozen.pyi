import enum
from datetime import datetime, timedelta
from typing import Any

class TrialState(enum.Enum):
    WAITING = "waiting"
    RUNNING = "running"
    STALE = "stale"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    FAIL = "failed"
    def is_finished(self) -> bool: ...

class FrozenTrial:
    number: int
    state: TrialState
    params: dict[str, Any]
    metrics: dict[str, float]
    reports: list[tuple[int, str, float]]
    user_attrs: dict[str, Any]
    attempt: int
    datetime_start: datetime
    datetime_complete: datetime | None
    wall_seconds: float | None
    feasible: bool
    violations: list[float]
    why: str | None
    failure: tuple[str, str, str | None] | None
    @property
    def values(self) -> list[float] | None: ...
    @property
    def value(self) -> float | None: ...
    @property
    def intermediate_values(self) -> dict[int, float]: ...
    @property
    def last_step(self) -> int | None: ...
    @property
    def duration(self) -> timedelta | None: ...
