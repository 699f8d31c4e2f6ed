"""The package as it is installed."""

import doctest
import importlib
import json
import pkgutil
import subprocess
import sys
from importlib import metadata

import kilter
import pytest
from kilter.__main__ import binary


def modules():
    # Those that need another package are imported by tests of their own.
    optional = ("kilter.optuna", "kilter.sklearn", "kilter.__main__")
    return [name for _, name, _ in pkgutil.walk_packages(kilter.__path__, "kilter.") if name not in optional]


@pytest.mark.parametrize("name", ["kilter", *modules()])
def test_the_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for name in ("kilter", *modules()) for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(examples) >= 7


def test_versions_agree():
    assert kilter.__version__ == metadata.version("kilter")
    said = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout
    assert kilter.__version__ in said


def test_the_command_line_is_in_the_wheel(storage, tmp_path):
    installed = metadata.files("kilter")
    assert any(str(file).endswith("_bin/kilter") for file in installed)
    assert any(str(file).endswith("py.typed") for file in installed)
    study = kilter.create_study(storage=storage, name="seen")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4)
    for words in ([sys.executable, "-m", "kilter"], [f"{sys.exec_prefix}/bin/kilter"]):
        said = subprocess.run(
            [*words, "best", "seen", "--storage", storage, "--json"], capture_output=True, text=True, check=True
        )
        assert json.loads(said.stdout)["params"] == study.best_params


def test_the_command_line_runs_trials_as_processes(tmp_path):
    # Its supervisor is the binary itself: no interpreter stands between tuner and trial.
    words = [f"{sys.exec_prefix}/bin/kilter", "tune", "--trials", "3", "--param", "x=0..1", "--minimize"]
    words += ["--metric", "loss=(.*)", "--json", "--", "sh", "-c", "echo loss={x}"]
    said = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert json.loads(said.stdout)


def test_importing_brings_nothing_along(script):
    said = script(
        """
        import sys
        import kilter
        heavy = {"numpy", "pandas", "plotly", "optuna", "sklearn", "IPython", "polars", "pyarrow", "asyncio"}
        print(sorted(heavy & set(sys.modules)))
        """
    )
    assert said.stdout.strip() == "[]"


def test_reproduce_gives_the_claims(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = kilter.reproduce("breast-cancer", scale="quick")
    assert said["claims"]
    with pytest.raises(kilter.ReproductionError, match="breast-cancer"):
        kilter.reproduce("breast-cancr", scale="quick")
    with pytest.raises(ValueError, match="quick"):
        kilter.reproduce("breast-cancer", scale="slow")


def test_what_notebooks_show():
    study = kilter.create_study(space={"x": "0..1"}, name="<b>")
    study.optimize(lambda trial: trial.params["x"], n_trials=3)
    shown = study._repr_html_()
    assert "<table>" in shown and "&lt;b&gt;" in shown and "★" in shown
    assert "trial 0" in study.trials[0]._repr_html_()
    assert "0.0..1.0" in study.space._repr_html_()
    trial = study.ask()
    assert "running" in trial._repr_html_()
    study.tell(trial, 1.0)
    assert "complete" in trial._repr_html_()
