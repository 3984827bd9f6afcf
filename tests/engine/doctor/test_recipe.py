"""What the doctor says of torch, GPUs and a recipe's needs."""

from __future__ import annotations

import stat
from types import SimpleNamespace

import pytest
import torch

from dupl.config import catalogue, overrides
from dupl.engine.doctor import recipe
from dupl.engine.precision import capability


@pytest.fixture
def no_gpu(monkeypatch, tmp_path):
    """torch sees no device, and nvidia-smi is what the test makes it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))

    def driver(prints: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\nprintf '{prints}'\n")
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)

    return driver


class TestGpu:
    def test_none_is_no_failure(self, no_gpu):
        assert recipe.gpu().state == "note"

    def test_one_that_torch_does_not_see_is(self, no_gpu, monkeypatch):
        no_gpu("GPU 0: A100")
        monkeypatch.setattr(torch.version, "cuda", None)
        found = recipe.gpu()
        assert (found.state, "without CUDA" in found.found) == ("fail", True)
        monkeypatch.setattr(torch.version, "cuda", "12.6")
        assert "CUDA_VISIBLE_DEVICES" in recipe.gpu().fix
        no_gpu("")
        assert recipe.gpu().state == "note"

    @pytest.mark.parametrize(("bf16", "state"), [(True, "ok"), (False, "note")])
    def test_what_it_is(self, monkeypatch, bf16, state):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        card = SimpleNamespace(name="A100", total_memory=80 * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0) if bf16 else (7, 5))
        found = recipe.gpu()
        assert ("computes bfloat16" if bf16 else "emulates bfloat16") in found.found
        assert ("precision=fp16" in found.fix) is not bf16
        assert (found.state, "A100 (80 GiB), A100 (80 GiB)" in found.found) == (state, True)


def test_torchvision_of_another_channel(monkeypatch):
    import torchvision.ops

    assert recipe.torchvision().state == "ok"

    def broken(*_):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision.ops, "nms", broken)
    assert (recipe.torchvision().state, "one channel" in recipe.torchvision().fix) == ("fail", True)


class TestRecipe:
    def examine(self, name, tmp_path, **sets):
        config = overrides.apply(catalogue.load(name), sets)
        return {one.name: one for one in recipe.examine_recipe(config, tmp_path)}

    def test_of_one_that_can_be_trained(self, tiny, tmp_path):
        found = self.examine(tiny, tmp_path)
        assert {one.state for one in found.values()} <= {"ok", "note"}
        assert found["device"].found.startswith("cpu, 1 thread on ")
        assert f", float32; it {capability(torch.device('cpu'))}" in found["device"].found

    @pytest.mark.parametrize(("warmup", "said"), [(23, False), (24, True), (100, True)])
    def test_of_a_warm_up_as_long_as_the_training(self, tiny, tmp_path, warmup, said):
        note = self.examine(tiny, tmp_path, **{"schedule.warmup": warmup}).get("schedule")
        assert (note is not None) is said
        if note is not None:
            assert note.state == "note"
            assert note.found.startswith(f"all 24 iterations are warm-up, because schedule.warmup is {warmup}: ")

    def test_of_a_precision_that_is_emulated(self, tiny, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
        found = self.examine(tiny, tmp_path, **{"runtime.precision": "bf16"})["device"]
        assert found.state == "note" and "bfloat16 is slower there than float32" in found.fix

    def test_of_one_that_cannot(self, tiny, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        sets = {"runtime.device": "cuda", "model.network.backbone.weights": str(tmp_path / "none.pth")}
        found = self.examine(tiny, tmp_path, **sets)
        assert (found["device"].state, found["weights"].state) == ("fail", "fail")
        found = self.examine(tiny, tmp_path, **{"model.students": {"type": "SingleStudent"}})
        both = found["model and data"]
        assert (both.state, "L_dis without DS" in both.found) == ("fail", True)

    def test_the_model_is_built_for_the_classes_of_the_data(self, tiny, tmp_path):
        targets = {"model.threshold": {"type": "PerClassCosineDescent", "final": [0.5] * 20}}
        found = self.examine(tiny, tmp_path, **targets)["model and data"]
        assert found.state == "fail" and "model.threshold.final has 20 values, and the data have 6" in found.found
        found = self.examine(tiny, tmp_path, **{"evaluation.best": "seg/best/mIuU"})["model and data"]
        assert found.state == "fail" and "evaluation.best is 'seg/best/mIuU'" in found.found

    def test_deep_trains_and_evaluates_two_images(self, tiny, tmp_path):
        assert "trial steps" not in self.examine(tiny, tmp_path)
        config = overrides.apply(catalogue.load(tiny), {})
        (found,) = (one for one in recipe.examine_recipe(config, tmp_path, deep=True) if one.name == "trial steps")
        assert found.state == "ok" and found.found.startswith("training and evaluation of 2 images work")
        config = overrides.apply(catalogue.load(tiny), {"model.refine.downscale": 100})
        (found,) = (one for one in recipe.examine_recipe(config, tmp_path, deep=True) if one.name == "trial steps")
        assert (found.state, "the trial training step of 2 images failed" in found.found) == ("fail", True)

    def test_the_disk_space_is_what_checkpoints_take(self, tiny, trained, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(recipe, "disk", lambda root, need: asked.append(need))
        recipe.together(catalogue.load(tiny), tmp_path, deep=False)
        folder = trained / "checkpoints"
        one, best = max(f.stat().st_size for f in folder.glob("iter_*")), (folder / "best.pth").stat().st_size
        assert asked[0] == pytest.approx(3 * one + 2 * best, rel=0.2)  # two that are kept, one that is being written
