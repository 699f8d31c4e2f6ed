"""kilter's samplers for Optuna's studies.

>>> import optuna
>>> from kilter.optuna import KilterSampler
>>> optuna.logging.set_verbosity(optuna.logging.WARNING)
>>> study = optuna.create_study(sampler=KilterSampler("tpe", seed=1))
>>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=20)
>>> study.best_value < 0.1
True
"""

import re
import threading

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from . import _kilter
from . import opening as ours

__all__ = ["KilterSampler"]

_ENDINGS = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class KilterSampler(BaseSampler):
    """One of kilter's samplers, by name with options as on the command line.

    What it knows is rebuilt from the study's trials, so it may be pickled, shared by threads, and used by many processes
    at one storage.
    """

    def __init__(self, sampler="auto", seed=None):
        self._sampler = ours.sampler(sampler)
        self._seed = ours._seed(seed)
        self._random = RandomSampler(seed=self._seed % 2**32)
        self._forget()

    def _forget(self):
        self._core = None
        self._lock = threading.RLock()
        # By Optuna's numbers: those in this process's hands, and those whose ends are known.
        self._handles = {}
        self._known = set()
        self._names = {}

    def __getstate__(self):
        return {"sampler": self._sampler, "seed": self._seed, "random": self._random}

    def __setstate__(self, state):
        self._sampler, self._seed, self._random = state["sampler"], state["seed"], state["random"]
        self._forget()

    def __str__(self):
        return f"KilterSampler({self._sampler!r})"

    def reseed_rng(self):
        """Nothing to do for kilter: what a trial draws hangs on the seed and the trial's number."""
        self._random.reseed_rng()

    def infer_relative_search_space(self, study, trial):
        """Nothing beforehand: kilter answers one question at a time from what it proposed jointly."""
        return {}

    def sample_relative(self, study, trial, search_space):
        """Nothing beforehand."""
        return {}

    def before_trial(self, study, trial):
        """Learns what is new, and asks for a trial."""
        with self._lock:
            if self._core is None:
                goals = [(f"value_{i}", way.name.lower()) for i, way in enumerate(study.directions)]
                store = _kilter.Store(None, True)
                self._core = _kilter.Core.create(store, "optuna", goals, self._sampler, "none", self._seed, None, [])
            self._learn(study)
            asked = self._core.ask(False)
            if isinstance(asked, _kilter.Handle):
                self._handles[trial.number] = asked
                return
        if isinstance(asked, str):
            # Everything was tried: as Optuna's own grid does it.
            study.stop()

    def sample_independent(self, study, trial, param_name, param_distribution):
        """The answer to one question."""
        with self._lock:
            handle = self._handles.get(trial.number)
            name = self._name(param_name)
        if handle is None:
            return self._random.sample_independent(study, trial, param_name, param_distribution)
        dist = param_distribution
        if isinstance(dist, FloatDistribution):
            return handle.float(name, dist.low, dist.high, dist.log, dist.step)
        if isinstance(dist, IntDistribution):
            return handle.int(name, dist.low, dist.high, dist.log, dist.step)
        return dist.choices[handle.choice(name, _choices(dist))]

    def after_trial(self, study, trial, state, values):
        """Learns how the trial ended."""
        with self._lock:
            handle = self._handles.pop(trial.number, None)
            if handle is None:
                return
            self._known.add(trial.number)
            for step, value in sorted(trial.intermediate_values.items()):
                handle.report(step, [("value_0", value)])
            metrics = [(f"value_{i}", float(value)) for i, value in enumerate(values or [])]
            if state == TrialState.COMPLETE and metrics:
                handle.finish("complete", metrics, None)
            else:
                handle.finish("pruned" if state == TrialState.PRUNED else "failed", [], None)

    def _learn(self, study):
        """Takes trials that ended in other hands: other processes, enqueued ones, those before this sampler came."""
        for trial in study.get_trials(deepcopy=False):
            if trial.number in self._known or trial.number in self._handles or not trial.state.is_finished():
                continue
            self._known.add(trial.number)
            params = [
                (self._name(name), _value(trial.distributions[name], value), _described(trial.distributions[name]))
                for name, value in trial.params.items()
            ]
            metrics = [(f"value_{i}", value) for i, value in enumerate(trial.values or [])]
            points = [(step, "value_0", value) for step, value in sorted(trial.intermediate_values.items())]
            state = _ENDINGS[trial.state]
            self._core.add(state, params, metrics if state == "complete" else [], points, "{}")

    def _name(self, name):
        """Optuna's names may be anything; kilter's are words."""
        if name not in self._names:
            plain = re.fullmatch(r"[^\W\d][\w.]*", name) and name not in _WORDS
            self._names[name] = name if plain else f"parameter_{len(self._names)}_"
        return self._names[name]


#: Words of kilter's expressions.
_WORDS = {"and", "or", "not", "in", "min", "max", "true", "false", "null"}


def _is_plain(choices):
    kinds = {(type(choice), repr(choice)) for choice in choices}
    return len(kinds) == len(choices) and all(kind in (type(None), bool, int, str) for kind, _ in kinds)


def _choices(dist):
    """The choices, or their places where they are no plain values."""
    return list(dist.choices) if _is_plain(dist.choices) else list(range(len(dist.choices)))


def _value(dist, value):
    if isinstance(dist, CategoricalDistribution) and not _is_plain(dist.choices):
        return int(dist.to_internal_repr(value))
    return value


def _described(dist):
    if isinstance(dist, FloatDistribution):
        return ("float", dist.low, dist.high, dist.log, dist.step)
    if isinstance(dist, IntDistribution):
        return ("int", dist.low, dist.high, dist.log, dist.step)
    return ("choice", _choices(dist))
