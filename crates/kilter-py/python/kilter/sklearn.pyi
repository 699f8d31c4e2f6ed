from collections.abc import Mapping
from typing import Any

from sklearn.model_selection._search import BaseSearchCV

from .spaces import Space
from .study import Study

class KilterSearchCV(BaseSearchCV):
    study_: Study
    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, Any] | Space,
        *,
        n_iter: int = 10,
        sampler: str = "auto",
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = ...,
        return_train_score: bool = False,
        storage: str | None = None,
        study_name: str | None = None,
    ) -> None: ...
