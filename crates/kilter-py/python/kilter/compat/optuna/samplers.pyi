from typing import Any
from ... import spaces as spaces
from ... import opening as opening
from ...errors import ArgumentError as ArgumentError

class BaseSampler:
    def __init__(self, name: Any, seed: Any = ..., space: Any = ..., **options: Any) -> None: ...
    def reseed_rng(self) -> Any: ...

class TPESampler(BaseSampler):
    def __init__(self, *, consider_prior: Any = ..., prior_weight: Any = ..., consider_magic_clip: Any = ..., consider_endpoints: Any = ..., n_startup_trials: Any = ..., n_ei_candidates: Any = ..., gamma: Any = ..., weights: Any = ..., seed: Any = ..., multivariate: Any = ..., group: Any = ..., warn_independent_sampling: Any = ..., constant_liar: Any = ..., constraints_func: Any = ..., categorical_distance_func: Any = ...) -> None: ...

class RandomSampler(BaseSampler):
    def __init__(self, seed: Any = ...) -> None: ...

class GridSampler(BaseSampler):
    def __init__(self, search_space: Any, seed: Any = ...) -> None: ...

class PartialFixedSampler(BaseSampler):
    def __init__(self, fixed_params: Any, base_sampler: Any) -> None: ...
