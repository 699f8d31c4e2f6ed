"""A multilayer perceptron of scikit-learn, its layers asked one by one; stopped early by the median of the others."""

import warnings

import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

warnings.filterwarnings("ignore")


def objective(trial):
    x, y = load_digits(return_X_y=True)
    x_train, x_valid, y_train, y_valid = train_test_split(x[:600] / 16.0, y[:600], test_size=0.25, random_state=0)
    layers = [trial.suggest_int(f"n_units_l{i}", 4, 64, log=True) for i in range(trial.suggest_int("n_layers", 1, 2))]
    clf = MLPClassifier(
        hidden_layer_sizes=tuple(layers),
        learning_rate_init=trial.suggest_float("lr_init", 1e-5, 1e-1, log=True),
        alpha=trial.suggest_float("alpha", 1e-6, 1e-1, log=True),
        random_state=0,
    )
    for step in range(8):
        clf.partial_fit(x_train, y_train, classes=list(range(10)))
        trial.report(clf.score(x_valid, y_valid), step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return clf.score(x_valid, y_valid)


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=3))
    study.optimize(objective, n_trials=20)
    pruned = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.PRUNED])
    complete = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    print("Study statistics: ")
    print("  Number of finished trials: ", len(study.trials))
    print("  Number of pruned trials: ", len(pruned))
    print("  Number of complete trials: ", len(complete))
    for key, value in study.best_trial.params.items():
        print(f"    {key}: {value}")
