"""What can go wrong. Every exception of kilter's own is a `KilterError`."""

__all__ = [
    "KilterError",
    "StudyError",
    "UnknownStudyError",
    "DuplicatedStudyError",
    "StorageError",
    "SpaceError",
    "ArgumentError",
    "TrialPruned",
    "ReproductionError",
]


class KilterError(Exception):
    """Anything that kilter itself has to say."""

    # A KeyError would quote its message.
    __str__ = Exception.__str__


class StudyError(KilterError, RuntimeError):
    """A study or a trial cannot do this now."""


class UnknownStudyError(StudyError, KeyError):
    """There is no study of this name; the message knows the nearest."""


class DuplicatedStudyError(StudyError):
    """There is a study of this name already."""


class StorageError(KilterError):
    """The storage cannot be used: it is damaged, newer than this kilter, on a network file system, full, …"""


class SpaceError(KilterError, ValueError):
    """A domain, a name or a configuration cannot be."""


class ArgumentError(KilterError, ValueError):
    """An argument cannot be."""


class ReproductionError(KilterError):
    """`kilter reproduce` could not run."""


class TrialPruned(KilterError):
    """Raised by an objective that gives its trial up as hopeless.

    >>> import kilter
    >>> def objective(trial):
    ...     x = trial.suggest_float("x", 0, 1)
    ...     trial.report(x, step=0)
    ...     if trial.should_prune():
    ...         raise kilter.TrialPruned()
    ...     return x
    """
