"""Optuna's exceptions, which are kilter's."""

from ...errors import DuplicatedStudyError, StorageError, TrialPruned
from ...errors import KilterError as OptunaError
from ...errors import StorageError as StorageInternalError

__all__ = [
    "DuplicatedStudyError",
    "ExperimentalWarning",
    "OptunaError",
    "StorageError",
    "StorageInternalError",
    "TrialPruned",
]


class ExperimentalWarning(Warning):
    """Never given here: for scripts that filter it."""
