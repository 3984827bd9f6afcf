"""What the checks of the repository stand on: the README's commands, and what pytest says of skipped tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def command(readme: Path, title: str) -> subprocess.CompletedProcess[str]:
    """Run the script that reads a command of a README."""
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "readme.py"), str(readme), title], capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("title", "wanted"),
    [("Install and run", "pip install . && dupl demo"), ("Install and test", 'pip install ".[test]" && pytest')],
)
def test_the_commands_of_the_readme(title, wanted):
    assert command(ROOT / "README.md", title).stdout == f"{wanted}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# Title\n\n```\nrun\n```\n", "no line 'Install'"),
        ("## Install\n\nSoon.\n", "no code block follows 'Install'"),
        ("## Install\n\n```\n\n```\n", "no code block follows 'Install'"),
        ("## Install\n\nSoon.\n\n## Train\n\n```\nrun\n```\n", "no code block follows 'Install'"),
    ],
)
def test_a_readme_without_the_command(tmp_path, text, told):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    done = command(readme, "Install")
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_command_of_several_lines(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("Install:\n\n```sh\n# first\na\nb\n```\n\n```\nc\n```\n")
    assert command(readme, "Install").stdout == "# first\na\nb\n"


MODULE = "import pytest\npytest.importorskip('no_such_package')\ndef test_it(): pass\n"
TESTS = """
import pytest
def test_passes(): pass
def test_needs_a_package(): pytest.importorskip("no_such_package", reason="it is not installed")
@pytest.mark.parametrize("value", ["a b"])
def test_needs_a_server(value): pytest.skip("no server")
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_skipped_tests_are_listed_and_run_again(tmp_path, workers):
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_module.py").write_text(MODULE)
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def run(*words: str, **variables: str) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("DUPL_", "PYTEST_"))}
        line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", workers, *words]
        done = subprocess.run(line, cwd=tmp_path, env=environ | variables, capture_output=True, text=True)
        return done.stdout.splitlines()[-1]

    assert "1 passed, 3 skipped" in run(DUPL_SKIPPED="skipped")
    listed = (tmp_path / "skipped").read_text().splitlines()
    assert listed == ["test_module.py", "test_some.py::test_needs_a_package", "test_some.py::test_needs_a_server[a b]"]
    assert "3 skipped" in run("@skipped")
    strict = run("@skipped", "--continue-on-collection-errors", DUPL_NO_MISSING="1")
    assert "1 failed, 1 skipped, 1 error" in strict
