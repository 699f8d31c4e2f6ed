"""The peers' side of `cargo xtask bench search`: answers each line of JSON with one.

A search asks for losses with `{"try": {name: answer}}`, and ends with its CPU seconds. Trials in steps are answered
with the whole curve; `{"took": [[step, loss], …]}` then tells how much of it was used.
"""

import importlib.metadata
import json
import os
import random
import sys
import tempfile
import time
import warnings

warnings.simplefilter("ignore")

# Words to the other side go here; what the peers print by themselves must not be taken for them.
out = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


def say(words):
    print(json.dumps(words), file=out, flush=True)


def hear():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


class Over(Exception):
    """The budget is spent."""


class Space:
    """The questions, and how the other side reads their answers."""

    def __init__(self, order):
        self.questions = order["questions"]
        for question in self.questions:
            when = question["when"]
            question["asked"] = compile(when, "when", "eval") if when else None

    def is_asked(self, question, answers):
        """Conditions are written in a grammar that Python has too; one about a question not asked does not hold."""
        if question["asked"] is None:
            return True
        try:
            return bool(eval(question["asked"], {"__builtins__": {}}, answers))
        except NameError:
            return False

    def value(self, question, answer):
        """The value of a level's number."""
        domain = question["domain"]
        if domain["kind"] == "int" and "values" in domain:
            return domain["values"][int(answer)]
        return answer

    def named(self, answers):
        """Native answers, whole or too many, as the walk asks for them."""
        named = {}
        for question in self.questions:
            if self.is_asked(question, named):
                named[question["name"]] = self.value(question, answers[question["name"]])
        return named


def losses(answers):
    say({"try": answers})
    return hear()


def took(points):
    say({"took": points})
    return hear()["over"]


# Optuna


def suggest(trial, question):
    name, domain = question["name"], question["domain"]
    if domain["kind"] == "float":
        return trial.suggest_float(name, domain["low"], domain["high"], log=domain["log"], step=domain["step"])
    if domain["kind"] == "int":
        return trial.suggest_int(name, domain["low"], domain["high"], log=domain["log"])
    return trial.suggest_categorical(name, domain["values"])


def optuna_search(order, space):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    samplers, pruners, seed = optuna.samplers, optuna.pruners, order["seed"]
    constraints = {}
    if order["constrained"]:
        constraints["constraints_func"] = lambda trial: trial.user_attrs["violation"]
    sampler, _, pruner = order["method"].removeprefix("optuna-").partition("+")
    match sampler:
        case "tpe":
            sampler = samplers.TPESampler(seed=seed, **constraints)
        case "tpe-independent":
            sampler = samplers.TPESampler(seed=seed, multivariate=False, **constraints)
        case "tpe-grouped":
            sampler = samplers.TPESampler(seed=seed, multivariate=True, group=True, **constraints)
        case "cma":
            sampler = samplers.CmaEsSampler(seed=seed)
        case "nsga2":
            sampler = samplers.NSGAIISampler(seed=seed, **constraints)
        case "gp":
            sampler = samplers.GPSampler(seed=seed, **constraints)
    match pruner:
        case "median":
            pruner = pruners.MedianPruner()
        case "hyperband":
            pruner = pruners.HyperbandPruner(min_resource=1, max_resource=order["steps"] or "auto")
        case _:
            pruner = pruners.NopPruner()
    study = optuna.create_study(directions=["minimize"] * order["goals"], sampler=sampler, pruner=pruner)
    over = False
    while not over:
        trial = study.ask()
        answers = {}
        for question in space.questions:
            if space.is_asked(question, answers):
                answers[question["name"]] = space.value(question, suggest(trial, question))
        answer = losses(answers)
        if "curve" in answer:
            used, pruned = [], False
            for step, loss in answer["curve"]:
                used.append([step, loss])
                trial.report(loss, step)
                if trial.should_prune():
                    pruned = True
                    break
            over = took(used)
            if pruned:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(trial, used[-1][1])
        else:
            trial.set_user_attr("violation", [answer["violation"]])
            study.tell(trial, answer["losses"])
            over = answer["over"]


