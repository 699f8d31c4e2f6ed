"""The type stubs say what the modules do."""

import ast
import importlib
import inspect
from pathlib import Path

import kilter
import pytest

ROOT = Path(kilter.__file__).parent
STUBS = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.pyi"))


def parameters(arguments):
    """(name, kind, has a default) of each, in order."""
    plain = [(a.arg, "plain") for a in arguments.posonlyargs + arguments.args]
    defaults = len(plain) - len(arguments.defaults)
    found = [(name, kind, at >= defaults) for at, (name, kind) in enumerate(plain)]
    if arguments.vararg:
        found.append((arguments.vararg.arg, "many", False))
    found += [(a.arg, "named", d is not None) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults)]
    if arguments.kwarg:
        found.append((arguments.kwarg.arg, "rest", False))
    return found


KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "plain",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "plain",
    inspect.Parameter.VAR_POSITIONAL: "many",
    inspect.Parameter.KEYWORD_ONLY: "named",
    inspect.Parameter.VAR_KEYWORD: "rest",
}


def compare(node, real, where):
    if isinstance(real, property):
        assert any(getattr(d, "id", None) == "property" for d in node.decorator_list), f"{where} is a property"
        return
    signature = inspect.signature(real).parameters.values()
    actual = [(p.name, KINDS[p.kind], p.default is not inspect.Parameter.empty) for p in signature]
    said = parameters(node.args)
    if inspect.ismethod(real):  # bound: a class method's first parameter is given
        said = said[1:]
    assert said == actual, where


@pytest.mark.parametrize("stub", STUBS, ids=str)
def test_stubs_agree_with_their_modules(stub):
    parts = [part for part in stub.with_suffix("").parts if part != "__init__"]
    module = importlib.import_module(".".join(["kilter", *parts]))
    tree = ast.parse((ROOT / stub).read_text())
    typed = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            typed.add(node.name)
            compare(node, getattr(module, node.name), f"{stub}: {node.name}")
        elif isinstance(node, ast.ClassDef):
            typed.add(node.name)
            real = getattr(module, node.name)
            methods = {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)}
            for name, method in methods.items():
                compare(method, inspect.getattr_static(real, name) if isinstance(inspect.getattr_static(real, name), property) else getattr(real, name), f"{stub}: {node.name}.{name}")
            public = {name for name, member in vars(real).items() if not name.startswith("_") and (callable(member) or isinstance(member, (property, classmethod)))}
            assert public <= set(methods) | {n.target.id for n in node.body if isinstance(n, ast.AnnAssign)}, f"{stub}: {node.name}"
        elif isinstance(node, ast.ImportFrom):
            typed.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.AnnAssign):
            typed.add(node.target.id)
    assert set(getattr(module, "__all__", ())) <= typed


def test_there_are_stubs():
    assert {"study.pyi", "trial.pyi", "spaces.pyi", "frozen.pyi", "tables.pyi", "sklearn.pyi"} <= {path.name for path in STUBS}
