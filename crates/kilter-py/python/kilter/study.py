"""Studies."""

import json
import os
import sys
import threading
import time

from . import _kilter
from .errors import ArgumentError, StudyError, UnknownStudyError
from .frozen import FrozenTrial, TrialState, _several
from .spaces import Space
from .tables import Frame
from .trial import Trial, tags, values_of

__all__ = [
    "Study",
    "StudySummary",
    "create_study",
    "delete_study",
    "get_all_study_names",
    "get_all_study_summaries",
    "load_study",
    "pruner",
    "pruners",
    "sampler",
    "samplers",
]


def create_study(
    *,
    name=None,
    storage=None,
    direction=None,
    directions=None,
    metrics=None,
    sampler="auto",
    pruner="auto",
    seed=0,
    space=None,
    require=(),
    load_if_exists=False,
):
    """Makes a study.

    Args:
        name: Its name; by default ``"study"``, ``"study-2"``, …
        storage: ``"sqlite:FILE"``; by default this process's memory.
        direction: ``"minimize"`` (the default) or ``"maximize"``.
        directions: Several of them, for several values.
        metrics: Names of the values; by default ``"value"``, or ``"value_0"``, ``"value_1"``, …
        sampler: A name with options as on the command line, ``"tpe:startup=20"``; `sampler` writes one.
        pruner: Likewise, ``"median"``.
        seed: Of everything that is drawn.
        space: A `Space`, if it is declared; by default it is what the objective asks.
        require: What the best trial must keep, such as ``"latency_ms <= 10"``.
        load_if_exists: Continue the study of this name, if there is one.

    >>> import kilter
    >>> kilter.create_study(direction="maximize", sampler=kilter.sampler("tpe", startup=5))
    Study('study', 0 trials)
    """
    goals = _goals(direction, directions, metrics)
    store = storage if isinstance(storage, _kilter.Store) else _kilter.Store(storage, True)
    if space is not None and not isinstance(space, Space):
        space = Space(space)
    taken = [taken for taken, _ in store.studies()]
    if name is None:
        name = next(name for n in range(1, len(taken) + 2) if (name := "study" if n == 1 else f"study-{n}") not in taken)
    if not isinstance(name, str) or not name.strip() or any(ord(c) < 32 for c in name):
        raise ArgumentError(f"name {name!r}: a study's name is a line of text that is not empty")
    if load_if_exists and name in taken:
        return load_study(name, storage=store)
    core = space._core if space is not None else None
    try:
        core = _kilter.Core.create(store, name, goals, str(sampler), str(pruner), _seed(seed), core, list(require))
    except StudyError:
        # Somebody else may have made it just now.
        if load_if_exists and name in [taken for taken, _ in store.studies()]:
            return load_study(name, storage=store)
        raise
    return Study(core)


def load_study(name=None, *, storage, sampler=None, pruner=None):
    """Continues a study that is there; without a name the newest.

    Its sampler and pruner are those it was made with, unless others are named.

    Raises:
        UnknownStudyError: If there is none of this name.
        StorageError: If the storage cannot be used.
    """
    store = storage if isinstance(storage, _kilter.Store) else _kilter.Store(storage, False)
    if name is None:
        names = [name for name, _ in store.studies()]
        if not names:
            raise UnknownStudyError(f"{store.address()} holds no study yet; make one with kilter.create_study")
        name = names[-1]
    return Study(_kilter.Core.load(store, name, _text(sampler), _text(pruner)))


def delete_study(name, *, storage):
    """Removes a study and everything that happened in it."""
    store = storage if isinstance(storage, _kilter.Store) else _kilter.Store(storage, False)
    store.delete(name)


def get_all_study_names(storage):
    """The names of all studies, oldest first."""
    store = storage if isinstance(storage, _kilter.Store) else _kilter.Store(storage, False)
    return [name for name, _ in store.studies()]


class StudySummary:
    """A study in a list: `study_name`, `directions`, `best_trial`, `user_attrs`, `n_trials`, `datetime_start`."""

    def __init__(self, study):
        self.study_name = study.name
        self.directions = study.directions
        self.user_attrs = study.user_attrs
        trials = study.trials
        self.n_trials = len(trials)
        self.datetime_start = min((trial.datetime_start for trial in trials), default=None)
        best = study.best_trials if len(self.directions) == 1 else []
        self.best_trial = best[0] if best else None

    @property
    def direction(self):
        """Its direction, if it has one."""
        if len(self.directions) > 1:
            raise _several("direction", "directions")
        return self.directions[0]

    def __repr__(self):
        return f"StudySummary({self.study_name!r}, {self.n_trials} trials)"


def get_all_study_summaries(storage):
    """All studies, oldest first, as `StudySummary`s."""
    store = storage if isinstance(storage, _kilter.Store) else _kilter.Store(storage, False)
    return [StudySummary(Study(_kilter.Core.load(store, name, None, None))) for name, _ in store.studies()]


def samplers():
    """All samplers: (name, what it does, its options with their defaults)."""
    return _kilter.samplers()


def pruners():
    """All pruners, likewise."""
    return _kilter.pruners()


def sampler(name, **options):
    """A sampler's name with options, as `create_study` takes it.

    >>> import kilter
    >>> kilter.sampler("tpe", startup=20, multivariate=False)
    'tpe:startup=20,multivariate=false'

    Raises:
        ArgumentError: If there is no such sampler or option; the message knows the nearest.
    """
    text = _call(name, options)
    _kilter.check_sampler(text)
    return text


def pruner(name, **options):
    """A pruner's name with options, likewise."""
    text = _call(name, options)
    _kilter.check_pruner(text)
    return text


def _call(name, options):
    def said(value):
        return str(value).lower() if isinstance(value, bool) else str(value)

    listed = ",".join(f"{key}={said(value)}" for key, value in options.items())
    return f"{name}:{listed}" if listed else str(name)


def _names(params):
    if isinstance(params, str):
        raise ArgumentError(f"params={params!r}: write a list of names")
    return None if params is None else list(params)


def _text(value):
    return None if value is None else str(value)


def _seed(seed):
    if seed is None:
        return int.from_bytes(os.urandom(7), "little")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ArgumentError(f"seed {seed!r}: write a whole number from 0, or None for a new one each time")
    return seed


def _goals(direction, directions, metrics):
    if direction is not None and directions is not None:
        raise ArgumentError("both direction and directions were given; give one of them")
    if isinstance(directions, str):
        raise ArgumentError(f'directions={directions!r}: write a list, such as ["minimize", "maximize"]')
    ways = [direction or "minimize"] if directions is None else list(directions)
    if not ways:
        raise ArgumentError('directions is empty; write for example ["minimize", "maximize"]')
    ways = [str(getattr(way, "name", way)).lower() for way in ways]
    if isinstance(metrics, str):
        metrics = [metrics]
    if metrics is None:
        metrics = ["value"] if len(ways) == 1 else [f"value_{i}" for i in range(len(ways))]
    if len(metrics) != len(ways):
        raise ArgumentError(f"{len(metrics)} metrics but {len(ways)} directions; name one for each")
    return list(zip(metrics, ways))


class Study:
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

    # ----- figures

    def _figure(self, kind, params=None, target=None):
        try:
            import plotly.graph_objects
        except ImportError:
            raise ImportError("figures are drawn by Plotly, which is not here; pip install plotly") from None
        return plotly.graph_objects.Figure(json.loads(self._core.figure(kind, params, target)))

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


