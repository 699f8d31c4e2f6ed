"""Declared spaces: what is searched, said before the first trial.

>>> import kilter
>>> space = kilter.Space(
...     {
...         "optimizer": kilter.Choice(["adam", "sgd"]),
...         "lr": kilter.Float(1e-5, 1e-1, log=True, default=1e-3),
...         "momentum": kilter.Float(0.0, 0.99, when="optimizer == 'sgd'"),
...         "layers": "int:1..8",
...     },
...     constraints=["layers < 5 or lr < 0.01"],
... )
>>> list(space)
['optimizer', 'lr', 'momentum', 'layers']
>>> study = kilter.create_study(space=space, seed=0)
>>> trial = study.ask()
>>> sorted(trial.params)[:2]
['layers', 'lr']
"""

import json

from . import _kilter

__all__ = ["Choice", "Fixed", "Float", "Int", "Ordinal", "Permutation", "Space", "Subset"]


def _parameter(kind, what, log=False, **remarks):
    said = {kind: what}
    if log:
        said["log"] = True
    return said | {key: value for key, value in remarks.items() if value is not None}


def Float(low, high, *, log=False, step=None, default=None, prior=None, when=None, about=None):
    """A range of real numbers. `prior` is ``{"center": x, "spread": s}``; `when` a condition on other hyperparameters."""
    ends = [float(low), float(high)]
    return _parameter("float", ends, log, step=step, default=default, prior=prior, when=when, about=about)


def Int(low, high, *, log=False, step=None, default=None, prior=None, when=None, about=None):
    """A range of whole numbers, both ends included."""
    return _parameter("int", [low, high], log, step=step, default=default, prior=prior, when=when, about=about)


def Choice(values, *, default=None, distances=None, when=None, about=None):
    """One of several values without order.

    Args:
        values: The values.
        distances: How far they lie from each other, if that is known: a function of two values, or from each value a row
            of the distances to each; finite numbers, not below 0, from a value to itself 0. What is learnt of a value then
            tells of those near it, too.

    >>> activation = Choice(["relu", "gelu", "tanh"], distances=[[0, 1, 3], [1, 0, 3], [3, 3, 0]])
    >>> layers = Choice(["1x64", "1x128", "4x16"], distances=lambda a, b: abs(len(a) - len(b)) + (a[0] != b[0]))
    >>> layers["distances"]
    [[0.0, 1.0, 1.0], [1.0, 0.0, 2.0], [1.0, 2.0, 0.0]]
    """
    values = list(values)
    if callable(distances):
        distances = [[distances(a, b) for b in values] for a in values]
    if distances is not None:
        distances = [[float(distance) for distance in row] for row in distances]
    return _parameter("choice", values, default=default, distances=distances, when=when, about=about)


def Ordinal(values, *, default=None, when=None, about=None):
    """One of several values, from least to most."""
    return _parameter("ordinal", list(values), default=default, when=when, about=about)


def Subset(values, *, default=None, when=None, about=None):
    """Any of several items, none or all of them too."""
    return _parameter("subset", list(values), default=default, when=when, about=about)


def Permutation(values, *, default=None, when=None, about=None):
    """All of several items, in any order."""
    return _parameter("permutation", list(values), default=default, when=when, about=about)


def Fixed(value, *, when=None, about=None):
    """One value: never searched."""
    return _parameter("fixed", value, when=when, about=about)


class Space:
    """A declared space.

    Args:
        parameters: By name, either what `Float`, `Int`, `Choice`, … give, or a domain as the command line writes it
            (``"log:1e-5..1e-1"``, ``"int:1..8"``, ``"adam|sgd"``).
        constraints: Conditions that every configuration keeps, such as ``"warmup < steps"``.
    """

    __slots__ = ("_core",)

    def __init__(self, parameters, constraints=()):
        document = {"parameters": dict(parameters)}
        if constraints:
            document["constraints"] = [{"require": text} for text in constraints]
        try:
            text = json.dumps(document, indent=1)
        except (TypeError, ValueError) as why:
            raise TypeError(f"the space holds something that is no plain value: {why}") from None
        self._core = _kilter.Space.read("space.json", text)

    @classmethod
    def _of(cls, core):
        space = object.__new__(cls)
        space._core = core
        return space

    @classmethod
    def from_toml(cls, text):
        """Reads TOML as in `kilter.toml`: ``[parameters.lr]``, ``float = [1e-5, 1e-1]``, ``log = true``."""
        return cls._of(_kilter.Space.read("space.toml", text))

    @classmethod
    def from_file(cls, path):
        """Reads a TOML or JSON file."""
        return cls._of(_kilter.Space.read_file(str(path)))

    def to_toml(self):
        """The space as TOML that reads back the same."""
        return self._core.to_toml()

    def entries(self):
        """Its questions in order, as dicts of name, domain, default, when and about."""
        return [
            {
                "name": entry["name"],
                "domain": entry["text"],
                "default": entry["default"],
                "when": entry["when"],
                "about": entry["about"],
            }
            for entry in self._core.entries()
        ]

    @property
    def constraints(self):
        """What every configuration keeps, as written."""
        return self._core.constraints()

    def defaults(self):
        """The default configuration.

        Raises:
            SpaceError: If a question has no default.
        """
        return self._core.defaults()

    def sample(self, seed=0):
        """A random configuration, uniform over the feasible ones."""
        return self._core.sample(seed)

    def count(self):
        """How many configurations there are, or None if they cannot be counted."""
        return self._core.count()

    def complete(self, params):
        """`params` as the space holds them, with defaults for what they lack.

        Raises:
            SpaceError: If they lack something that has no default, or lie outside.
        """
        return self._core.complete(dict(params))

    def __iter__(self):
        return iter([entry["name"] for entry in self._core.entries()])

    def __len__(self):
        return len(self._core.entries())

    def __contains__(self, name):
        return name in list(self)

    def __eq__(self, other):
        return isinstance(other, Space) and self._core == other._core

    def __hash__(self):
        return hash(self._core.dump())

    def __reduce__(self):
        return _undump, (self._core.dump(),)

    def __repr__(self):
        inside = ", ".join(f"{entry['name']!r}: {entry['text']!r}" for entry in self._core.entries())
        constraints = f", constraints={self.constraints!r}" if self.constraints else ""
        return f"Space({{{inside}}}{constraints})"

    def _repr_html_(self):
        from .html import table

        rows = [(e["name"], e["domain"], e["default"], e["when"], e["about"]) for e in self.entries()]
        rows += [("", text, "", "", "constraint") for text in self.constraints]
        return table(("hyperparameter", "domain", "default", "when", "about"), rows)


def _undump(text):
    return Space._of(_kilter.Space.undump(text))