# hyperopt


def hyperopt_search(order, space):
    import logging

    import numpy
    from hyperopt import STATUS_FAIL, STATUS_OK, fmin, hp, tpe

    logging.disable(logging.CRITICAL)
    children, roots = {}, []
    for question in space.questions:
        parents = [other for other in space.questions if question["asked"] and other["name"] in question["asked"].co_names]
        # A condition on two questions hangs below the later one.
        children.setdefault(parents[-1]["name"], []).append(question) if parents else roots.append(question)

    def leaf(question):
        name, domain = question["name"], question["domain"]
        low, high = domain.get("low"), domain.get("high")
        if domain["kind"] == "float" and domain["log"]:
            return hp.loguniform(name, numpy.log(low), numpy.log(high))
        if domain["kind"] == "float" and domain["step"]:
            return hp.quniform(name, low, high, domain["step"])
        if domain["kind"] == "float":
            return hp.uniform(name, low, high)
        if domain["log"]:
            # Rounded, each whole number's mass is that of half a number around it.
            return hp.qloguniform(name, numpy.log(low - 0.5), numpy.log(high + 0.5), 1)
        return hp.uniformint(name, low, high)

    made = {}

    def node(question, above):
        # The same name in two branches is one parameter only if it is one node.
        if question["name"] not in made:
            made[question["name"]] = new_node(question, above)
        return made[question["name"]]

    def new_node(question, above):
        name, domain = question["name"], question["domain"]
        below = children.get(name, [])
        if domain["kind"] != "choice" and not below:
            return leaf(question)
        if domain["kind"] != "choice":
            # Whole numbers that others depend on become a choice: hyperopt's trees branch nowhere else.
            domain = {"values": list(range(domain["low"], domain["high"] + 1))}
        branches = []
        for value in domain["values"]:
            known = above | {name: value}
            branch = {"value": value}
            for child in below:
                if space.is_asked(child, known):
                    branch[child["name"]] = node(child, known)
            branches.append(branch)
        return hp.choice(name, branches)

    def flatten(tree, into):
        for name, answer in tree.items():
            if isinstance(answer, dict):
                into[name] = answer["value"]
                flatten({key: value for key, value in answer.items() if key != "value"}, into)
            else:
                into[name] = answer
        return into

    kinds = {question["name"]: question["domain"] for question in space.questions}

    def objective(tree):
        answers = flatten(tree, {})
        for name, answer in answers.items():
            domain = kinds[name]
            if domain["kind"] == "int":
                answers[name] = min(max(int(answer), domain["low"]), domain["high"])
            elif domain["kind"] == "float":
                answers[name] = min(max(float(answer), domain["low"]), domain["high"])
        answer = losses(space.named(answers))
        if answer["violation"] > 0:
            return {"status": STATUS_FAIL}
        return {"status": STATUS_OK, "loss": answer["losses"][0]}

    fmin(
        objective,
        {question["name"]: node(question, {}) for question in roots},
        algo=tpe.suggest,
        max_evals=order["trials"],
        rstate=numpy.random.default_rng(order["seed"]),
        show_progressbar=False,
        verbose=False,
    )


# SMAC


