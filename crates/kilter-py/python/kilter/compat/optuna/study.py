"""Optuna's studies."""

import enum
import uuid

from ... import _kilter
from ... import opening as ours
from ...errors import ArgumentError, StudyError
from . import logging, pruners, storages
from .samplers import BaseSampler, TPESampler
from .trial import FrozenTrial, Trial, TrialState

__all__ = [
    "MaxTrialsCallback",
    "Study",
    "StudyDirection",
    "StudySummary",
    "copy_study",
    "create_study",
    "delete_study",
    "get_all_study_names",
    "get_all_study_summaries",
    "load_study",
]

_logger = logging.get_logger("kilter.study")


class StudyDirection(enum.IntEnum):
    """Which way a value is better."""

    NOT_SET = 0
    MINIMIZE = 1
    MAXIMIZE = 2


class Study(ours.Study):
    """A study."""

    _Trial, _Frozen = Trial, FrozenTrial

    @property
    def directions(self):
        """Its directions."""
        return [StudyDirection[way.upper()] for _, way in self._goals]

    @property
    def direction(self):
        """Its direction, if it has one."""
        if len(self._goals) > 1:
            raise RuntimeError("the study has several directions; use `directions`")
        return self.directions[0]

    @property
    def metric_names(self):
        """The names of its values, if it was told any."""
        return self.user_attrs.get("kilter.metric_names")

    def set_metric_names(self, metric_names):
        """Names its values."""
        if len(metric_names) != len(self._goals):
            raise ValueError(f"{len(metric_names)} names for {len(self._goals)} values")
        self.set_user_attr("kilter.metric_names", list(metric_names))

    @property
    def system_attrs(self):
        """kilter keeps none."""
        return {}

    @property
    def best_trial(self):
        """The best trial."""
        if len(self._goals) > 1:
            raise RuntimeError("the study has several directions; use `best_trials`")
        try:
            return super().best_trial
        except StudyError:
            raise ValueError("No trials are completed yet.") from None

    def get_trials(self, deepcopy=True, states=None):
        """All trials, or those in some states."""
        return super().get_trials(states=states)

    def _first_callbacks(self):
        return [_say] if _logger.isEnabledFor(logging.INFO) else []

    def tell(self, trial, values=None, state=None, skip_if_finished=False):
        """Ends a trial."""
        if state in (TrialState.PRUNED, TrialState.FAILED) and values is not None:
            raise ValueError("a trial that is not complete has no values; leave them out")
        return super().tell(trial, values, state, skip_if_finished)

    def trials_dataframe(
        self,
        attrs=("number", "value", "datetime_start", "datetime_complete", "duration", "params", "user_attrs", "state"),
        multi_index=False,
    ):
        """All trials as a pandas DataFrame with Optuna's columns."""
        import pandas

        several = len(self._goals) > 1
        names = self.metric_names or list(range(len(self._goals)))
        records = []
        for trial in self.trials:
            record = {}
            for attr in attrs:
                if attr in ("value", "values"):
                    values = trial.values or [None] * len(self._goals)
                    if several:
                        record.update({("values", name): value for name, value in zip(names, values)})
                    else:
                        record[("value", "")] = values[0]
                elif attr == "state":
                    record[("state", "")] = "FAIL" if trial.state is TrialState.FAILED else trial.state.name
                else:
                    what = getattr(trial, attr)
                    if isinstance(what, dict):
                        record.update({(attr, str(key)): value for key, value in what.items()})
                    else:
                        record[(attr, "")] = what
            records.append(record)
        order = list(dict.fromkeys(key for record in records for key in record))
        # As in the order of attrs, names sorted below each.
        wanted = ["values" if attr in ("value", "values") and several else attr for attr in attrs]
        wanted = ["value" if attr == "values" and not several else attr for attr in wanted]
        order.sort(key=lambda key: (wanted.index(key[0]), str(key[1])))
        frame = pandas.DataFrame([[record.get(key) for key in order] for record in records])
        if multi_index:
            frame.columns = pandas.MultiIndex.from_tuples(order) if order else frame.columns
        else:
            frame.columns = [f"{one}_{two}" if two != "" else one for one, two in order]
        return frame


def _say(study, trial):
    """What Optuna says of each trial."""
    if trial.state is TrialState.COMPLETE:
        value = f"value: {trial.values[0]}" if len(trial.values) == 1 else f"values: {trial.values}"
        said = f"Trial {trial.number} finished with {value} and parameters: {trial.params}."
        if len(trial.values) == 1:
            best = study.best_trial
            said += f" Best is trial {best.number} with value: {best.value}."
        _logger.info(said)
    elif trial.state is TrialState.PRUNED:
        _logger.info(f"Trial {trial.number} pruned. {trial.why}")


class MaxTrialsCallback:
    """Ends `optimize` when so many trials have ended, all processes together."""

    def __init__(self, n_trials, states=(TrialState.COMPLETE,)):
        self._n_trials, self._states = n_trials, states

    def __call__(self, study, trial):
        if len(study.get_trials(states=self._states)) >= self._n_trials:
            study.stop()


class StudySummary(ours.StudySummary):
    """A study in a list."""


def create_study(
    *,
    storage=None,
    sampler=None,
    pruner=None,
    study_name=None,
    direction=None,
    load_if_exists=False,
    directions=None,
):
    """Makes a study. By default TPE proposes and the median of the others prunes."""
    store = storages.get_storage(storage)
    sampler = TPESampler() if sampler is None else _sampler(sampler)
    pruner = pruners.MedianPruner() if pruner is None else pruner
    name = study_name or f"no-name-{uuid.uuid4()}"
    if load_if_exists and name in [taken for taken, _ in store.studies()]:
        return load_study(study_name=name, storage=store, sampler=sampler, pruner=pruner)
    goals = ours._goals(direction, directions, None)
    space = None if sampler.space is None else sampler.space._core
    seed = ours._seed(sampler.seed)
    try:
        study = Study(_kilter.Core.create(store, name, goals, str(sampler), str(pruner), seed, space, []))
    except StudyError:
        if load_if_exists and name in [taken for taken, _ in store.studies()]:
            return load_study(study_name=name, storage=store, sampler=sampler, pruner=pruner)
        raise
    _logger.info(f"A new study created with name: {name}")
    return study


def _sampler(sampler):
    if not isinstance(sampler, BaseSampler):
        raise ArgumentError(f"{sampler!r} is no sampler of kilter.compat.optuna.samplers")
    return sampler


def load_study(*, study_name=None, storage, sampler=None, pruner=None):
    """Continues a study."""
    loaded = ours.load_study(study_name, storage=storages.get_storage(storage), sampler=sampler, pruner=pruner)
    return Study(loaded._core)


def delete_study(*, study_name, storage):
    """Removes a study."""
    ours.delete_study(study_name, storage=storages.get_storage(storage))


def copy_study(*, from_study_name, from_storage, to_storage, to_study_name=None):
    """Copies a study's trials into a new one."""
    source = load_study(study_name=from_study_name, storage=from_storage)
    made = create_study(
        study_name=to_study_name or from_study_name, storage=to_storage, directions=[way for _, way in source._goals]
    )
    for key, value in source.user_attrs.items():
        made.set_user_attr(key, value)
    made.add_trials(source.trials)


def get_all_study_names(storage):
    """The names of all studies."""
    return ours.get_all_study_names(storages.get_storage(storage))


def get_all_study_summaries(storage, include_best_trial=True):
    """All studies in short."""
    store = storages.get_storage(storage)
    return [
        StudySummary(load_study(study_name=name, storage=store))
        for name in ours.get_all_study_names(store)
    ]
