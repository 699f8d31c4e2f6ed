"""Ctrl-C in waits for a file that somebody else writes, and leases that are kept valid meanwhile."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import kilter
import pytest
from kilter import TrialState

CHILD = """
import os, sys, time, kilter
address, what = sys.argv[1:]
study = kilter.load_study("shared", storage=address)

def said(word):
    os.write(1, word.encode() + bytes([10]))  # whole, whichever thread says it

def quick(trial):
    return trial.suggest_float("x", 0, 1)

def computes(trial):
    said("running")
    while True:
        time.sleep(0.01)

def computes_then_asks(trial):
    time.sleep(0.2)  # from now on answers are stored as they are given
    said("asking")
    return trial.suggest_float("x", 0, 1)

trial = study.ask() if what in ("suggest", "report", "tell", "tag") else None
time.sleep(0.2 if trial else 0)
if what not in ("computes", "threads that ask"):
    said("ready")
    sys.stdin.readline()  # now the file is locked
    said("waiting")
try:
    if what == "ask":
        study.ask()
    elif what == "suggest":
        trial.suggest_float("x", 0, 1)
    elif what == "report":
        for step in range(100_000):
            trial.report(0.5, step)
    elif what == "tell":
        study.tell(trial, 1.0)
    elif what == "tag":
        trial.set_user_attr("a", 1)
    elif what == "enqueue":
        study.enqueue_trial({"x": 0.5})
    elif what == "create":
        kilter.create_study(name="another", storage=address)
    elif what == "optimize":
        study.optimize(quick)
    elif what == "optimize in threads":
        study.optimize(quick, n_jobs=4)
    elif what == "computes":
        study.optimize(computes)
    elif what == "threads that ask":
        study.optimize(computes_then_asks, n_jobs=2)
except KeyboardInterrupt:
    said("interrupted")
    sys.exit(3)
"""

#: The file is locked for much longer than a test may take, and kilter would wait for it for two minutes.
PATIENCE = 60


class Child:
    """A Python process at a study."""

    def __init__(self, folder, address, what):
        path = folder / "child.py"
        path.write_text(CHILD)
        self.process = subprocess.Popen(
            [sys.executable, str(path), address, what],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        # A child that hears nothing must not hold the tests up.
        self.watch = threading.Timer(PATIENCE, self.process.kill)
        self.watch.daemon = True
        self.watch.start()

    def expect(self, *words):
        for word in words:
            said = self.process.stdout.readline().strip()
            assert said == word, self.process.stderr.read()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def ended(self):
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


@pytest.fixture
def children(tmp_path):
    """Starts children; kills those that are left."""
    started = []

    def start(address, what):
        started.append(Child(tmp_path, address, what))
        return started[-1]

    yield start
    for child in started:
        child.process.kill()
        child.process.wait()


def locked(address):
    """Takes the file's write lock."""
    file = sqlite3.connect(address.removeprefix("sqlite:"), isolation_level=None)
    file.execute("BEGIN IMMEDIATE")
    return file


@pytest.mark.parametrize(
    "what",
    ["ask", "suggest", "report", "tell", "tag", "enqueue", "create", "optimize", "optimize in threads"],
)
def test_ctrl_c_ends_a_wait_for_a_file_that_another_process_writes(what, storage, children):
    kilter.create_study(name="shared", storage=storage)
    child = children(storage, what)
    child.expect("ready")
    file = locked(storage)
    child.process.stdin.write("\n")
    child.process.stdin.flush()
    child.expect("waiting")
    time.sleep(0.5)  # whoever did not wait has ended by now
    assert child.process.poll() is None
    child.interrupt()
    child.expect("interrupted")
    code, err = child.ended()
    assert code == 3, err
    file.execute("ROLLBACK")
    # The file is none the worse for it.
    study = kilter.load_study("shared", storage=storage)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert study.get_trials(states=[TrialState.COMPLETE])


def test_ctrl_c_is_heard_where_the_trial_cannot_be_given_back(storage, children):
    kilter.create_study(name="shared", storage=storage)
    child = children(storage, "computes")
    child.expect("running")
    file = locked(storage)
    child.interrupt()
    child.expect("interrupted")
    code, err = child.ended()
    assert code == 3 and "given back as soon as" in err
    file.execute("ROLLBACK")
    # Its process is gone: it is the next one's.
    study = kilter.load_study("shared", storage=storage)
    study.optimize(lambda trial: 1.0, n_trials=1)
    (trial,) = study.trials
    assert trial.state is TrialState.COMPLETE and trial.attempt == 2


def test_a_second_ctrl_c_leaves_threads_that_wait_for_a_file(storage, children):
    kilter.create_study(name="shared", storage=storage)
    child = children(storage, "threads that ask")
    child.expect("asking")
    file = locked(storage)
    time.sleep(0.5)
    child.interrupt()
    # Two signals sent one after the other may arrive as one: the second is sent once the first was heard.
    assert "Ctrl-C again leaves them" in child.process.stderr.readline()
    child.interrupt()
    while (said := child.process.stdout.readline().strip()) == "asking":
        pass
    assert said == "interrupted", child.process.stderr.read()
    code, err = child.ended()
    assert code == 3, err
    file.execute("ROLLBACK")
    study = kilter.load_study("shared", storage=storage)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert study.get_trials(states=[TrialState.COMPLETE])


def test_a_trial_longer_than_its_lease_stays_its_workers(tmp_path, children):
    # A worker that no process id can be looked up for, as one in another container: its lease alone speaks for it.
    addresses = [f"sqlite:{tmp_path}/{name}.db" for name in ("renewed", "locked")]
    studies = [kilter.create_study(name="shared", storage=address) for address in addresses]
    renewed, kept = (children(address, "computes") for address in addresses)
    for child in (renewed, kept):
        child.expect("running")
    file = sqlite3.connect(addresses[0].removeprefix("sqlite:"), isolation_level=None)

    def elsewhere(deadline):
        (worker,) = file.execute("SELECT worker FROM trials WHERE number = 0").fetchone()
        worker = json.dumps({**json.loads(worker), "boot": ""})
        file.execute("UPDATE trials SET worker = ?, deadline_ms = ? WHERE number = 0", (worker, int(deadline * 1000)))

    # Leases are renewed every 15 seconds.
    deadline = time.time() + 17
    elsewhere(deadline)
    lock = locked(addresses[1])
    while time.time() <= deadline:
        time.sleep(0.1)
    studies[0].optimize(lambda trial: 1.0, n_trials=1)
    first, second = studies[0].trials
    assert first.state is TrialState.RUNNING and first.attempt == 1
    assert second.state is TrialState.COMPLETE
    # The other child's keeper waits for the file meanwhile, which hinders nobody from hearing.
    kept.interrupt()
    kept.expect("interrupted")
    assert kept.ended()[0] == 3
    lock.execute("ROLLBACK")
    # One that is stopped renews nothing: its trial is taken.
    renewed.process.send_signal(signal.SIGSTOP)
    elsewhere(time.time() - 1)
    studies[0].optimize(lambda trial: 1.0, n_trials=1)
    first, _ = studies[0].trials
    assert first.state is TrialState.COMPLETE and first.attempt == 2
