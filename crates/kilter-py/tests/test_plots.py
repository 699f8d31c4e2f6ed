"""Figures: what Plotly gets is what the study holds."""

import kilter
import plotly.graph_objects
import pytest
from kilter.compat import optuna


def objective(trial):
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    kind = trial.suggest_categorical("kind", ["a", None, True])
    width = trial.suggest_int("width", 1, 64)
    for step in range(4):
        trial.report(lr + width / (step + 1), step)
        if trial.should_prune():
            raise kilter.TrialPruned()
    return lr + width + (kind == "a")


@pytest.fixture(scope="module")
def study():
    made = kilter.create_study(
        seed=1, sampler="random", pruner=kilter.pruner("median", n_startup_trials=3), metrics=["loss"]
    )
    made.optimize(objective, n_trials=30)
    return made


def complete(study):
    return study.get_trials(states=[kilter.TrialState.COMPLETE])


def test_history_shows_values_and_the_best_so_far(study):
    figure = study.plot_optimization_history()
    assert isinstance(figure, plotly.graph_objects.Figure)
    values, best = figure.data
    assert list(values.y) == [trial.value for trial in complete(study)]
    assert list(values.x) == [trial.number for trial in complete(study)]
    assert best.y[-1] == study.best_value and list(best.y) == sorted(best.y, reverse=True)
    assert figure.layout.yaxis.title.text == "loss"


def test_every_figure_is_one_that_plotly_accepts(study):
    assert study.plot_edf().data[0].y[-1] == 1.0
    assert len(study.plot_slice().data) == 3
    assert [trace.name for trace in study.plot_slice(["lr"]).data] == ["lr"]
    assert study.plot_slice(["lr"]).layout.xaxis.type == "log"
    assert {trace.type for trace in study.plot_contour(["lr", "width"]).data} == {"contour", "scatter"}
    assert {trace.type for trace in study.plot_contour(["lr", "kind"]).data} == {"scatter"}
    parallel = study.plot_parallel_coordinate().data[0]
    assert [dimension.label for dimension in parallel.dimensions] == ["loss", "lr", "kind", "width"]
    assert len(parallel.dimensions[0]["values"]) == len(complete(study))
    assert len(study.plot_intermediate_values().data) == 30
    bars = study.plot_timeline().data
    assert sorted(number for bar in bars for number in bar.y) == list(range(30))
    for figure in (study.plot_contour(["lr", "width"]), study.plot_timeline(), study.plot_parallel_coordinate()):
        assert figure.to_html(full_html=False)


def test_the_front_of_several_directions():
    study = kilter.create_study(directions=["minimize", "maximize"], metrics=["cost", "score"])
    study.optimize(lambda t: (t.suggest_float("x", 0, 1), t.suggest_float("y", 0, 1)), n_trials=20)
    others, best = study.plot_pareto_front().data
    assert sorted(zip(best.x, best.y)) == sorted(tuple(trial.values) for trial in study.best_trials)
    assert len(others.x) + len(best.x) == 20
    assert study.plot_optimization_history(target="score").layout.yaxis.title.text == "score"


def test_importances_are_shares_and_drawn():
    study = kilter.create_study(seed=1, sampler="random")
    study.optimize(objective, n_trials=60)
    shares = study.param_importances()
    assert sorted(shares) == ["kind", "lr", "width"] and abs(sum(shares.values()) - 1) < 1e-12
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert next(iter(shares)) == "width"  # the loss is nearly the width
    assert optuna.importance.get_param_importances(study) == shares
    half = optuna.importance.get_param_importances(study, params=["lr", "kind"])
    assert sorted(half) == ["kind", "lr"] and abs(sum(half.values()) - 1) < 1e-12
    bars = study.plot_param_importances().data[0]
    assert dict(zip(bars.y, bars.x)) == shares and list(bars.x) == sorted(bars.x)
    assert list(study.plot_param_importances(["lr"]).data[0].y) == ["lr"]
    with pytest.raises(ValueError, match="must lie above 0"):
        study.param_importances(target_quantile=0)
    with pytest.raises(ValueError, match="no direction `speed`"):
        study.param_importances("speed")


def test_ranks_are_from_the_best_to_the_worst(study):
    (pair,) = study.plot_rank(["lr", "width"]).data
    best = min(complete(study), key=lambda trial: trial.value)
    at = [trial.number for trial in complete(study)].index(best.number)
    assert pair.marker.color[at] == 0 and max(pair.marker.color) == 1
    with pytest.raises(ValueError, match="two hyperparameters or more"):
        study.plot_rank(["lr"])
    whole = study.plot_rank()
    assert len(whole.data) == 6 and whole.to_html(full_html=False)


def test_the_hypervolume_of_several_directions_rises():
    study = kilter.create_study(directions=["minimize", "maximize"])
    study.optimize(lambda t: (t.suggest_float("x", 0, 1), t.suggest_float("y", 0, 1)), n_trials=20)
    for figure in (study.plot_hypervolume_history(), optuna.visualization.plot_hypervolume_history(study, [1, 0])):
        (line,) = figure.data
        assert len(line.x) == 20 and list(line.y) == sorted(line.y) and 0 < line.y[-1] <= 1
    # From (1, 0) a single trial (x, y) dominates (1 - x) y.
    x, y = study.trials[0].values
    assert abs(line.y[0] - (1 - x) * y) < 1e-12
    with pytest.raises(ValueError, match="2 directions, and a reference point of 3"):
        study.plot_hypervolume_history([1, 2, 3])


def test_what_cannot_be_drawn_is_said(study):
    with pytest.raises(ValueError, match="at least two directions"):
        study.plot_hypervolume_history()
    with pytest.raises(ValueError, match="two or three"):
        study.plot_pareto_front()
    with pytest.raises(ValueError, match="did you mean `width`"):
        study.plot_slice(["widht"])
    with pytest.raises(ValueError, match="two hyperparameters, not 3"):
        study.plot_contour()
    with pytest.raises(ValueError, match="it has loss"):
        study.plot_edf(target="none")
    with pytest.raises(ValueError, match="a list of names"):
        study.plot_slice("lr")


def test_an_empty_study_has_empty_figures():
    study = kilter.create_study()
    for draw in (study.plot_optimization_history, study.plot_edf, study.plot_slice, study.plot_timeline):
        assert isinstance(draw(), plotly.graph_objects.Figure)
    assert isinstance(study.plot_parallel_coordinate(), plotly.graph_objects.Figure)


def test_optunas_names_for_them():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(lambda t: t.suggest_float("x", 0, 1) + t.suggest_float("y", 0, 1), n_trials=5)
    drawn = optuna.visualization
    assert drawn.is_available()
    for draw in (drawn.plot_optimization_history, drawn.plot_slice, drawn.plot_contour, drawn.plot_edf, drawn.plot_timeline):
        assert isinstance(draw(study), plotly.graph_objects.Figure)
