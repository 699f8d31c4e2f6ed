"""The loop of `Study.optimize`: ask, run, tell, in one thread or several."""

import gc
import os
import threading
import time

from . import _kilter
from .errors import ArgumentError, TrialPruned
from .progress import Progress
from .study import told, warn
from .trial import values_of

#: How long to wait for another trial to end before asking again, in seconds.
WAIT = 0.05


class Loop:
    """One call of `optimize`."""

    def __init__(self, study, func, n_trials, timeout, n_jobs, catch, callbacks, gc_after_trial, show_progress_bar):
        if not callable(func):
            raise ArgumentError(f"the objective {func!r} cannot be called; give a function of a trial")
        if n_trials is not None and (isinstance(n_trials, bool) or int(n_trials) != n_trials or n_trials < 0):
            raise ArgumentError(f"n_trials {n_trials!r}: write a whole number from 0, or None")
        if n_jobs == -1:
            n_jobs = os.cpu_count() or 1
        if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs < 1:
            raise ArgumentError(f"n_jobs {n_jobs!r}: write a whole number from 1, or -1 for all CPUs")
        self.study = study
        self.func = func
        self.left = n_trials
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.n_jobs = n_jobs
        self.catch = catch if isinstance(catch, tuple) else tuple(catch) if hasattr(catch, "__iter__") else (catch,)
        self.callbacks = callbacks
        self.gc_after_trial = gc_after_trial
        self.progress = Progress(study, n_trials, timeout) if show_progress_bar else None
        self.lock = threading.Lock()
        self.error = None
        self.done = None
        self.over = threading.Event()
        self.idle = threading.Event()
        self.alive = 0
        self.running = {}

    def run(self):
        """Runs it to its end."""
        core = self.study._core
        core.halt(False)
        core.reap()
        try:
            if self.n_jobs == 1:
                self.work()
            else:
                self.work_in_threads()
        finally:
            if self.progress:
                self.progress.close(self.study)
        if self.error is not None:
            raise self.error
        if self.done is not None:
            warn(f"the study has ended: {self.done}")

    def work_in_threads(self):
        # Thread.join forgets a running thread when Ctrl-C interrupts it, so they are counted here.
        self.alive = self.n_jobs
        for _ in range(self.n_jobs):
            threading.Thread(target=self.work_in_thread, daemon=True).start()
        try:
            self.wait()
        except KeyboardInterrupt:
            try:
                self.stop()
                # Signals reach no other thread than this one: those that wait for a file to be given a trial are told.
                self.study._core.halt(True)
                if not self.idle.is_set():
                    warn("finishing the trials that run; Ctrl-C again leaves them (they will run again)")
                self.wait()
            except KeyboardInterrupt:
                self.leave()
            raise

    def leave(self):
        """Gives back what runs, for whoever does not wait for it."""
        self.study._interrupted = True
        with self.lock:
            left = list(self.running.values())
        for trial in left:
            _release(trial)

    def work_in_thread(self):
        try:
            self.work()
        finally:
            with self.lock:
                self.alive -= 1
                if self.alive == 0:
                    self.idle.set()

    def wait(self):
        # With a limit, so that Ctrl-C is heard on every platform.
        while not self.idle.wait(0.1):
            pass

    def stop(self):
        self.study._stop = True
        self.over.set()

    def goes_on(self):
        """Takes one of the trials that are left, if another one is to begin."""
        with self.lock:
            late = self.deadline is not None and time.monotonic() >= self.deadline
            if self.study._stop or self.error is not None or self.done is not None or late or self.left == 0:
                return False
            if self.left is not None:
                self.left -= 1
            return True

    def work(self):
        """What one thread does."""
        try:
            while self.goes_on():
                trial = self.ask()
                if trial is None:
                    break
                self.run_trial(trial)
        except BaseException as error:
            if self.n_jobs == 1:
                raise
            with self.lock:
                self.error = self.error or error
            self.stop()

    def ask(self):
        core = self.study._core
        waits = 0
        while True:
            asked = core.ask(False)
            if isinstance(asked, _kilter.Handle):
                trial = self.study._Trial(self.study, asked)
                with self.lock:
                    self.running[trial.number] = trial
                return trial
            if isinstance(asked, str):
                self.done = asked
                return None
            late = self.deadline is not None and time.monotonic() >= self.deadline
            if self.study._stop or self.error is not None or late:
                return None
            # Another trial must end first; perhaps its worker died.
            self.over.wait(WAIT)
            waits += 1
            if waits % 20 == 0:
                core.reap()

    def run_trial(self, trial):
        study, handle = self.study, trial._handle
        raised = None
        try:
            result = self.func(trial)
        except TrialPruned:
            handle.finish("pruned", [], None)
        except Exception as error:
            handle.finish("failed", [], told(error))
            if not isinstance(error, self.catch):
                raised = error
            else:
                warn(f"trial {trial.number} failed: {type(error).__name__}: {error}")
        except BaseException:
            # Ctrl-C, or the end of the program: no fault of the trial's, which will run again.
            _release(trial)
            raise
        else:
            metrics, wrong = values_of(result, study._goals)
            if wrong is not None:
                handle.finish("failed", [], ("", wrong, ""))
                warn(f"trial {trial.number} failed: {wrong}")
            else:
                handle.finish("complete", metrics, None)
        finally:
            with self.lock:
                self.running.pop(trial.number, None)
        if self.gc_after_trial:
            gc.collect()
        if raised is not None:
            raise raised
        if self.callbacks:
            frozen = study.trial(trial.number)
            for callback in self.callbacks:
                callback(study, frozen)
        if self.progress:
            self.progress.tick(study)


def _release(trial):
    try:
        if not trial._handle.release():
            warn(f"trial {trial.number} is given back as soon as the storage can be written")
    except Exception as why:
        if trial.study._interrupted:
            return  # it was given back when the loop was left
        warn(f"trial {trial.number} could not be given back: {why}")
