"""A run that begins as another one's checkpoint is, bit for bit, what it is from scratch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from dataclasses import replace

import pytest

from dupl.cli import main
from dupl.runs.best_weights import recorded_best
from dupl.runs.run import Run

NO_FILTER = ['model.noise_filter={"type": "TrustAll"}', "evaluation.interval=3"]  # acts from iteration 6 on
FILTER = ["evaluation.interval=3"]


def train(tiny, folder, *options, sets=()):
    assert main(["train", tiny, "--work-dir", str(folder), *map(str, options), "--set", *sets]) == 0
    return folder


@pytest.fixture(scope="module")
def trunk(tiny, tmp_path_factory):
    """A run that keeps its checkpoint of iteration 6, and the best weights until then."""
    return train(tiny, tmp_path_factory.mktemp("runs") / "trunk", "--keep-at", 6, sets=FILTER)


@pytest.fixture(scope="module")
def scratch(tiny, tmp_path_factory):
    return train(tiny, tmp_path_factory.mktemp("runs") / "scratch", sets=NO_FILTER)


def files(folder):
    """Names of all files but logs and the pictures of a finished run."""
    found = {f.relative_to(folder) for f in folder.rglob("*") if f.is_file()}
    return {str(f) for f in found if f.parts[0] != "logs" and f.name not in ("pictures.png", "curves.png")}


def test_a_fork_equals_the_run_from_scratch(tiny, trunk, scratch, tmp_path, helpers, capfd):
    forked = train(tiny, tmp_path / "forked", "--begin-from", trunk, sets=NO_FILTER)
    helpers.assert_same_run(forked, scratch)
    assert "begins as iteration 6 of trunk, which trains the same until there" in capfd.readouterr().err
    assert files(forked) == files(scratch)
    assert recorded_best(forked) == recorded_best(scratch) is not None
    begun = Run(forked).status.beginning
    file = trunk / "checkpoints" / "iter_000006.pth"
    assert begun.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (begun.run, begun.folder, begun.iteration) == (Run(trunk).status.fingerprint, "trunk", 6)
    assert begun.note == ""
    first, second = Run(forked).status.stretches  # whose seconds before the fork count in the other run
    assert (first.start, first.end, first.seconds, second.start, second.end) == (0, 6, 0.0, 6, 24)
    assert 0 < begun.seconds < Run(trunk).status.seconds
    assert Run(scratch).status.beginning is None


def test_reproduce_trains_a_fork_from_scratch_and_compares(tiny, trunk, tmp_path, capsys):
    forked, again = train(tiny, tmp_path / "forked", "--begin-from", trunk, sets=NO_FILTER), tmp_path / "again"
    assert main(["reproduce", str(forked), "--out", str(again)]) == 0
    out = capsys.readouterr().out
    assert "same       scalars: " in out
    assert "DIFFERS    scalars" not in out
    assert Run(again).status.beginning is None
    assert Run(again).status.stretches[0].start == 0

    rows = [json.loads(line) for line in (forked / "scalars.jsonl").read_text().splitlines()]
    (early,) = (row for row in rows if row["iter"] == 4 and "loss" in row)  # which the other run trained
    early["loss"] += 1e-6
    (forked / "scalars.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["reproduce", str(forked), "--out", str(again)]) == 1
    out, err = capsys.readouterr()
    assert "DIFFERS    scalars: " in out
    assert "from iteration 4 on" in out
    assert err.splitlines()[-1].startswith(f"dupl: {again} differs from {forked}")


def test_the_kept_checkpoint_outlives_the_training(trunk):
    kept = {f.name for f in (trunk / "checkpoints").iterdir()}
    assert {"iter_000006.pth", "iter_000024.pth", "best.pth"} <= kept
    assert "iter_000003.pth" not in kept


def test_any_older_checkpoint_serves(tiny, trunk, scratch, tmp_path, helpers, capfd):
    source = shutil.copytree(trunk, tmp_path / "source")
    checkpoints = source / "checkpoints"
    (checkpoints / "iter_000006.pth").rename(checkpoints / "iter_000003.pth")  # as kept at 3, but of iteration 6
    shutil.copyfile(trunk / "checkpoints" / "iter_000006.pth", checkpoints / "iter_000006.pth")
    with open(checkpoints / "iter_000006.pth", "rb+") as file:
        file.truncate(1000)
    forked = train(tiny, tmp_path / "forked", "--begin-from", source, sets=NO_FILTER)
    assert "skipped: " in capfd.readouterr().err
    assert Run(forked).status.iteration == 24


@pytest.mark.parametrize(
    ("sets", "why"),
    [
        (["schedule.lr=1e-4"], "it trains differently from the first iteration on"),
        (["data.train.count=16"], "it trains differently from the first iteration on"),
        ([*NO_FILTER, "model.patch_contrast.start=2"], "it has no checkpoint of the first 1 iterations"),
    ],
)
def test_what_cannot_be_used_is_said_and_training_starts_from_scratch(tiny, trunk, tmp_path, capfd, sets, why):
    sets = [*FILTER, *sets, "schedule.iterations=24"]
    folder = train(tiny, tmp_path / "run", "--begin-from", trunk, sets=sets)
    assert f"cannot begin as {trunk}: {why}" in " ".join(capfd.readouterr().err.split())
    assert Run(folder).status.beginning is None
    assert Run(folder).status.iteration == 24


def test_all_checkpoints_truncated_or_gone(tiny, trunk, scratch, tmp_path, helpers, capfd):
    source = shutil.copytree(trunk, tmp_path / "source")
    with open(source / "checkpoints" / "iter_000006.pth", "rb+") as file:
        file.truncate(1000)
    forked = train(tiny, tmp_path / "forked", "--begin-from", source, sets=NO_FILTER)
    assert "starting from scratch" in capfd.readouterr().err
    helpers.assert_same_run(forked, scratch)
    gone = train(tiny, tmp_path / "gone", "--begin-from", tmp_path / "nothing", sets=NO_FILTER)
    assert "there is no run; starting from scratch" in capfd.readouterr().err
    helpers.assert_same_run(gone, scratch)


@pytest.mark.parametrize("other", [{"package": "0" * 40}, {"modules": "0" * 12}], ids=["package", "custom_imports"])
def test_other_code_is_not_used(tiny, trunk, tmp_path, capfd, other):
    source = shutil.copytree(trunk, tmp_path / "source")
    Run(source).update(stretches=[replace(one, **other) for one in Run(source).status.stretches])
    train(tiny, tmp_path / "run", "--begin-from", source, sets=NO_FILTER)
    assert "it was trained by another version of the code; starting from scratch" in capfd.readouterr().err


def test_another_processor_is_used_and_noted(tiny, trunk, tmp_path, capfd):
    source = shutil.copytree(trunk, tmp_path / "source")
    here = Run(source).status.stretches[0].processor
    Run(source).update(stretches=[replace(one, processor="old", commit="0") for one in Run(source).status.stretches])
    folder = train(tiny, tmp_path / "run", "--begin-from", source, sets=NO_FILTER)
    note = f"equal up to rounding: processor old -> {here}"
    assert Run(folder).status.beginning.note == note
    told = " ".join(capfd.readouterr().err.split())
    assert f"({note}); equality to the bit cannot be expected of a run from scratch; by how much seeds differ" in told


def test_a_fork_that_was_interrupted_goes_on(tiny, trunk, scratch, tmp_path, helpers, commands):
    folder = tmp_path / "run"
    options = ["train", tiny, "--work-dir", folder, "--begin-from", trunk, "--set", *NO_FILTER]
    child = commands.start(*options)
    helpers.until(lambda: helpers.progress(folder) >= 10)
    os.killpg(child.pid, signal.SIGTERM)
    child.wait()
    again = commands.start(*options[:4], "--resume", "--begin-from", trunk, "--set", *NO_FILTER)
    assert again.wait() == 0, again.lines()
    helpers.assert_same_run(folder, scratch)
