from typing import Any
from ...errors import DuplicatedStudyError as DuplicatedStudyError
from ...errors import StorageError as StorageError
from ...errors import TrialPruned as TrialPruned
from ...errors import KilterError as OptunaError
from ...errors import StorageError as StorageInternalError

class ExperimentalWarning(Warning):
    ...
