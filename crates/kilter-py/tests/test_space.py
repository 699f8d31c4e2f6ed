"""Declared spaces."""

import kilter
import pytest

TOML = """
[parameters.optimizer]
choice = ["adamw", "soap", { null = true }]
[parameters.learning_rate]
float = [1e-5, 1e-1]
log = true
default = 3e-4
[parameters.frequency]
int = [1, 100]
log = true
when = "optimizer == 'soap'"
[[constraints]]
require = "learning_rate < 0.01 or optimizer != 'adamw'"
"""


def test_distances_between_choices():
    by_function = kilter.Choice(["a", "bb", "cccc"], distances=lambda one, other: abs(len(one) - len(other)))
    by_rows = kilter.Choice(["a", "bb", "cccc"], distances=[[0, 1, 3], [1, 0, 2], [3, 2, 0]])
    assert by_function == by_rows
    space = kilter.Space({"kind": by_rows})
    assert kilter.Space.from_toml(space.to_toml()) == space
    assert "distances" in space.to_toml()
    study = kilter.create_study(space=space, seed=1)
    study.optimize(lambda trial: len(trial.params["kind"]), n_trials=3)
    assert study.best_params == {"kind": "a"}
    with pytest.raises(kilter.SpaceError, match="2 rows for 3 values"):
        kilter.Space({"kind": kilter.Choice(["a", "b", "c"], distances=[[0, 1], [1, 0]])})


def test_toml_file_and_python_say_the_same(tmp_path):
    space = kilter.Space.from_toml(TOML)
    path = tmp_path / "space.toml"
    path.write_text(TOML)
    assert kilter.Space.from_file(path) == space
    assert kilter.Space.from_toml(space.to_toml()) == space
    said = kilter.Space(
        {
            "optimizer": kilter.Choice(["adamw", "soap", None]),
            "learning_rate": kilter.Float(1e-5, 1e-1, log=True, default=3e-4),
            "frequency": kilter.Int(1, 100, log=True, when="optimizer == 'soap'"),
        },
        constraints=["learning_rate < 0.01 or optimizer != 'adamw'"],
    )
    assert said == space and hash(said) == hash(space)
    assert list(space) == ["optimizer", "learning_rate", "frequency"]
    assert len(space) == 3 and "frequency" in space


def test_samples_keep_conditions_and_constraints():
    space = kilter.Space.from_toml(TOML)
    for seed in range(50):
        config = space.sample(seed)
        assert ("frequency" in config) == (config["optimizer"] == "soap")
        assert config["learning_rate"] < 0.01 or config["optimizer"] != "adamw"


def test_count_defaults_and_complete():
    space = kilter.Space({"a": kilter.Int(1, 4, default=2), "b": kilter.Choice([True, False], default=True)})
    assert space.count() == 8
    assert kilter.Space({"x": "0..1"}).count() is None
    assert space.defaults() == {"a": 2, "b": True}
    assert space.complete({"a": 3}) == {"a": 3, "b": True}
    with pytest.raises(kilter.SpaceError, match="outside"):
        space.complete({"a": 9})


def test_what_is_wrong_is_said_with_its_place():
    with pytest.raises(kilter.SpaceError, match=r"space\.toml:3:.*swap"):
        kilter.Space.from_toml("[parameters.x]\n\nfloat = [1, 0]\n")
    with pytest.raises(kilter.SpaceError, match="did you mean `lr`"):
        kilter.Space({"lr": "0..1", "m": kilter.Float(0, 1, when="lrr > 0")})
    with pytest.raises(TypeError, match="no plain value"):
        kilter.Space({"x": kilter.Choice([object()])})
    with pytest.raises(ValueError, match="cannot read"):
        kilter.Space.from_file("/no/such/file.toml")


def test_list_kinds():
    space = kilter.Space({"layers": kilter.Subset(["a", "b"]), "order": kilter.Permutation([1, 2, 3]), "size": kilter.Ordinal(["s", "m"])})
    config = space.sample(1)
    assert set(config["layers"]) <= {"a", "b"} and isinstance(config["layers"], tuple)
    assert sorted(config["order"]) == [1, 2, 3]
    assert config["size"] in ("s", "m")
