"""Optuna's importances, by kilter's PED-ANOVA."""

from ...errors import ArgumentError

__all__ = ["PedAnovaImportanceEvaluator", "get_param_importances"]


class PedAnovaImportanceEvaluator:
    """How far the better trials differ from the others, hyperparameter by hyperparameter."""

    def __init__(self, *, target_quantile=0.1, region_quantile=1.0, evaluate_on_local=True):
        self._options = {
            "target_quantile": target_quantile,
            "region_quantile": region_quantile,
            "evaluate_on_local": evaluate_on_local,
        }


def get_param_importances(study, *, evaluator=None, params=None, target=None, normalize=True):
    """How much each hyperparameter mattered: a dict by name, the largest first."""
    if target is not None:
        raise ArgumentError("a target is a metric's name here: study.param_importances(NAME)")
    if evaluator is None:
        evaluator = PedAnovaImportanceEvaluator()
    if not isinstance(evaluator, PedAnovaImportanceEvaluator):
        raise ArgumentError(f"{type(evaluator).__name__}: kilter has PedAnovaImportanceEvaluator, Optuna 5's default")
    if not normalize:
        raise ArgumentError("normalize=False: kilter tells shares, which add up to 1")
    found = study.param_importances(**evaluator._options)
    if params is not None:
        unknown = [name for name in params if name not in found]
        if unknown:
            raise ArgumentError(f"the study has no hyperparameter {unknown[0]!r}; it has {', '.join(sorted(found))}")
        found = {name: share for name, share in found.items() if name in params}
        whole = sum(found.values())
        found = {name: share / whole if whole > 0 else 0.0 for name, share in found.items()}
    return found
