"""Optuna's figures, drawn by Plotly from kilter's columns."""

from ...errors import ArgumentError

__all__ = [
    "is_available",
    "plot_contour",
    "plot_edf",
    "plot_hypervolume_history",
    "plot_intermediate_values",
    "plot_optimization_history",
    "plot_parallel_coordinate",
    "plot_param_importances",
    "plot_pareto_front",
    "plot_rank",
    "plot_slice",
    "plot_timeline",
]


def is_available():
    """Is Plotly here?"""
    from importlib.util import find_spec

    return find_spec("plotly") is not None


def _plain(target):
    if target is not None:
        raise ArgumentError("a target is a metric's name here: study.plot_slice(target=NAME)")


def plot_optimization_history(study, *, target=None, target_name="Objective Value", error_bar=False):
    """Each trial's value and the best so far."""
    _plain(target)
    return study.plot_optimization_history()


def plot_edf(study, *, target=None, target_name="Objective Value"):
    """The share of trials at or below each value."""
    _plain(target)
    return study.plot_edf()


def plot_pareto_front(study, **options):
    """Trials by their two or three values."""
    return study.plot_pareto_front()


def plot_intermediate_values(study):
    """What each trial reported."""
    return study.plot_intermediate_values()


def plot_timeline(study, n_recent_trials=None):
    """When each trial ran."""
    return study.plot_timeline()


def plot_slice(study, params=None, *, target=None, target_name="Objective Value"):
    """Values over each hyperparameter."""
    _plain(target)
    return study.plot_slice(params)


def plot_contour(study, params=None, *, target=None, target_name="Objective Value"):
    """Values over two hyperparameters."""
    _plain(target)
    return study.plot_contour(params)


def plot_parallel_coordinate(study, params=None, *, target=None, target_name="Objective Value"):
    """A line for each trial through all of its hyperparameters."""
    _plain(target)
    return study.plot_parallel_coordinate(params)


def plot_param_importances(study, evaluator=None, params=None, *, target=None, target_name="Objective Value"):
    """How much each hyperparameter mattered."""
    _plain(target)
    if evaluator is not None:
        raise ArgumentError("an evaluator: the figure shows PED-ANOVA's, as Optuna 5's does by default")
    return study.plot_param_importances(params)


def plot_rank(study, params=None, *, target=None, target_name="Objective Value"):
    """Trials over every two hyperparameters, coloured by rank."""
    _plain(target)
    return study.plot_rank(params)


def plot_hypervolume_history(study, reference_point):
    """The hypervolume that the trials dominate."""
    return study.plot_hypervolume_history(reference_point)
