"""XGBoost on the breast cancer data: parameters that depend on the booster."""

import numpy as np
import optuna
import sklearn.datasets
import sklearn.metrics
import xgboost as xgb
from sklearn.model_selection import train_test_split


def objective(trial):
    data, target = sklearn.datasets.load_breast_cancer(return_X_y=True)
    train_x, valid_x, train_y, valid_y = train_test_split(data, target, test_size=0.25, random_state=0)
    dtrain, dvalid = xgb.DMatrix(train_x, label=train_y), xgb.DMatrix(valid_x, label=valid_y)
    param = {
        "verbosity": 0,
        "objective": "binary:logistic",
        "nthread": 1,
        "tree_method": "exact",
        "booster": trial.suggest_categorical("booster", ["gbtree", "gblinear", "dart"]),
        "lambda": trial.suggest_float("lambda", 1e-8, 1.0, log=True),
        "alpha": trial.suggest_float("alpha", 1e-8, 1.0, log=True),
    }
    if param["booster"] == "gblinear":
        del param["tree_method"]
    else:
        param["max_depth"] = trial.suggest_int("max_depth", 3, 9, step=2)
        param["eta"] = trial.suggest_float("eta", 1e-8, 1.0, log=True)
        param["subsample"] = trial.suggest_float("subsample", 0.2, 1.0)
        param["grow_policy"] = trial.suggest_categorical("grow_policy", ["depthwise", "lossguide"])
    if param["booster"] == "dart":
        param["rate_drop"] = trial.suggest_float("rate_drop", 1e-8, 1.0, log=True)
    bst = xgb.train(param, dtrain, num_boost_round=10)
    return sklearn.metrics.accuracy_score(valid_y, np.rint(bst.predict(dvalid)))


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=15, timeout=600)
    print("Best trial:", study.best_trial.value, study.best_trial.params)
