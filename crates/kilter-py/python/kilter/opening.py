"""Making studies, and finding those that there are."""

import os

from . import _kilter
from .errors import ArgumentError, StudyError, UnknownStudyError
from .frozen import _several
from .spaces import Space
from .study import Study

__all__ = [
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
