"""Weights from elsewhere are read as tensors; a pickle that runs a program is refused wherever a file is opened."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dupl.cli import main
from dupl.engine.checkpoints import iteration_of, load, newest_valid
from dupl.engine.evaluation.cache import LogitCache
from dupl.errors import UserError


class Attack:
    """Unpickled, it leaves a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path):
    """A file that is there as soon as anything was executed."""
    mark = tmp_path / "ran"
    yield mark
    assert not mark.exists()


def write(file: Path, kind: str, mark: Path) -> Path:
    """A checkpoint with an attack, in one of the layouts that torch.load takes."""
    content = {"state_dict": {"weight": torch.zeros(1)}, "meta": {"iter": 24}, "more": Attack(mark)}
    if kind == "zip":
        torch.save(content, file)
    elif kind == "old":
        torch.save(content, file, _use_new_zipfile_serialization=False)
    else:
        file.write_bytes(pickle.dumps(content))
    return file


KINDS = ["zip", "old", "pickle"]


def test_it_would_run_if_it_were_unpickled(tmp_path):
    file = write(tmp_path / "a.pth", "zip", tmp_path / "proof")
    torch.load(file, weights_only=False)
    assert (tmp_path / "proof").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file(tmp_path, mark, kind):
    file = write(tmp_path / "a.pth", kind, mark)
    with pytest.raises(UserError, match=r"a\.pth cannot be loaded") as told:
        load(file)
    assert "\n" not in str(told.value)
    assert iteration_of(file) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["eval", "infer"])
def test_given_on_the_command_line(tmp_path, mark, tiny, kind, command, capsys):
    file = write(tmp_path / "a.pth", kind, mark)
    photo = tmp_path / "a.png"
    from PIL import Image

    Image.new("RGB", (32, 32)).save(photo)
    more = [str(photo), "--out", str(tmp_path / "out")] if command == "infer" else ["--out", str(tmp_path / "out")]
    assert main([command, tiny, "--checkpoint", str(file), *more]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_runs_folder(tmp_path, mark, trained, kind):
    shutil.copytree(trained, tmp_path / "run")
    newest = max((tmp_path / "run" / "checkpoints").glob("iter_*.pth"))
    write(newest, kind, mark)
    found, passed = newest_valid(tmp_path / "run")
    assert found is not None and found < newest
    assert len(passed) == 1 and newest.name in passed[0]


@pytest.mark.parametrize("kind", KINDS)
def test_as_weights_of_the_backbone(tmp_path, mark, tiny, kind, capsys):
    file = write(tmp_path / "a.pth", kind, mark)
    assert (
        main(["train", tiny, "--work-dir", str(tmp_path / "run"), "--set", f"model.network.backbone.weights={file}"])
        == 2
    )
    assert "is not a readable weights file" in capsys.readouterr().err


def test_keys_that_are_no_names(tmp_path, tiny, capsys):
    torch.save({"state_dict": {3: torch.zeros(1)}}, tmp_path / "a.pth")
    assert main(["eval", tiny, "--checkpoint", str(tmp_path / "a.pth"), "--out", str(tmp_path / "out")]) == 2
    assert "has no state_dict" in capsys.readouterr().err


class TestArrays:
    def test_kept_logits_with_objects_are_made_anew(self, tmp_path, mark):
        kept = LogitCache(tmp_path / "logits", {})
        data = io.BytesIO()
        np.savez(data, np.array([Attack(mark)], dtype=object))
        kept.path("a", 0).parent.mkdir(parents=True)
        kept.path("a", 0).write_bytes(data.getvalue())
        assert kept.read("a", 0) is None

    @pytest.mark.parametrize("name", ["arr_0.npy", "arr_0"])
    def test_a_bare_pickle_in_their_archive(self, tmp_path, mark, name):
        kept = LogitCache(tmp_path / "logits", {})
        kept.path("a", 0).parent.mkdir(parents=True)
        with zipfile.ZipFile(kept.path("a", 0), "w") as archive:
            archive.writestr(name, pickle.dumps(Attack(mark)))
        read = kept.read("a", 0)
        assert read is None or not any(isinstance(one, Attack) for one in read)
