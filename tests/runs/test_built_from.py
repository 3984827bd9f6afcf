"""A package that is installed knows the commit that it was built from, and has the digest of the checkout's files."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from dupl.runs import provenance
from dupl.runs.provenance import BUILT, Code, code, package_digest

CHECKOUT = Path(__file__).parents[2]
PARTS = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "dupl/__init__.py", "dupl/version.py")


@pytest.fixture
def checkout(tmp_path):
    """A small package in a git checkout of its own, built as ours is."""
    root = tmp_path / "checkout"
    for name in PARTS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, root / name)
    for name in ("experiments", "ablations", "sweeps"):
        (root / name).mkdir()
        (root / name / "a.py").write_text('"""A."""\n')
    git(root, "init", "-q")
    commit(root)
    return root


def git(root: Path, *words: str) -> str:
    names = ["-c", "user.name=n", "-c", "user.email=e"]
    done = subprocess.run(["git", "-C", str(root), *names, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")


def wheel(root: Path, into: Path) -> Path:
    """Build a wheel and unpack it, as an installation does."""
    builder = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
    (built,) = builder.WheelBuilder(str(root)).build(directory=str(into / "dist"), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        archive.extractall(into / "site")
    return into / "site"


def test_a_wheel_reports_its_commit(checkout, tmp_path):
    site = wheel(checkout, tmp_path / "one")
    assert code(site) == Code(git(checkout, "rev-parse", "HEAD"), False, "")
    assert code(site).changes == ""
    assert package_digest(site / "dupl") == package_digest(checkout / "dupl")
    assert git(checkout, "status", "--porcelain") == ""  # the build leaves nothing behind
    (checkout / "dupl" / "version.py").write_text('__version__ = "0.2"\n')
    changed = wheel(checkout, tmp_path / "two")
    assert code(changed) == Code(git(checkout, "rev-parse", "HEAD"), True, "") and code(changed).changes is None
    assert package_digest(changed / "dupl") != package_digest(site / "dupl")


def test_a_wheel_of_an_sdist_too(checkout, tmp_path):
    builder = pytest.importorskip("hatchling.builders.sdist", reason="hatchling is not installed")
    (built,) = builder.SdistBuilder(str(checkout)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    with tarfile.open(built) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert not (source / ".git").exists()
    assert code(wheel(source, tmp_path / "one")) == Code(git(checkout, "rev-parse", "HEAD"), False, "")


def test_a_checkout_asks_git(checkout):
    (checkout / "dupl" / BUILT).write_text(json.dumps({"commit": "other", "dirty": False}))
    assert code(checkout).commit == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"commit": "a"}', "null"])
def test_a_damaged_record_is_none(tmp_path, text):
    (tmp_path / "dupl").mkdir()
    (tmp_path / "dupl" / BUILT).write_text(text)
    assert code(tmp_path) == Code()


def test_the_digest_is_of_contents_and_names(tmp_path):
    (tmp_path / "a.py").write_text("1")
    one = package_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("2")
    (tmp_path / BUILT).write_text("{}")
    package_digest.cache_clear()
    assert package_digest(tmp_path) == one
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    package_digest.cache_clear()
    assert package_digest(tmp_path) != one
    assert len(provenance.package_digest()) == 12