def smac_search(order, space):
    import ast
    import logging
    from pathlib import Path

    from ConfigSpace import (
        AndConjunction,
        Categorical,
        ConfigurationSpace,
        EqualsCondition,
        Float,
        GreaterThanCondition,
        InCondition,
        Integer,
    )
    from smac import HyperparameterOptimizationFacade, MultiFidelityFacade, Scenario
    from smac.runhistory.dataclasses import TrialValue

    logging.disable(logging.CRITICAL)
    configs = ConfigurationSpace(seed=order["seed"])
    parameters, grids = {}, {}
    for question in space.questions:
        name, domain = question["name"], question["domain"]
        if domain["kind"] == "choice":
            parameter = Categorical(name, domain["values"])
        elif domain["kind"] == "int":
            parameter = Integer(name, (domain["low"], domain["high"]), log=domain["log"])
        elif domain["step"]:
            # ConfigSpace has no floats in steps: the step's number.
            count = round((domain["high"] - domain["low"]) / domain["step"])
            parameter = Integer(name, (0, count))
            grids[name] = domain
        else:
            parameter = Float(name, (domain["low"], domain["high"]), log=domain["log"])
        parameters[name] = parameter
    configs.add(list(parameters.values()))

    def conditions(child, tree):
        if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
            return [condition for part in tree.values for condition in conditions(child, part)]
        parent, value = parameters[tree.left.id], ast.literal_eval(tree.comparators[0])
        match tree.ops[0]:
            case ast.Eq():
                return [EqualsCondition(child, parent, value)]
            case ast.In():
                return [InCondition(child, parent, list(value))]
            case ast.GtE():
                return [GreaterThanCondition(child, parent, value - 1)]
        raise ValueError(f"no condition for {ast.dump(tree)}")

    for question in space.questions:
        if question["when"]:
            found = conditions(parameters[question["name"]], ast.parse(question["when"], mode="eval").body)
            configs.add(found[0] if len(found) == 1 else AndConjunction(*found))

    def named(config):
        answers = {name: value.item() if hasattr(value, "item") else value for name, value in dict(config).items()}
        for name, domain in grids.items():
            if name in answers:
                answers[name] = min(domain["low"] + domain["step"] * answers[name], domain["high"])
        return {
            question["name"]: space.value(question, answers[question["name"]])
            for question in space.questions
            if question["name"] in answers
        }

    with tempfile.TemporaryDirectory() as folder:
        steps, trials = order["steps"], order["trials"]
        budgets = {"min_budget": 1, "max_budget": steps} if steps else {}
        # Hyperband's trials are cheaper than whole, so there are more of them.
        scenario = Scenario(
            configs,
            deterministic=True,
            n_trials=trials * (steps or 1),
            seed=order["seed"],
            output_directory=Path(folder),
            **budgets,
        )
        facade = MultiFidelityFacade if steps else HyperparameterOptimizationFacade
        smac = facade(scenario, lambda config, seed=0, budget=None: 0.0, overwrite=True)
        worst, over = 0.0, False
        while not over:
            info = smac.ask()
            answer = losses(named(info.config))
            if "curve" in answer:
                used = [point for point in answer["curve"] if point[0] <= round(info.budget)] or answer["curve"][:1]
                over, cost = took(used), used[-1][1]
            else:
                over, cost = answer["over"], answer["losses"][0]
                # It learns no constraints: what lies outside is as bad as the worst inside so far.
                worst = max(worst, cost) if answer["violation"] <= 0 else worst
                cost = cost if answer["violation"] <= 0 else worst
            smac.tell(info, TrialValue(cost=cost))


def search(order):
    import numpy

    random.seed(order["seed"])
    numpy.random.seed(order["seed"])
    if order["method"] in ("optuna-gp",):
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(order["seed"])
    family = order["method"].partition("-")[0]
    run = {"optuna": optuna_search, "hyperopt": hyperopt_search, "smac": smac_search}[family]
    space = Space(order)
    # What is imported once is no part of a trial.
    __import__(family)
    begun = time.process_time()
    run(order, space)
    return {"cpu_seconds": time.process_time() - begun}


say("peers")
while True:
    order = hear()
    if order["do"] == "versions":
        packages = ["optuna", "hyperopt", "smac"]
        say({package: importlib.metadata.version(package) for package in packages})
        continue
    try:
        say(search(order))
    except Exception as why:
        import traceback

        traceback.print_exc()
        say({"failed": f"{type(why).__name__}: {why}"})
