"""Optuna's side of `cargo xtask bench engine`: answers each line of JSON with one."""

import json
import math
import re
import resource
import subprocess
import sys
import time

import optuna
import sqlalchemy

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE = {
    "x0": optuna.distributions.FloatDistribution(0.0, 1.0),
    "x1": optuna.distributions.FloatDistribution(0.0, 1.0),
    "x2": optuna.distributions.FloatDistribution(0.0, 1.0),
    "l0": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True),
    "l1": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True),
    "n0": optuna.distributions.IntDistribution(1, 64),
    "n1": optuna.distributions.IntDistribution(1, 64),
    "c": optuna.distributions.CategoricalDistribution(("a", "b", "c", "d")),
}


def ask(trial):
    params = {name: trial.suggest_float(name, 0.0, 1.0) for name in ("x0", "x1", "x2")}
    params |= {name: trial.suggest_float(name, 1e-5, 1e-1, log=True) for name in ("l0", "l1")}
    params |= {name: trial.suggest_int(name, 1, 64) for name in ("n0", "n1")}
    params["c"] = trial.suggest_categorical("c", ("a", "b", "c", "d"))
    return params


def loss(p):
    value = 0.0 if p["c"] == "b" else 0.1
    value += sum((p[name] - 0.3) ** 2 for name in ("x0", "x1", "x2"))
    value += sum(((math.log10(p[name]) + 3.0) / 4.0) ** 2 for name in ("l0", "l1"))
    return value + sum(((p[name] - 20.0) / 64.0) ** 2 for name in ("n0", "n1"))


def storage(file):
    """A database as durable as kilter's, no more: by SQLite's defaults every commit would wait for the disk."""
    if not file:
        return None
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")

    def prepare(connection, _record):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    sqlalchemy.event.listen(storage.engine, "connect", prepare)
    storage.engine.dispose()
    return storage


def filled(file, trials):
    """A study with this many random trials behind it."""
    source = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    sampler = optuna.samplers.TPESampler(
        seed=0, multivariate=True, constant_liar=True, n_ei_candidates=24, n_startup_trials=10
    )
    study = optuna.create_study(storage=storage(file), sampler=sampler)
    for _ in range(trials):
        params = ask(source.ask())
        study.add_trial(optuna.create_trial(params=params, distributions=SPACE, value=loss(params)))
    return study


def one_trial(study):
    trial = study.ask()
    study.tell(trial, loss(ask(trial)))


def external(file, trials, command):
    """Trials as processes, whose loss is in what they print."""

    def objective(trial):
        trial.suggest_float("x", 0.0, 1.0)
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return float(re.findall(r"loss=([0-9.]+)", out)[-1])

    study = optuna.create_study(storage=storage(file), sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=1)
    return timed(lambda: study.optimize(objective, n_trials=trials))


def cpu_seconds():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def timed(work):
    cpu, wall = cpu_seconds(), time.perf_counter()
    work()
    return {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": cpu_seconds() - cpu}


def resident_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def memory(trials):
    """Bytes that a trial holds. Asked and told, as a study does: trials added whole would share their distributions."""

    def held(count):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(count):
            one_trial(study)
        return study

    held(10)
    before = resident_bytes()
    study = held(trials)
    return (resident_bytes() - before) / len(study.get_trials(deepcopy=False))


def serve():
    study = None
    print(json.dumps(f"Optuna {optuna.__version__}"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer = None
        match order["do"]:
            case "fill":
                study = filled(order["file"], order["trials"])
            case "ask_and_tell":
                answer = timed(lambda: one_trial(study))
            case "external":
                answer = external(order["file"], order["trials"], order["command"])
            case "memory":
                answer = memory(order["trials"])
        print(json.dumps(answer), flush=True)


if sys.argv[1:2] == ["first-ask"]:
    study = optuna.create_study(storage=storage(sys.argv[2]), sampler=optuna.samplers.TPESampler(seed=0))
    print(ask(study.ask()))
elif sys.argv[1:2] == ["first-trial"]:
    external(sys.argv[2], 0, ["sh", "-c", "echo loss=1"])
else:
    serve()
