"""kilter keeps a model's hyperparameters in kilter: it searches for them and remembers every answer.

>>> import kilter
>>> def objective(trial):
...     x = trial.suggest_float("x", -10, 10)
...     return (x - 2) ** 2
>>> study = kilter.create_study(seed=1)
>>> study.optimize(objective, n_trials=30)
>>> -10 <= study.best_params["x"] <= 10
True

A study lives in memory, or in a file that many processes share and that survives all of them::

    study = kilter.create_study(name="digits", storage="sqlite:kilter.db", load_if_exists=True)

The same file is looked after by the command line: ``kilter trials digits``, ``kilter best digits``.
"""

from ._kilter import __version__
from .errors import (
    ArgumentError,
    DuplicatedStudyError,
    KilterError,
    ReproductionError,
    SpaceError,
    StorageError,
    StudyError,
    TrialPruned,
    UnknownStudyError,
)
from .frozen import FrozenTrial, TrialState
from .opening import (
    create_study,
    delete_study,
    get_all_study_names,
    get_all_study_summaries,
    load_study,
    pruner,
    pruners,
    sampler,
    samplers,
)
from .reproduction import reproduce
from .spaces import Choice, Fixed, Float, Int, Ordinal, Permutation, Space, Subset
from .study import Study
from .tables import Frame
from .trial import FixedTrial, Trial

__all__ = [
    "ArgumentError",
    "Choice",
    "DuplicatedStudyError",
    "Fixed",
    "FixedTrial",
    "Float",
    "Frame",
    "FrozenTrial",
    "Int",
    "KilterError",
    "Ordinal",
    "Permutation",
    "ReproductionError",
    "Space",
    "SpaceError",
    "StorageError",
    "Study",
    "StudyError",
    "Subset",
    "Trial",
    "TrialPruned",
    "TrialState",
    "UnknownStudyError",
    "__version__",
    "create_study",
    "delete_study",
    "get_all_study_names",
    "get_all_study_summaries",
    "load_study",
    "pruner",
    "pruners",
    "reproduce",
    "sampler",
    "samplers",
]
