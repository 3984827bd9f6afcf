"""Two processes on one run's folder: the second is refused, the first is not disturbed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket

import pytest

from dupl.cli import main
from dupl.lock import FILE, hold
from dupl.runs.run import Run


def test_the_second_is_refused_and_the_first_ends_as_if_alone(commands, tiny, trained, tmp_path, helpers):
    folder = tmp_path / "run"
    first = commands.start("train", tiny, "--work-dir", folder)
    helpers.until(lambda: helpers.progress(folder) >= 4)
    os.kill(first.pid, signal.SIGSTOP)  # for as long as the others take
    since = json.loads((folder / FILE).read_text())["since"]
    for flags in ([], ["--resume"], ["--set", "runtime.seed=1"]):
        second = commands.start("train", tiny, "--work-dir", folder, *flags)
        assert second.wait() == 75
        assert second.lines()[-1] == (
            f"dupl: {folder}: process {first.pid} on {socket.gethostname()}, "
            f"since {since} is at work on this run: wait for it, or stop it"
        )
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait() == 0
    helpers.assert_same_run(folder, trained)
    assert not (folder / FILE).exists()


def test_a_stopped_process_keeps_its_run_and_a_killed_one_does_not(commands, tiny, trained, tmp_path, helpers):
    folder = tmp_path / "run"
    first = commands.start("train", tiny, "--work-dir", folder)
    helpers.until(lambda: helpers.progress(folder) >= 10)
    os.kill(first.pid, signal.SIGSTOP)
    second = commands.start("train", tiny, "--work-dir", folder, "--resume")
    assert second.wait() == 75 and "is at work on this run" in second.lines()[-1]
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    third = commands.start("train", tiny, "--work-dir", folder, "--resume")
    assert third.wait() == 0
    helpers.assert_same_run(folder, trained)


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_folder_moved_or_copied_goes_on(commands, tiny, trained, tmp_path, helpers, how):
    folder, other = tmp_path / "run", tmp_path / "elsewhere" / "run"
    first = commands.start("train", tiny, "--work-dir", folder)
    helpers.until(lambda: helpers.progress(folder) >= 12)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (shutil.move if how == "moved" else shutil.copytree)(folder, other)
    again = commands.start("train", tiny, "--work-dir", other, "--resume")
    assert again.wait() == 0
    helpers.assert_same_run(other, trained)
    if how == "copied":
        assert Run(folder).status.state == "running", "the one it was copied from is left alone"


def test_two_evaluations_of_the_same_are_not_made_at_once(trained, capsys):
    name = ".val_train-32-t0.5_iter_000024.lock"
    with hold(trained / "evaluation", name=name, what="this evaluation"):
        assert main(["eval", str(trained), "--checkpoint", "last"]) == 75
        assert "is at work on this evaluation: wait for it, or stop it" in capsys.readouterr().err
    assert main(["eval", str(trained), "--checkpoint", "last"]) == 0
    assert not list((trained / "evaluation").glob(".*"))
