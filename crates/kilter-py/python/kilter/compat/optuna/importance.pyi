from typing import Any
from ...errors import ArgumentError as ArgumentError

class PedAnovaImportanceEvaluator:
    def __init__(self, *, target_quantile: Any = ..., region_quantile: Any = ..., evaluate_on_local: Any = ...) -> None: ...

def get_param_importances(study: Any, *, evaluator: Any = ..., params: Any = ..., target: Any = ..., normalize: Any = ...) -> Any: ...
