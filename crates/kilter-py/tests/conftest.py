"""What several tests use."""

import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def storage(tmp_path):
    """A storage's address; nothing is there yet."""
    return f"sqlite:{tmp_path}/kilter.db"


@pytest.fixture
def script(tmp_path):
    """Runs Python text in a process of its own; gives what it printed."""

    def run(text, *arguments, check=True, env=None):
        path = tmp_path / f"script{len(list(tmp_path.glob('script*.py')))}.py"
        path.write_text(textwrap.dedent(text))
        ran = subprocess.run(
            [sys.executable, str(path), *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path, timeout=300, env=env
        )
        if check:
            assert ran.returncode == 0, ran.stderr
        return ran

    return run
