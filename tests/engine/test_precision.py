"""The precision of a run, which devices compute it, and the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from dupl.cli import main
from dupl.engine import precision
from dupl.engine.device import open_device
from dupl.engine.training.optimizer import ScaledOptimizer, build_optimizer
from dupl.runs.run import Run

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
SCHEDULE = dict(lr=0.1, head_lr=1.0, weight_decay=0.01, betas=(0.9, 0.999))


@pytest.fixture
def processor(monkeypatch):
    """Let torch name other capabilities of the processor; None: a torch that cannot tell."""

    def set_to(capabilities):
        if capabilities is None:
            monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
        else:
            monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return set_to


class TestCapability:
    @pytest.mark.parametrize(
        ("capabilities", "computes", "told"),
        [
            ({"avx2": True, "avx512_bf16": False}, False, "emulates bfloat16 (neither AVX512-BF16 nor AMX)"),
            ({"avx512_bf16": True, "amx_bf16": False}, True, "computes bfloat16 (avx512_bf16)"),
            ({"avx512_bf16": True, "amx_bf16": True}, True, "computes bfloat16 (avx512_bf16, amx_bf16)"),
            (None, False, f"emulates bfloat16, as far as torch {torch.__version__} can tell"),
        ],
    )
    def test_of_processors(self, processor, capabilities, computes, told):
        processor(capabilities)
        assert precision.computes_bfloat16(CPU) is computes
        assert precision.capability(CPU) == told

    @pytest.mark.parametrize(
        ("compute", "computes"), [((7, 0), False), ((7, 5), False), ((8, 0), True), ((9, 0), True)]
    )
    def test_of_gpus(self, monkeypatch, compute, computes):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: compute)
        assert precision.computes_bfloat16(GPU) is computes
        verb = "computes" if computes else "emulates"
        assert precision.capability(GPU) == f"{verb} bfloat16 (compute capability {compute[0]}.{compute[1]})"
        assert (precision.warning("bf16", GPU) is None) is computes
        assert precision.warning("fp16", GPU) is None

    def test_only_a_precision_that_would_be_emulated_is_warned_of(self, processor):
        processor({})
        assert [name for name in precision.WORDS if precision.warning(name, CPU)] == ["cam", "bf16"]
        processor({"avx512_bf16": True})
        assert not any(precision.warning(name, CPU) for name in precision.WORDS)


class TestTraining:
    def test_it_says_precision_threads_and_what_is_emulated(self, processor, tiny, tmp_path, capsys):
        processor({})
        sets = [
            "runtime.precision=cam",
            "runtime.threads=2",
            "schedule.iterations=1",
            "schedule.warmup=0",
            "data.val=None",
        ]
        assert main(["train", tiny, "--work-dir", str(tmp_path / "run"), "--set", *sets]) == 0
        lines = capsys.readouterr().err.splitlines()
        assert any("bfloat16 in CAM passes on cpu, 2 threads on " in line for line in lines)
        (warned,) = (line for line in lines if "emulates" in line)
        assert warned.startswith(
            "the processor emulates bfloat16 (neither AVX512-BF16 nor AMX): bfloat16 in CAM passes "
        )

    @pytest.mark.parametrize("capabilities", [{}, {"avx512_bf16": True}])
    def test_so_does_an_evaluation(self, processor, trained, tmp_path, capsys, capabilities):
        processor(capabilities)
        argv = ["eval", str(trained), "--out", str(tmp_path), "--set", "runtime.precision=bf16"]
        assert main(argv) == 0
        warned = [line for line in capsys.readouterr().err.splitlines() if "emulates" in line]
        assert len(warned) == (not capabilities)
        assert not warned or warned[0].endswith("--set runtime.precision=off is another evaluation and faster")

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_recipe_sets_the_threads_whatever_the_environment_says(self, threads):
        before = torch.get_num_threads()
        try:
            assert open_device({"device": "cpu", "threads": threads}) == CPU
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)

    def test_neither_the_environment_nor_the_cores_change_a_number(self):
        """Two threads of the recipe, where OMP_NUM_THREADS says 1 or 3: sums of the same order, the same bits."""
        program = (
            "import hashlib, torch; from dupl.engine.device import open_device\n"
            "open_device({'device': 'cpu', 'threads': 2})\n"
            "torch.manual_seed(0); x = torch.randn(300, 3000, requires_grad=True)\n"
            "y = (x @ x.T).softmax(0).sum(); (y + x.square().sum() + torch.nn.functional.layer_norm(x, (3000,)).sum())"
            ".backward()\n"
            "print(torch.get_num_threads(), hashlib.sha256(x.grad.numpy().tobytes()).hexdigest(), x.sum().item())"
        )
        found = set()
        for threads in ("1", "3"):
            env = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
            done = subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True, text=True)
            found.add(done.stdout)
        (line,) = found
        assert line.startswith("2 ")

    def test_tf32_is_off(self):
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("high")
        open_device({"device": "cpu", "threads": torch.get_num_threads()})
        assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"

    def test_float16_learns_as_float32(self, tiny, trained, tmp_path):
        """The losses are the same but for rounding; the scale of the gradients is part of a checkpoint."""
        folder = tmp_path / "run"
        assert main(["train", tiny, "--work-dir", str(folder), "--set", "runtime.precision=fp16"]) == 0
        state = torch.load(folder / "checkpoints" / "iter_000024.pth", weights_only=True)
        assert state["optimizer"]["scaler"]["scale"] > 0
        half, full = ([row["loss"] for row in Run(one).scalars() if "loss" in row] for one in (folder, trained))
        assert half != full
        assert half == pytest.approx(full, rel=0.02)


class TestScaledOptimizer:
    @staticmethod
    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def run(self, name: str, steps: int, losses: int = 1, poison: int = -1):
        """Return the losses and the weights of a training in float32 by the optimiser of a precision."""
        model = self.model()
        optimizer = build_optimizer(model, SCHEDULE, losses, name)
        seen = []
        for step in range(steps):
            for part in range(losses):
                inputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(step * losses + part))
                loss = model(inputs).square().mean()
                seen.append(loss.item())
                optimizer.update_params(loss * (float("inf") if step == poison else 1.0))
        return seen, model.state_dict(), optimizer

    @pytest.mark.parametrize("losses", [1, 2])
    def test_scaling_by_a_power_of_two_changes_no_bit(self, losses):
        (plain, weights, _), (scaled, other, _) = (self.run(name, 5, losses) for name in ("off", "fp16"))
        assert plain == scaled
        assert all(torch.equal(weights[key], other[key]) for key in weights)

    def test_a_step_that_overflows_is_skipped_and_halves_the_scale(self):
        _, weights, optimizer = self.run("fp16", 3)
        _, others, skipped = self.run("fp16", 4, poison=3)
        assert all(torch.equal(weights[key], others[key]) for key in weights)
        assert skipped.scaler.get_scale() == optimizer.scaler.get_scale() / 2

    def test_its_state_holds_the_scale(self):
        _, _, made = self.run("fp16", 2, poison=1)
        fresh = build_optimizer(self.model(), SCHEDULE, 1, "fp16")
        assert isinstance(fresh, ScaledOptimizer) and fresh.scaler.get_scale() != made.scaler.get_scale()
        fresh.load_state_dict(made.state_dict())
        assert fresh.scaler.get_scale() == made.scaler.get_scale()
        assert fresh.state_dict()["param_groups"] == made.state_dict()["param_groups"]
