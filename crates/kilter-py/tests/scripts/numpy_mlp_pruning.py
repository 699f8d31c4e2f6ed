"""A network of one hidden layer in NumPy alone, trained by gradient descent; several threads; reports each epoch."""

import numpy as np
import optuna


def data():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (256, 2))
    return x, (np.sin(3 * x[:, :1]) * x[:, 1:])


def objective(trial):
    x, y = data()
    hidden = trial.suggest_int("hidden", 2, 32, log=True)
    lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.95)
    rng = np.random.default_rng(trial.number)
    weights = [rng.normal(0, 1, (2, hidden)), np.zeros(hidden), rng.normal(0, 1 / np.sqrt(hidden), (hidden, 1)), np.zeros(1)]
    velocity = [np.zeros_like(w) for w in weights]
    loss = float("inf")
    for epoch in range(30):
        inner = np.tanh(x @ weights[0] + weights[1])
        error = inner @ weights[2] + weights[3] - y
        loss = float(np.mean(error**2))
        back = (2 * error / len(x)) @ weights[2].T * (1 - inner**2)
        gradients = [x.T @ back, back.sum(0), inner.T @ (2 * error / len(x)), (2 * error / len(x)).sum(0)]
        for w, v, g in zip(weights, velocity, gradients):
            v *= momentum
            v -= lr * np.clip(g, -1, 1)
            w += v
        trial.report(loss, epoch)
        if trial.should_prune():
            raise optuna.exceptions.TrialPruned()
    return loss


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0), study_name="numpy-mlp")
    study.optimize(objective, n_trials=30, n_jobs=2, timeout=600)
    print(study.best_value, study.best_params)
