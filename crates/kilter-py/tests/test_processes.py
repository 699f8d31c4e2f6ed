"""Processes, signals, pickles."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys

import kilter
import pytest
from kilter import TrialState


def objective(trial):
    return trial.suggest_float("x", 0, 1) ** 2


def optimize_here(storage):
    kilter.load_study(storage=storage).optimize(objective, n_trials=10)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_many_processes_at_one_file(method, storage):
    study = kilter.create_study(storage=storage)
    # The parent has connections, a lease and a thread that renews it when the children begin.
    mine = study.ask()
    study.optimize(objective, n_trials=2)
    context = multiprocessing.get_context(method)
    children = [context.Process(target=optimize_here, args=(storage,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    study.tell(mine, 0.5)
    assert len(study.trials) == 33
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)


def in_a_fork(work):
    """What `work` gives in a forked child: its value, or its exception."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = ("gave", work())
        except BaseException as error:
            said = (type(error).__name__, str(error))
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(said, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pickle.load(pipe)
    os.waitpid(child, 0)
    return said


def test_a_study_held_across_a_fork_is_opened_anew(storage):
    study = kilter.create_study(storage=storage)
    study.optimize(objective, n_trials=3)

    def work():
        study.optimize(objective, n_trials=4)
        return [trial.number for trial in study.trials]

    assert in_a_fork(work) == ("gave", list(range(7)))
    # The parent's connection is none the worse for it.
    study.optimize(objective, n_trials=2)
    assert [trial.number for trial in study.trials] == list(range(9))


def test_a_study_in_memory_is_not_shared_with_a_fork():
    study = kilter.create_study()
    study.optimize(objective, n_trials=1)
    kind, said = in_a_fork(lambda: study.trials)
    assert kind == "StudyError" and "sqlite:FILE" in said


def test_a_trial_is_not_driven_by_a_fork(storage):
    study = kilter.create_study(storage=storage)
    trial = study.ask()
    kind, said = in_a_fork(lambda: trial.suggest_float("x", 0, 1))
    assert kind == "StudyError" and "forked" in said
    study.tell(trial, 1.0)


def test_a_study_in_a_file_is_pickled_by_its_address(storage, tmp_path, monkeypatch):
    study = kilter.create_study(storage=storage, sampler="random")
    study.optimize(objective, n_trials=3)
    pickled = pickle.dumps(study)
    assert len(pickled) < 1000
    monkeypatch.chdir("/")
    again = pickle.loads(pickled)
    assert again.trials == study.trials and again.sampler == "random"
    again.optimize(objective, n_trials=1)
    assert len(study.trials) == 4


def test_a_study_in_memory_is_pickled_whole():
    study = kilter.create_study(seed=9, direction="maximize")
    study.set_user_attr("who", "me")
    study.optimize(objective, n_trials=15)
    study.enqueue_trial({"x": 0.25})
    again = pickle.loads(pickle.dumps(study))
    assert again.trials == study.trials and again.user_attrs == {"who": "me"}
    # Both go on alike, and apart.
    again.optimize(objective, n_trials=5)
    assert len(study.trials) == 16
    study.optimize(objective, n_trials=5)
    assert [trial.params for trial in again.trials] == [trial.params for trial in study.trials]


def test_what_else_is_pickled(storage):
    study = kilter.create_study(storage=storage, space={"x": "0..1", "opt": "adam|sgd"})
    study.optimize(objective, n_trials=2)
    for thing in (study.trials, study.space, study.best_trial, kilter.sampler("tpe", startup=3), TrialState.FAILED):
        assert pickle.loads(pickle.dumps(thing)) == thing
    error = pickle.loads(pickle.dumps(kilter.StudyError("why")))
    assert isinstance(error, kilter.StudyError) and str(error) == "why"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(study.ask())


def test_domains_samplers_and_pruners_are_pickled():
    from kilter.compat import optuna

    floats, choices = optuna.distributions.FloatDistribution, optuna.distributions.CategoricalDistribution
    equal = [kilter.Float(1e-3, 1, log=True), kilter.Int(1, 9), kilter.Choice(["a", None]), floats(0, 1), choices(["a", 1])]
    for thing in equal:
        assert pickle.loads(pickle.dumps(thing)) == thing
    samplers, pruners = optuna.samplers, optuna.pruners
    told = [samplers.TPESampler(seed=3, n_startup_trials=4), samplers.RandomSampler(seed=1), pruners.MedianPruner()]
    for thing in [*told, samplers.GridSampler({"x": [1, 2]}), pruners.NopPruner()]:
        again = pickle.loads(pickle.dumps(thing))
        assert type(again) is type(thing) and str(again) == str(thing)
        assert getattr(again, "seed", None) == getattr(thing, "seed", None)


def work_on(study):
    study.optimize(objective, n_trials=3)
    return [trial.number for trial in study.trials if trial.state is TrialState.COMPLETE]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_study_is_handed_to_a_pool(method, storage):
    study = kilter.create_study(storage=storage)
    study.optimize(objective, n_trials=1)
    with multiprocessing.get_context(method).Pool(2) as pool:
        seen = pool.map(work_on, [study] * 4, chunksize=1)
    assert max(len(numbers) for numbers in seen) == 13
    assert [trial.number for trial in study.trials] == list(range(13))


def test_unpicklable_objects_are_refused_where_they_would_be_stored():
    study = kilter.create_study()
    trial = study.ask()
    with pytest.raises(TypeError, match="cannot be stored"):
        trial.set_user_attr("lock", open)
    study.tell(trial, 1.0)


LONG = """
import sys, time, threading, kilter
jobs = int(sys.argv[2])
study = kilter.create_study(storage=sys.argv[1], load_if_exists=True, name="long")
begun = threading.Event()
def objective(trial):
    trial.suggest_float("x", 0, 1)
    if trial.number < 2:
        return 1.0
    print("running", flush=True)
    if jobs > 1:
        # What a signal finds: the function itself ends soon.
        time.sleep(0.5)
        return 1.0
    while True:
        time.sleep(0.01)
try:
    study.optimize(objective, n_trials=100, n_jobs=jobs)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(3)
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_what_was_done(jobs, storage, tmp_path):
    path = tmp_path / "long.py"
    path.write_text(LONG)
    child = subprocess.Popen(
        [sys.executable, str(path), storage, str(jobs)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "running\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 3, err
    assert "interrupted" in out
    study = kilter.load_study("long", storage=storage)
    states = {trial.state for trial in study.trials}
    assert TrialState.RUNNING not in states and TrialState.FAILED not in states
    if jobs == 1:
        # The one that ran waits to be run again, with the same answers.
        waiting = study.trials[-1]
        assert waiting.state is TrialState.WAITING
        study.optimize(objective, n_trials=1)
        assert study.trial(waiting.number).params == waiting.params


def test_ctrl_c_ends_a_wait_for_another_trial(storage, script):
    # One configuration only, and it runs elsewhere: `ask` has nothing to give and waits.
    text = """
    import os, signal, sys, threading, kilter
    study = kilter.create_study(storage=sys.argv[1], sampler="exhaustive", space={"a": "1|2"})
    held = [study.ask(), study.ask()]
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        study.optimize(lambda trial: 1.0)
    except KeyboardInterrupt:
        print("heard")
    else:
        print("ended")
    """
    assert script(text, storage).stdout.strip() in ("heard", "ended")


def test_ctrl_c_ends_a_wait_for_the_file(storage, script):
    # Somebody else holds the file's write lock; kilter would wait for it much longer than this test.
    text = """
    import os, signal, sqlite3, sys, threading, time, kilter
    study = kilter.create_study(storage=sys.argv[1])
    file = sqlite3.connect(sys.argv[1].removeprefix("sqlite:"), isolation_level=None)
    file.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    try:
        study.ask()
    except KeyboardInterrupt:
        print("heard")
    file.execute("ROLLBACK")
    os._exit(0 if time.monotonic() - began < 20 else 1)
    """
    ran = script(text, storage, check=False)
    # os._exit leaves what was printed unflushed.
    assert ran.returncode == 0


def test_a_killed_process_leaves_its_trial_to_others(storage, tmp_path):
    path = tmp_path / "long.py"
    path.write_text(LONG)
    child = subprocess.Popen([sys.executable, str(path), storage, "1"], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "running\n"
    child.kill()
    child.wait()
    study = kilter.load_study("long", storage=storage)
    running = study.trials[-1]
    assert running.state is TrialState.RUNNING
    study.optimize(objective, n_trials=1)
    again = study.trial(running.number)
    assert again.state is TrialState.COMPLETE and again.attempt == 2


def test_objectives_of_threads_do_not_deadlock_with_the_interpreter():
    # Each asks, reports and writes while others do: the interpreter's lock and kilter's must be taken in one order.
    study = kilter.create_study(pruner="median")

    def busy(trial):
        for step in range(20):
            trial.report(trial.suggest_float(f"x{step % 5}", 0, 1), step)
            trial.should_prune()
            study.trials
        trial.set_user_attr("done", True)
        return 1.0

    study.optimize(busy, n_trials=40, n_jobs=8, callbacks=[lambda study, trial: study.best_value])
    assert len(study.trials) == 40
