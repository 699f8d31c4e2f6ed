from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from .frozen import FrozenTrial
from .spaces import Space
from .study import Direction, Study

def create_study(
    *,
    name: str | None = None,
    storage: str | None = None,
    direction: Direction | None = None,
    directions: Sequence[Direction] | None = None,
    metrics: Sequence[str] | None = None,
    sampler: str = "auto",
    pruner: str = "auto",
    seed: int | None = 0,
    space: Space | Mapping[str, Any] | None = None,
    require: Iterable[str] = (),
    load_if_exists: bool = False,
) -> Study: ...
def load_study(name: str | None = None, *, storage: str, sampler: str | None = None, pruner: str | None = None) -> Study: ...
def delete_study(name: str, *, storage: str) -> None: ...
def get_all_study_names(storage: str) -> list[str]: ...
def get_all_study_summaries(storage: str) -> list[StudySummary]: ...
def samplers() -> list[tuple[str, str, str]]: ...
def pruners() -> list[tuple[str, str, str]]: ...
def sampler(name: str, **options: Any) -> str: ...
def pruner(name: str, **options: Any) -> str: ...

class StudySummary:
    study_name: str
    directions: list[str]
    user_attrs: dict[str, Any]
    n_trials: int
    datetime_start: datetime | None
    best_trial: FrozenTrial | None
    @property
    def direction(self) -> str: ...
