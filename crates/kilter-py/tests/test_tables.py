"""Tables of trials, and who reads them."""

import gc

import kilter
import numpy
import pandas
import polars
import pyarrow
import pytest


@pytest.fixture
def study():
    made = kilter.create_study(seed=2)

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr("odd", trial.number % 2 == 1)
        kind = trial.suggest_categorical("kind", ["a", "bé", None])
        if kind is None:
            trial.suggest_int("depth", 1, 9)
        if trial.number == 5:
            raise ValueError("five")
        return x

    made.optimize(objective, n_trials=20, catch=ValueError)
    return made


def test_columns_are_those_of_the_command_line(study):
    frame = study.trials_dataframe()
    assert frame.shape[0] == len(frame) == 20
    assert {"number", "state", "metrics.value", "params.x", "params.kind", "params.depth", "user.odd"} <= set(frame.columns)
    assert frame["number"] == list(range(20))
    assert frame["params.x"] == [trial.params["x"] for trial in study.trials]
    assert frame["metrics.value"][5] is None and frame["failure"][5] == "raised"
    assert study.trials_dataframe(["number", "x"]).columns == ["number", "x"]
    with pytest.raises(ValueError, match="did you mean"):
        study.trials_dataframe(["numbr"])
    with pytest.raises(KeyError):
        frame["none"]
    assert frame.to_dicts()[3]["number"] == 3


def test_all_libraries_read_the_same(study):
    frame = study.trials_dataframe()
    arrow, bears, panda = frame.to_arrow(), frame.to_polars(), frame.to_pandas()
    arrow.validate(full=True)
    for name in frame.columns:
        cells = frame[name]
        assert arrow[name].to_pylist() == cells
        assert bears[name].to_list() == cells
        read = [None if missing else cell for cell, missing in zip(panda[name].tolist(), panda[name].isna())]
        assert read == cells
    assert arrow.schema.field("user.odd").type == pyarrow.bool_()
    assert arrow.schema.field("number").type == pyarrow.int64()
    assert arrow["params.depth"].null_count == frame["params.depth"].count(None) > 0


def test_nothing_is_copied(study):
    frame = study.trials_dataframe()
    for name in ("number", "metrics.value", "params.x", "user.odd"):
        there = frame._table.address(name)
        assert pyarrow.table(frame)[name].chunk(0).buffers()[1].address == there
    # Polars and pandas hand out what they hold, where they hold it as it came.
    floats = polars.DataFrame(frame)["params.x"].to_numpy(allow_copy=False)
    assert floats.__array_interface__["data"][0] == frame._table.address("params.x")
    backed = pyarrow.table(frame).to_pandas(types_mapper=pandas.ArrowDtype)["params.x"]
    assert backed.array.__arrow_array__().chunk(0).buffers()[1].address == frame._table.address("params.x")


def test_a_reader_outlives_the_study(study):
    arrow, bears = pyarrow.table(study.trials_dataframe()), polars.DataFrame(study.trials_dataframe())
    wanted = [trial.params["x"] for trial in study.trials]
    del study
    gc.collect()
    numpy.random.default_rng(0).random(100_000)
    assert arrow["params.x"].to_pylist() == wanted and bears["params.x"].to_list() == wanted


def test_what_nobody_reads_is_freed(study):
    import resource

    frame = study.trials_dataframe()
    for _ in range(200):
        frame.__arrow_c_stream__()
        frame.__arrow_c_schema__()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20_000):
        frame.__arrow_c_stream__()
        frame.__arrow_c_schema__()
    # Kept, each schema alone would take some kilobytes: twenty megabytes and more.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5_000


def test_an_empty_study_has_an_empty_table():
    frame = kilter.create_study().trials_dataframe()
    assert len(frame) == 0 and pyarrow.table(frame).num_rows == 0 and len(frame.to_pandas()) == 0
    assert "<table>" in frame._repr_html_()
