"""A study's figures."""

import json

from .errors import ArgumentError


class Figures:
    """What a study draws, by Plotly."""

    def _figure(self, kind, params=None, target=None, reference=None):
        try:
            import plotly.graph_objects
        except ImportError:
            raise ImportError("figures are drawn by Plotly, which is not here; pip install plotly") from None
        return plotly.graph_objects.Figure(json.loads(self._core.figure(kind, params, target, reference)))

    def plot_optimization_history(self, target=None):
        """Each trial's value and the best so far, as a Plotly figure. `target` names a metric; None: the first."""
        return self._figure("optimization_history", None, target)

    def plot_edf(self, target=None):
        """The share of trials at or below each value."""
        return self._figure("edf", None, target)

    def plot_pareto_front(self):
        """Trials by their two or three values; those that no other surpasses stand out."""
        return self._figure("pareto_front")

    def plot_intermediate_values(self, target=None):
        """What each trial reported."""
        return self._figure("intermediate_values", None, target)

    def plot_timeline(self):
        """When each trial ran."""
        return self._figure("timeline")

    def plot_slice(self, params=None, target=None):
        """Values over each hyperparameter."""
        return self._figure("slice", _names(params), target)

    def plot_contour(self, params=None, target=None):
        """Values over two hyperparameters."""
        return self._figure("contour", _names(params), target)

    def plot_parallel_coordinate(self, params=None, target=None):
        """A line for each trial through all of its hyperparameters."""
        return self._figure("parallel_coordinate", _names(params), target)

    def plot_param_importances(self, params=None, target=None):
        """How much each hyperparameter mattered, as `param_importances` tells."""
        return self._figure("param_importances", _names(params), target)

    def plot_rank(self, params=None, target=None):
        """Trials over every two hyperparameters, coloured by rank."""
        return self._figure("rank", _names(params), target)

    def plot_hypervolume_history(self, reference_point=None):
        """The hypervolume that the trials dominate, of several directions: from `reference_point`, a value per direction; by
        default as a share of the box that all trials span."""
        reference = None if reference_point is None else [float(value) for value in reference_point]
        return self._figure("hypervolume_history", reference=reference)


def _names(params):
    if isinstance(params, str):
        raise ArgumentError(f"params={params!r}: write a list of names")
    return None if params is None else list(params)
