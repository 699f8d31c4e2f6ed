"""Progress as notebooks show it."""

import sys
import types

import kilter
import pytest


class Shown:
    """What a notebook displays; `update` replaces it."""

    def __init__(self):
        self.first, self.updates = None, []

    def update(self, html):
        self.updates.append(html.data)


@pytest.fixture
def notebook(monkeypatch):
    """IPython as it is in a notebook: a shell with a kernel, and a display that can be updated."""
    shown = Shown()

    class HTML:
        def __init__(self, data):
            self.data = data

    def display(html, display_id=False):
        assert display_id and shown.first is None
        shown.first = html.data
        return shown

    shell = types.SimpleNamespace(kernel=object())
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.HTML, ipython.display.display = HTML, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return shown


def test_progress_is_one_piece_of_html_that_is_updated(notebook, capfd):
    study = kilter.create_study(name="a <study>")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4, show_progress_bar=True)
    assert "a &lt;study&gt;" in notebook.first and "1/4 trials" in notebook.first
    last = notebook.updates[-1]
    assert "4/4 trials" in last and 'value="1.0000"' in last and f"{study.best_value:.6g}" in last
    assert capfd.readouterr().err == ""


def test_without_a_number_of_trials_there_is_no_bar(notebook):
    study = kilter.create_study(directions=["minimize", "minimize"])
    study.optimize(
        lambda trial: (1.0, 2.0), callbacks=[lambda study, trial: trial.number == 2 and study.stop()], show_progress_bar=True
    )
    assert "<progress" not in notebook.first and "3 trials" in notebook.updates[-1]
