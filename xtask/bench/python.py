"""`cargo xtask bench python`: the package kilter beside Optuna, at the same work, in turn in the same run."""

import os

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import json
import statistics
import subprocess
import sys
import time

import numpy

QUICK = "--quick" in sys.argv

IMPORT = """
import resource, sys, time
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
if sys.argv[1] != "nothing":
    __import__(sys.argv[1])
wall = time.perf_counter() - began
import json
print(json.dumps([wall * 1000, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def imports(rounds):
    """Milliseconds of an import and MB of the process after it: medians of processes started in turn."""
    found = {"kilter": [], "optuna": [], "nothing": []}
    for _ in range(rounds):
        for name, figures in found.items():
            said = subprocess.run([sys.executable, "-c", IMPORT, name], capture_output=True, text=True, check=True).stdout
            figures.append(json.loads(said))
    for name in ("kilter", "optuna"):
        wall = statistics.median(figure[0] for figure in found[name])
        size = statistics.median(figure[1] for figure in found[name])
        print(f"import {name}: {wall:.1f} ms, {size:.1f} MB in all")
    bare = statistics.median(figure[1] for figure in found["nothing"])
    print(f"(an interpreter that imports nothing: {bare:.1f} MB)")


def objective(trial):
    value = sum((trial.suggest_float(f"x{i}", 0.0, 1.0) - 0.3) ** 2 for i in range(3))
    value += sum(trial.suggest_float(f"l{i}", 1e-5, 1e-1, log=True) for i in range(2))
    value += sum(trial.suggest_int(f"n{i}", 1, 64) for i in range(2)) / 64
    return value + (trial.suggest_categorical("c", ("a", "b", "c", "d")) != "b")


def overhead(make, at, rounds):
    """CPU milliseconds of a trial that computes next to nothing, after so many trials: the median of rounds of 20."""
    study = make()
    study.optimize(objective, n_trials=at)
    figures = []
    for _ in range(rounds):
        began = time.process_time()
        study.optimize(objective, n_trials=20)
        figures.append((time.process_time() - began) / 20 * 1000)
    return statistics.median(figures)


def trials(rounds):
    """Overhead per trial in memory with TPE, beside Optuna's."""
    import kilter
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for at in (100, 1000):
        ours = overhead(lambda: kilter.create_study(sampler="tpe"), at, rounds)
        theirs = overhead(lambda: optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0)), at, rounds)
        print(f"a trial of 8 hyperparameters after {at}, in memory, tpe: kilter {ours:.3f} ms, optuna {theirs:.3f} ms "
              f"({theirs / ours:.0f} times)")
    random = overhead(lambda: kilter.create_study(sampler="random"), 1000, rounds)
    print(f"the same by chance, so without any sampler's work: kilter {random:.3f} ms")


def numpy_objective(trial):
    size = 400 + int(trial.suggest_float("x", 0, 1) * 8)
    matrix = numpy.random.default_rng(trial.number).random((size, size))
    for _ in range(6):
        matrix = matrix @ matrix
        matrix /= numpy.abs(matrix).max()
    return float(matrix[0, 0])


def scaling(rounds):
    """How much faster eight threads run a NumPy function than one, beside how many CPUs there are."""
    import kilter

    def wall(jobs):
        study = kilter.create_study(sampler="random")
        began = time.perf_counter()
        study.optimize(numpy_objective, n_trials=32, n_jobs=jobs)
        return time.perf_counter() - began

    pairs = [(wall(1), wall(8)) for _ in range(rounds)]
    ratio = statistics.median(one / eight for one, eight in pairs)
    cpus = len(os.sched_getaffinity(0))
    print(f"n_jobs=8 runs a NumPy function {ratio:.2f} times as fast as n_jobs=1, on {cpus} CPUs")


if __name__ == "__main__":
    imports(5 if QUICK else 15)
    trials(5 if QUICK else 15)
    scaling(1 if QUICK else 5)
