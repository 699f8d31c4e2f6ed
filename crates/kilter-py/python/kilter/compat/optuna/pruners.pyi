from typing import Any
from ... import opening as opening

class BasePruner:
    def __init__(self, name: Any, **options: Any) -> None: ...

class NopPruner(BasePruner):
    def __init__(self) -> None: ...

class PercentilePruner(BasePruner):
    def __init__(self, percentile: Any, n_startup_trials: Any = ..., n_warmup_steps: Any = ..., interval_steps: Any = ..., *, n_min_trials: Any = ...) -> None: ...

class MedianPruner(BasePruner):
    def __init__(self, n_startup_trials: Any = ..., n_warmup_steps: Any = ..., interval_steps: Any = ..., *, n_min_trials: Any = ...) -> None: ...
