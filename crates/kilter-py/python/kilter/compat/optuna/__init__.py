"""Optuna's interface over kilter: a script changes one line and runs.

>>> import kilter.compat.optuna as optuna
>>> optuna.logging.set_verbosity(optuna.logging.WARNING)
>>> def objective(trial):
...     x = trial.suggest_float("x", -10, 10)
...     return (x - 2) ** 2
>>> study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=10))
>>> study.optimize(objective, n_trials=10)
>>> study.best_trial.state == optuna.trial.TrialState.COMPLETE
True

What differs: trials are proposed by kilter's samplers, so they are others than Optuna's under the same seed; a study in a
file is kilter's own database; samplers and pruners that kilter does not have are not here, and say so.
"""

from . import distributions, exceptions, importance, logging, pruners, samplers, storages, study, trial, visualization
from .exceptions import TrialPruned
from .study import (
    Study,
    copy_study,
    create_study,
    delete_study,
    get_all_study_names,
    get_all_study_summaries,
    load_study,
)
from .trial import Trial, create_trial

__all__ = [
    "Study",
    "Trial",
    "TrialPruned",
    "copy_study",
    "create_study",
    "create_trial",
    "delete_study",
    "distributions",
    "exceptions",
    "get_all_study_names",
    "get_all_study_summaries",
    "importance",
    "load_study",
    "logging",
    "pruners",
    "samplers",
    "storages",
    "study",
    "trial",
    "visualization",
]
