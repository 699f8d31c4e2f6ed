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


def test_a_real_notebook_shows_progress_studies_and_trials(tmp_path):
    import nbclient
    import nbformat

    cells = [
        """import kilter
study = kilter.create_study(name="a <study>", seed=1)
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4, show_progress_bar=True)""",
        "study",
        "study.best_trial",
        "study.ask()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()
    shown = [[output for output in cell.outputs] for cell in notebook.cells]
    # One piece of HTML, which was updated in its place, and nothing beside it.
    (progress,) = shown[0]
    progress = progress.data["text/html"]
    assert "a &lt;study&gt;" in progress and "4/4 trials" in progress and 'value="1.0000"' in progress
    study, best, trial = (outputs[0].data["text/html"] for outputs in shown[1:])
    assert "a &lt;study&gt;: 4 complete" in study and study.count("<tr>") == 5 and "★" in study
    assert "complete" in best and "<td>x</td>" in best
    assert "trial 4" in trial and "running" in trial
