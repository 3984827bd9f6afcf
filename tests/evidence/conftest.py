"""An archive of the small store of the notebooks' tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import dupl

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="session")
def packages():
    """The packages that export needs."""
    for package in ("rocrate", "mlcroissant"):
        pytest.importorskip(package, reason=f'{package} is not installed: pip install ".[evidence]"')


@pytest.fixture(scope="session")
def archive(packages, tmp_path_factory) -> Path:
    """The archive of the fixture's plan."""
    file = tmp_path_factory.mktemp("evidence") / "plan.zip"
    dupl.export_evidence(FIXTURES / "plan.py", file, FIXTURES / "store", overrides=[], command="dupl export plan.py")
    return file


@pytest.fixture
def store(tmp_path) -> Path:
    """A copy of the fixture's store, to be changed."""
    return Path(shutil.copytree(FIXTURES / "store", tmp_path / "runs"))
