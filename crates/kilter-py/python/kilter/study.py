"""Studies."""

import json
import os
import sys
import threading
import time

from . import _kilter
from ._figures import Figures
from .errors import ArgumentError, StudyError
from .frozen import FrozenTrial, TrialState, _several
from .spaces import Space
from .tables import Frame
from .trial import Trial, tags, values_of

__all__ = ["Study"]


class Study(Figures):
    """A study: what was tried, and what is tried next. Made by `create_study` and `load_study`.

    It may be used by several threads at once, pickled (in memory: as a copy of everything in it), and, in a file, opened
    by many processes.
    """

    _Trial, _Frozen = Trial, FrozenTrial

    def __init__(self, core):
        self._core = core
        spec = core.spec()
        self._name = spec["name"]
        self._goals = spec["goals"]
        self._sampler = spec["sampler"]
        self._pruner = spec["pruner"]
        self._begin()

    def _begin(self):
        self._frozen = {}
        self._asked = {}
        self._stop = False
        self._interrupted = False
        self._running = threading.Lock()

    def _freeze(self, rows):
        domains = {entry["name"]: entry["domain"] for entry in self._core.space().entries()}
        return [self._Frozen(row, self._goals, domains) for row in rows]

    def _first_callbacks(self):
        """Called after each trial, before those that were given."""
        return []

    # ----- what it is

    @property
    def name(self):
        """Its name."""
        return self._name

    study_name = name

    @property
    def directions(self):
        """``"minimize"`` or ``"maximize"``, one for each value."""
        return [way for _, way in self._goals]

    @property
    def direction(self):
        """Its direction, if it has one."""
        if len(self._goals) > 1:
            raise _several("direction", "directions")
        return self._goals[0][1]

    @property
    def metric_names(self):
        """The names of its values."""
        return [metric for metric, _ in self._goals]

    @property
    def sampler(self):
        """Its sampler, as on the command line."""
        return self._sampler

    @property
    def pruner(self):
        """Its pruner, as on the command line."""
        return self._pruner

    @property
    def space(self):
        """Its space; of one that was not declared, what trials have asked so far."""
        return Space._of(self._core.space())

    @property
    def storage(self):
        """Its storage's address, or None for memory."""
        return self._core.address()

    @property
    def user_attrs(self):
        """What was written on it."""
        return self._core.spec()["user"]

    def set_user_attr(self, key, value):
        """Writes on the study; `value` must be JSON."""
        self._core.tag(None, tags(key, value))

    # ----- what was tried

    @property
    def trials(self):
        """All trials, as `FrozenTrial`s."""
        return self.get_trials()

    def get_trials(self, *, states=None):
        """All trials, or those in some states."""
        wanted, missing = [], []
        names = None if states is None else {TrialState(state).value for state in states}
        for number, state, version in self._core.states():
            if names is not None and state not in names:
                continue
            wanted.append(number)
            known = self._frozen.get(number)
            if known is None or known[0] != (state, version):
                missing.append((number, (state, version)))
        if missing:
            frozen = self._freeze(self._core.rows([number for number, _ in missing]))
            for (number, version), trial in zip(missing, frozen):
                self._frozen[number] = (version, trial)
        return [self._frozen[number][1] for number in wanted]

    def trial(self, number):
        """One trial, as a `FrozenTrial`."""
        rows = self._core.rows([number])
        if not rows:
            raise StudyError(f"the study has no trial {number}")
        return self._freeze(rows)[0]

    def trials_dataframe(self, columns=None):
        """All trials as a table: a `Frame`, which pandas, Polars and PyArrow read without copying.

        Args:
            columns: Fields by name, as ``kilter trials --columns`` takes them; None: all that any trial has.
        """
        return Frame(self._core.table(columns))

    def param_importances(self, target=None, *, target_quantile=0.1, region_quantile=1.0, evaluate_on_local=True):
        """How much each hyperparameter mattered, by PED-ANOVA: a dict by name, the largest share first; they add up to 1.

        A hyperparameter matters as far as its values among the better trials differ from those among all.

        Args:
            target: A metric's name; None: the first direction's.
            target_quantile: Share of the trials that are the better ones.
            region_quantile: Share of the trials that they are compared with.
            evaluate_on_local: Compare with how those trials are spread, not with an even spread.
        """
        found = self._core.importances(target, target_quantile, region_quantile, evaluate_on_local)
        return dict(sorted(found, key=lambda pair: -pair[1]))

    @property
    def best_trial(self):
        """The feasible trial with the best value.

        Raises:
            StudyError: If there is none yet, or the study has several directions.
        """
        if len(self._goals) > 1:
            raise _several("best_trial", "best_trials")
        best = self._core.best()
        if not best:
            raise StudyError("no trial is complete yet, so none is the best")
        return self.trial(best[0])

    @property
    def best_trials(self):
        """The feasible trials that no other surpasses in every direction."""
        return self._freeze(self._core.rows(self._core.best()))

    @property
    def best_params(self):
        """The best trial's hyperparameters."""
        return self.best_trial.params

    @property
    def best_value(self):
        """The best trial's value."""
        return self.best_trial.value

    # ----- trying

    def optimize(
        self,
        func,
        n_trials=None,
        timeout=None,
        n_jobs=1,
        catch=(),
        callbacks=None,
        gc_after_trial=False,
        show_progress_bar=False,
    ):
        """Runs trials of `func(trial)`, which returns a number (or several, or a dict of metrics).

        A trial whose function raises has failed; the exception goes on, unless `catch` names its type. One that returns
        None, NaN, a complex number or too few values has failed too, and the study goes on.

        Ctrl-C ends it: the trial that ran waits to be run again. With several jobs the first Ctrl-C begins no more trials
        and waits for those that run, a second one leaves them.

        Args:
            func: The objective.
            n_trials: How many trials this call runs; None: until the timeout, `stop`, Ctrl-C, or an exhausted space.
            timeout: After so many seconds no trial begins any more.
            n_jobs: Threads; -1: as many as there are CPUs. They suit functions that leave the interpreter, as NumPy,
                scikit-learn and training libraries do.
            catch: Types of exceptions that only fail their trial.
            callbacks: Called as ``callback(study, frozen_trial)`` after each trial.
            gc_after_trial: Collect garbage after each trial.
            show_progress_bar: Show progress, in notebooks too.

        >>> import kilter
        >>> study = kilter.create_study()
        >>> study.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=5)
        >>> len(study.trials)
        5
        """
        from ._loop import Loop

        if not self._running.acquire(blocking=False):
            raise StudyError("this study is being optimized already; open it a second time with kilter.load_study")
        try:
            self._stop = self._interrupted = False
            callbacks = [*self._first_callbacks(), *(callbacks or ())]
            Loop(self, func, n_trials, timeout, n_jobs, catch, callbacks, gc_after_trial, show_progress_bar).run()
        finally:
            self._running.release()

    def stop(self):
        """Ends `optimize` after the trials that run; for callbacks and objectives."""
        if not self._running.locked():
            raise StudyError("stop() ends optimize(), which does not run; call it from a callback or an objective")
        self._stop = True

    def ask(self, fixed_distributions=None):
        """The next trial, to be run by yourself and ended with `tell`, in whichever process.

        >>> import kilter
        >>> study = kilter.create_study()
        >>> trial = study.ask()
        >>> x = trial.suggest_float("x", 0, 1)
        >>> study.tell(trial, x ** 2).state
        TrialState.COMPLETE

        Raises:
            StudyError: If there is nothing left to try.
        """
        while True:
            asked = self._core.ask(True)
            if isinstance(asked, _kilter.Handle):
                break
            if isinstance(asked, str):
                raise StudyError(f"there is nothing left to try: {asked}")
            # Another trial must end first.
            time.sleep(0.05)
            self._core.reap()
        trial = self._Trial(self, asked)
        self._asked[trial.number] = trial
        for name, domain in (fixed_distributions or {}).items():
            domain._suggest(trial, name)
        return trial

    def tell(self, trial, values=None, state=None, skip_if_finished=False):
        """Ends a trial that was asked with `ask`.

        Args:
            trial: The trial, or its number, also if another process asked for it.
            values: Its value, or several, or a dict of metrics.
            state: `TrialState.PRUNED` or `TrialState.FAILED`, if it is not complete.
            skip_if_finished: Say nothing if it has ended already.

        Returns:
            The trial, frozen. If the values cannot be, it has failed; its `why` says why.
        """
        number = trial if isinstance(trial, int) else trial.number
        if skip_if_finished:
            known = self._core.rows([number])
            if known and TrialState(known[0]["state"]).is_finished():
                return self._freeze(known)[0]
        state = TrialState.COMPLETE if state is None else TrialState(getattr(state, "value", state))
        metrics, failure = [], None
        if state is TrialState.COMPLETE:
            metrics, wrong = values_of(values, self._goals)
            if wrong is not None:
                raise ArgumentError(wrong.replace("the function returned", "tell was given"))
        elif values is not None:
            raise ArgumentError(f"a trial that is {state.value} has no values; leave them out")
        if state is TrialState.FAILED:
            failure = ("", "told so", "")
        asked = trial if isinstance(trial, Trial) else self._asked.get(number)
        if asked is not None:
            asked._handle.finish(state.value, metrics, failure)
            self._asked.pop(number, None)
        else:
            self._core.tell(number, state.value, metrics, failure)
        return self.trial(number)

    def enqueue_trial(self, params, user_attrs=None, skip_if_exists=False):
        """Runs this configuration before anything that the sampler proposes. Gives the trial's number.

        What it leaves open is drawn at random when it is asked.
        """
        if skip_if_exists and any(trial.params == dict(params) for trial in self.trials):
            return None
        number = self._core.enqueue(dict(params))
        for key, value in (user_attrs or {}).items():
            self._core.tag(number, tags(key, value))
        return number

    def add_trial(self, trial):
        """Adds a trial that has ended, such as one of another study. Gives its number."""
        params = [(name, value, trial._domains.get(name)) for name, value in trial.params.items()]
        # The other study may have called the same values otherwise.
        theirs = dict(zip([metric for metric, _ in trial._goals], [metric for metric, _ in self._goals]))
        metrics = [(theirs.get(metric, metric), value) for metric, value in trial.metrics.items()]
        points = [(step, theirs.get(metric, metric), value) for step, metric, value in trial.reports]
        return self._core.add(trial.state.value, params, metrics, points, json.dumps(trial.user_attrs))

    def add_trials(self, trials):
        """Adds several."""
        for trial in trials:
            self.add_trial(trial)

    # ----- how it is shown and kept

    def __getstate__(self):
        address = self._core.address()
        state = {"sampler": self._sampler, "pruner": self._pruner}
        if address is None:
            return {**state, "dump": self._core.dump()}
        path = os.path.abspath(address.removeprefix("sqlite:").partition("?")[0])
        _, _, options = address.partition("?")
        return {**state, "name": self._name, "address": f"sqlite:{path}" + (f"?{options}" if options else "")}

    def __setstate__(self, state):
        if "dump" in state:
            core = _kilter.Core.undump(state["dump"], state["sampler"], state["pruner"])
        else:
            store = _kilter.Store(state["address"], False)
            core = _kilter.Core.load(store, state["name"], state["sampler"], state["pruner"])
        self.__init__(core)

    def __len__(self):
        return sum(count for _, count in self._core.counts())

    def __bool__(self):
        return True

    def __repr__(self):
        trials = len(self)
        return f"Study({self._name!r}, {trials} trial{'' if trials == 1 else 's'})"

    def _repr_html_(self):
        from .html import table

        trials = self.get_trials(states=[TrialState.COMPLETE])
        best = {trial.number for trial in self.best_trials}
        if len(self._goals) == 1:
            sign = 1 if self._goals[0][1] == "minimize" else -1
            shown = sorted(trials, key=lambda trial: sign * trial.value)[:10]
        else:
            shown = self.best_trials[:10]
        names = list(dict.fromkeys(name for trial in shown for name in trial.params))
        head = ["trial", *self.metric_names, *names]
        rows = [
            [f"{trial.number}{' ★' if trial.number in best else ''}", *trial.values, *map(trial.params.get, names)]
            for trial in shown
        ]
        counts = ", ".join(f"{count} {state}" for state, count in self._core.counts() if count)
        return table(head, rows, caption=f"{self._name}: {counts or 'no trials'}")


def told(error):
    """An exception as a failure: its type, its message, where it was raised."""
    import traceback

    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return (type(error).__qualname__, str(error), "".join(lines)[-4000:])


def warn(text):
    """A line on standard error."""
    print(f"kilter: {text}", file=sys.stderr)
