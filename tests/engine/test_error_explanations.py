"""Memory that runs out and workers that are killed: one line with advice, and the run goes on."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from dupl.atomic import draft
from dupl.cli import main
from dupl.config import catalogue, overrides
from dupl.engine.error_explanations import plain_errors, workers_of
from dupl.engine.training import loop
from dupl.errors import RunError
from dupl.runs.run import Run

GPU = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 10.75 GiB."
CPU = "[enforce fail at alloc_cpu.cpp:115] data. DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."


def told(error: BaseException, *arguments) -> str:
    """The one line."""
    with pytest.raises(RunError) as caught, plain_errors(*arguments):
        raise error
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestLines:
    @pytest.mark.parametrize(
        ("error", "where"),
        [
            (torch.OutOfMemoryError(GPU), "GPU"),
            (RuntimeError("CUDA error: out of memory"), "GPU"),
            (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "GPU"),
            (RuntimeError(CPU), "CPU"),
            (RuntimeError("[enforce fail at CPUAllocator.cpp:64] . DefaultCPUAllocator: can't allocate memory"), "CPU"),
            (MemoryError(), "CPU"),
            (OSError(errno.ENOMEM, "Cannot allocate memory"), "CPU"),
        ],
    )
    def test_memory(self, error, where):
        line = told(error, "schedule.images_per_loss=2 (now 4)")
        assert line.startswith(f"out of memory on the {where} (")
        assert "try schedule.images_per_loss=2 (now 4); or free memory and repeat the command" in line

    def test_workers_are_named_where_they_take_the_memory(self):
        assert "runtime.workers=0 (now 4)" in told(MemoryError(), "x", 4)
        assert "runtime.workers" not in told(torch.OutOfMemoryError(GPU), "x", 4)
        assert "try" not in told(MemoryError())

    def test_a_worker_that_was_killed(self):
        line = told(RuntimeError("DataLoader worker (pid 77) is killed by signal: Killed. "), "x", 4)
        assert line.startswith("a worker of the data loader (process 77) is killed by signal Killed: memory, or shared")
        assert "runtime.workers=2 (now 4; it changes no result)" in line and "/dev/shm" in line
        line = told(RuntimeError("DataLoader worker (pid(s) 77, 78) exited unexpectedly"), "x", 4)
        assert "(process 77, 78) is gone" in line
        bus = "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are"
        assert "(process 7) is killed by signal Bus error: shared memory may" in told(RuntimeError(bus))

    @pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), OSError(errno.ENOENT, "x"), KeyError("x")])
    def test_other_errors_are_as_they_were(self, error):
        with pytest.raises(type(error)) as caught, plain_errors():
            raise error
        assert caught.value is error

    def test_memory_that_a_worker_lacks(self):
        line = None
        with pytest.raises(RunError) as caught, plain_errors("x", 1):
            list(DataLoader(Greedy(), num_workers=1))
        line = str(caught.value)
        assert line.startswith("out of memory on the CPU (MemoryError") and "\n" not in line


class Greedy(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise MemoryError


class TestTraining:
    @pytest.fixture
    def lack(self, monkeypatch):
        """Makes an iteration fail."""

        def lack(at: int, error: BaseException) -> None:
            run_iter = loop.TrainLoop.run_iter

            def fail(self, batch):
                if self._iter == at:
                    raise error
                run_iter(self, batch)

            monkeypatch.setattr(loop.TrainLoop, "run_iter", fail)

        return lack

    @pytest.mark.parametrize("error", [torch.OutOfMemoryError(GPU), RuntimeError(CPU)])
    def test_out_of_memory(self, tiny, trained, tmp_path, helpers, monkeypatch, capsys, lack, error):
        folder = tmp_path / "run"
        lack(12, error)
        assert main(["train", tiny, "--work-dir", str(folder)]) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        for named in (
            "schedule.images_per_loss=2 (now 4)",
            "data.augment.crop (now 32)",
        ):
            assert named in line
        status = Run(folder).status
        assert status.state == "failed" and status.error == line.replace("dupl: ", "RunError: ", 1)
        monkeypatch.undo()
        assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
        helpers.assert_same_run(folder, trained)

    def test_the_keys_of_the_advice_are_those_of_the_recipe(self, tiny, tmp_path, monkeypatch, capsys, lack):
        lack(0, MemoryError())
        sets = ["runtime.precision=cam", "runtime.workers=1"]
        assert main(["train", tiny, "--work-dir", str(tmp_path / "run"), "--set", *sets]) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        words = [word.rstrip(",;") for word in line.split() if word.startswith(("schedule.", "data.", "runtime."))]
        assert len(words) == 4
        for word in words:
            path, _, value = word.partition("=")
            overrides.apply(catalogue.load(tiny), overrides.parse([f"{path}={value or 1}"]))

    def test_out_of_memory_while_evaluating(self, tiny, trained, tmp_path, helpers, monkeypatch, capsys):
        def lack(*_, **__):
            raise torch.OutOfMemoryError(GPU)

        folder = tmp_path / "run"
        monkeypatch.setattr("dupl.method.dupl.DuPL.predict", lack)
        assert main(["train", tiny, "--work-dir", str(folder)]) == 1
        assert "evaluation.batch_size=1 (now 4)" in capsys.readouterr().err.splitlines()[-1]
        monkeypatch.undo()
        argv = ["train", tiny, "--work-dir", str(folder), "--resume", "--set", "evaluation.batch_size=1"]
        assert main(argv) == 0, "it is still the same run"
        assert helpers.rows(folder)[0] == helpers.rows(trained)[0]


def test_a_worker_that_torch_missed_is_named_with_its_signal():
    """Where the loader sees the end before the alarm, it does not say how; other errors stay as they are."""
    ended = SimpleNamespace(_workers=[SimpleNamespace(pid=6, exitcode=None), SimpleNamespace(pid=7, exitcode=-9)])
    with pytest.raises(RuntimeError, match=r"worker \(pid 7\) is killed by signal: Killed"), workers_of(ended):
        raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
    with pytest.raises(RuntimeError, match="^mat1 and mat2$"), workers_of(ended):
        raise RuntimeError("mat1 and mat2")


def test_a_loaders_worker_is_killed(commands, tiny, trained, tmp_path, helpers):
    folder = tmp_path / "run"
    child = commands.start("train", tiny, "--work-dir", folder, "--set", "runtime.workers=2")
    helpers.until(lambda: helpers.progress(folder) >= 4)
    workers = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    os.kill(int(workers[0]), signal.SIGKILL)
    assert child.wait() == 1, child.lines()
    line = child.lines()[-1]
    assert line.startswith(f"dupl: a worker of the data loader (process {workers[0]}) is killed by signal Killed")
    assert not [other for other in child.lines() if "Traceback" in other]
    assert Run(folder).status.state == "failed"
    assert Run(folder).status.error == line.replace("dupl: ", "RunError: ", 1)
    advice = shlex.split(line[line.index("--set ") :].replace("(", " "))[1]
    again = commands.start("train", tiny, "--work-dir", folder, "--resume", "--set", advice)
    assert again.wait() == 0, again.lines()
    helpers.assert_same_run(folder, trained)


def test_usr1_writes_the_stacks_and_training_goes_on(commands, tiny, trained, tmp_path, helpers):
    folder = tmp_path / "run"
    child = commands.start("train", tiny, "--work-dir", folder)
    helpers.until(lambda: helpers.progress(folder) >= 4)
    os.kill(child.pid, signal.SIGUSR1)
    assert child.wait() == 0, child.lines()
    stacks = child.err.read_text()
    assert "most recent call first" in stacks and "in run_train" in stacks
    helpers.assert_same_run(folder, trained)


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE")
def test_a_disk_that_is_full_while_torch_saves_is_one_line(tmp_path):
    import resource

    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with (
            pytest.raises(RunError, match=r"the disk could not be written .*: fix this, then repeat"),
            plain_errors(),
            draft(tmp_path / "best.pth") as part,
        ):
            torch.save({"weights": torch.zeros(10**6)}, part)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
