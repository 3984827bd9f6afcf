"""Checkpoints of ours, of the released code and of ToCo; and files that are none."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dupl.cli import main
from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE
from dupl.engine import build
from dupl.engine.checkpoints import load, newest_valid
from dupl.engine.restore import restore
from dupl.engine.training.checkpoint_hook import plain
from dupl.engine.weights import load_weights
from dupl.errors import UserError
from dupl.method.afa import AFA
from dupl.method.cam import Present
from dupl.method.cosa import CoSA
from dupl.method.released_layout import convert
from dupl.runs import layout

SINGLE = ["model.students.type=SingleStudent", 'model.discrepancy={"type": "NoDiscrepancy"}']
TOCO = [
    *SINGLE,
    'model.class_contrast={"type": "ClassTokenContrast", "crop_size": 8, '
    '"projector": {"hidden": 8, "bottleneck": 4, "out": 6}}',
]
BLOCK = [
    f"{part}.{w}"
    for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    for w in ("weight", "bias")
]
BRANCH = {  # one branch of the released layout, with 3 blocks
    "encoder.cls_token",
    "encoder.pos_embed",
    *(f"encoder.{part}.{w}" for part in ("patch_embed.proj", "norm") for w in ("weight", "bias")),
    *(f"encoder.blocks.{n}.{key}" for n in range(3) for key in BLOCK),
    *(f"decoder.conv{n}.weight" for n in (6, 7, 8)),
    "classifier.weight",
    "aux_classifier.weight",
}


def make(tiny, *sets, seed=0):
    config = overrides.apply(catalogue.load(tiny), overrides.parse([*sets, f"runtime.seed={seed}"]), RECIPE)
    return build.build_model(config, 7, torch.device("cpu")).eval()


def make_cosa(network, seed=0):
    torch.manual_seed(seed)
    return CoSA(
        num_classes=7,
        network=network,
        students=dict(type="OnlineAssigned", initial="own"),
        perturb=dict(type="NoPerturbation"),
        segmentation=dict(type="BalancedCrossEntropy"),
        seg_to_cam=dict(type="NoSegToCam"),
        dense_energy=dict(type="NoDenseEnergy"),
        refine=dict(type="NoRefinement"),
    )


def make_afa(seed=0, **changes):
    """A tiny AFA with a mix transformer."""
    options = dict(dims=[8, 16, 20, 32], depths=[1, 1, 1, 2], heads=[1, 2, 5, 4], ratios=[4, 2, 1, 1])
    parts = dict(
        network=dict(type="PyramidNet", backbone=dict(name="mit_b1", options=options), head=dict(channels=16)),
        students=dict(type="SingleStudent"),
        affinity=dict(type="AffinityFromAttention"),
        segmentation=dict(type="BalancedCrossEntropy"),
        dense_energy=dict(type="NoDenseEnergy"),
        refine=dict(type="NoRefinement"),
    )
    torch.manual_seed(seed)
    return AFA(num_classes=7, cam_scales=[1.0], **(parts | changes))


def released_afa(model) -> dict[str, torch.Tensor]:
    """A model's weights as AFA's released code names and shapes them."""
    names = {
        "students.nets.0.backbone.vit.": "encoder.",
        "students.nets.0.head.linear_fuse.": "decoder.linear_fuse.conv.",
        "students.nets.0.head.linear_pred.": "decoder.linear_pred.",
        "students.nets.0.head.norm.": "decoder.linear_fuse.bn.",
        "students.nets.0.classifier.": "classifier.",
        "affinity.heads.0.": "attn_proj.",
        **{f"students.nets.0.head.linear_c{i}.": f"decoder.linear_c{i}.proj." for i in (1, 2, 3, 4)},
    }
    state = {"decoder.linear_fuse.bn.num_batches_tracked": torch.tensor(5)}
    for key, value in model.state_dict().items():
        (old,) = (old for old in names if key.startswith(old))
        name = names[old] + key.removeprefix(old)
        state[name] = value[..., None, None] if name in ("classifier.weight", "attn_proj.weight") else value
    return state


def first_network(model) -> dict[str, torch.Tensor]:
    return {k: v for k, v in model.state_dict().items() if k.startswith("students.nets.0.")}


def released(model, prefix="", extra=True) -> dict[str, torch.Tensor]:
    """A model's weights as the released code names them; of a single student as ToCo does."""
    state = {}
    for key, value in model.state_dict().items():
        if key.startswith("class_contrast."):
            continue
        student, inner = re.fullmatch(r"students\.nets\.(\d)\.(.*)", key).groups()
        inner = inner.replace("backbone.vit.", "encoder.")
        for place, name in (("0", "conv6"), ("2", "conv7"), ("4", "conv8")):
            inner = inner.replace(f"head.{place}.", f"decoder.{name}.")
        assert inner in BRANCH
        value = value[:, :, None, None] if "classifier" in inner else value  # 1x1 convolutions there
        branch = f"branch{int(student) + 1}." if len(model.students) == 2 else ""
        state[f"{prefix}{branch}{inner}"] = value
    assert len(state) == len(BRANCH) * len(model.students)
    for kind, name in (("projectors", "proj_head"), ("teachers", "proj_head_t")):
        for key, value in model.state_dict().items():
            if (inner := key.removeprefix(f"class_contrast.{kind}.0.")) != key:
                state[f"{prefix}{name}.{inner.replace('vectors.weight', 'last_layer.weight_v')}"] = value
                state[f"{prefix}{name}.last_layer.weight_g"] = torch.ones(6, 1)
    if extra:
        for branch in ("branch1.", "branch2.") if len(model.students) == 2 else ("",):
            state[f"{prefix}{branch}encoder.mask_token"] = torch.zeros(1, 1, 32)
            state[f"{prefix}{branch}encoder.head.weight"] = torch.zeros(1000, 32)
            state[f"{prefix}{branch}encoder.head.bias"] = torch.zeros(1000)
    return state


def says_the_same(one, other) -> bool:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    present = Present.of(torch.tensor([[1.0, 0, 1, 0, 0, 0], [0, 1.0, 0, 0, 0, 0]]))
    answers = [model.predict(images, present) for model in (one, other)]
    flat = [[t for scores, logits, maps in a for t in (scores, logits, maps.main, maps.aux)] for a in answers]
    return all(torch.equal(a, b) for a, b in zip(*flat, strict=True))


@pytest.fixture
def network():
    """Arguments of a tiny ``SubNet`` with the blocks of ``BRANCH``."""
    options = dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)
    return dict(backbone=dict(name="vit_tiny_patch16_224", options=options), head=dict(channels=16, dilation=1))


class TestReleasedLayout:
    @pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
    @pytest.mark.parametrize("key", ["state_dict", "model", None])
    def test_two_branches(self, tiny, tmp_path, prefix, key):
        source, target = make(tiny), make(tiny, seed=1)
        assert not says_the_same(source, target)
        state = released(source, prefix)
        torch.save(state if key is None else {key: state, "iter": 20000}, tmp_path / "released.pth")
        load_weights(target, tmp_path / "released.pth")
        assert says_the_same(source, target)

    @pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
    def test_tocos_branch_with_its_projections(self, tiny, tmp_path, prefix):
        source, target = make(tiny, *SINGLE), make(tiny, *SINGLE, seed=1)
        state = released(source, prefix)
        for head in ("proj_head", "proj_head_t"):
            state |= {
                f"{prefix}{head}.mlp.0.weight": torch.zeros(4, 4),
                f"{prefix}{head}.last_layer.weight_g": torch.ones(4),
            }
        torch.save({"state_dict": state}, tmp_path / "toco.pth")
        load_weights(target, tmp_path / "toco.pth")
        assert says_the_same(source, target)

    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_tocos_projections(self, tiny, tmp_path, prefix):
        """The layout of ToCo's released code, made by hand; the teacher's projector differs from the student's."""
        source, target = make(tiny, *TOCO), make(tiny, *TOCO, seed=1)
        with torch.no_grad():
            source.class_contrast.teachers[0].mlp[2].bias += 1
        state = released(source, prefix)
        torch.save(state, tmp_path / "toco.pth")
        load_weights(target, tmp_path / "toco.pth")
        assert says_the_same(source, target)
        for name, value in source.class_contrast.state_dict().items():
            assert torch.equal(target.class_contrast.state_dict()[name], value), name
        assert len(source.class_contrast.state_dict()) == 14

    def test_a_projection_with_a_gain_is_refused(self, tiny, tmp_path):
        state = released(make(tiny, *TOCO)) | {"proj_head.last_layer.weight_g": torch.full((6, 1), 1.5)}
        torch.save(state, tmp_path / "toco.pth")
        with pytest.raises(UserError, match=r"^proj_head.last_layer.weight_g has gains other than 1.*another file$"):
            load_weights(make(tiny, *TOCO), tmp_path / "toco.pth")

    def test_one_network_of_cosa_with_its_command_line(self, tmp_path, network):
        """CoSA saves the network that was best beside argparse's values; both networks of the model get it."""
        arguments = argparse.Namespace(seed=0, output_dir=Path("work"))
        source = make_cosa(network)
        alone = argparse.Namespace(state_dict=lambda: first_network(source), students=[source.students[0]])
        torch.save({"s_or_t": "s", "model": released(alone), "epoch": 1, "args": arguments}, tmp_path / "cosa.pth")
        target = make_cosa(network, seed=1)
        load_weights(target, tmp_path / "cosa.pth")
        for net in target.students:
            for name, value in source.students[0].state_dict().items():
                assert torch.equal(net.state_dict()[name], value), name

    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_afas_branch_with_its_affinity(self, tmp_path, prefix):
        """The layout of AFA's released code, made by hand: convolutions of 1 x 1, and a norm with a counter."""
        source, target = make_afa(), make_afa(seed=1)
        with torch.no_grad():
            source.students[0].head.norm.running_mean += 0.3
        torch.save({f"{prefix}{k}": v for k, v in released_afa(source).items()}, tmp_path / "afa.pth")
        load_weights(target, tmp_path / "afa.pth")
        assert says_the_same(source.eval(), target.eval())
        for name, value in source.state_dict().items():
            assert torch.equal(target.state_dict()[name], value), name
        without = make_afa(seed=1, affinity=dict(type="NoAffinity"))
        load_weights(without, tmp_path / "afa.pth")
        assert says_the_same(source, without.eval())
        state = released_afa(source)
        del state["decoder.linear_c2.proj.bias"]
        torch.save(state, tmp_path / "part.pth")
        with pytest.raises(UserError, match="1 missing: students.nets.0.head.linear_c2.bias"):
            load_weights(target, tmp_path / "part.pth")

    def test_the_command_line_takes_one(self, tiny, trained, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        ours = restore(str(trained), "last", [])
        torch.save(released(ours.model(ours.classes()), "module."), "theirs.pth")
        assert main(["eval", str(trained), "--checkpoint", "last", "--out", "ours"]) == 0
        assert main(["eval", tiny, "--checkpoint", "theirs.pth", "--out", "theirs"]) == 0
        folders = tmp_path / "ours/val_train-32-t0.5_iter_000024", tmp_path / "theirs/val_train-32-t0.5_theirs"
        for name in ("per_class.csv", "per_image.csv", "confusion.csv"):
            assert (folders[0] / name).read_text() == (folders[1] / name).read_text()


class TestKeysThatDoNotFit:
    @pytest.fixture
    def state(self, tiny):
        return released(make(tiny), extra=False)

    def refusal(self, tiny, tmp_path, state, *sets) -> str:
        torch.save({"state_dict": state}, tmp_path / "file.pth")
        target = make(tiny, *sets, seed=1)
        before = {k: v.clone() for k, v in target.state_dict().items()}
        with pytest.raises(UserError) as caught:
            load_weights(target, tmp_path / "file.pth")
        assert all(torch.equal(before[k], v) for k, v in target.state_dict().items()), "nothing was loaded"
        message = str(caught.value)
        assert "\n" not in message
        assert "file.pth does not fit the recipe's model" in message
        return message

    def test_missing(self, tiny, tmp_path, state):
        for key in ("branch2.classifier.weight", "branch1.decoder.conv8.weight"):
            del state[key]
        message = self.refusal(tiny, tmp_path, state)
        assert message.endswith("2 missing: students.nets.0.head.4.weight, students.nets.1.classifier.weight")

    def test_unknown(self, tiny, tmp_path, state):
        state |= {"branch1.extra.weight": torch.ones(1), "optimizer_step": torch.ones(1)}
        message = self.refusal(tiny, tmp_path, state)
        assert message.endswith("2 unknown: branch1.extra.weight, optimizer_step")

    def test_of_another_shape(self, tiny, tmp_path, state):
        state["branch1.classifier.weight"] = torch.zeros(20, 32, 1, 1)
        message = self.refusal(tiny, tmp_path, state)
        assert message.endswith("1 of another shape: students.nets.0.classifier.weight (20, 32) for (6, 32)")

    def test_all_at_once(self, tiny, tmp_path, state):
        state["branch9.classifier.weight"] = state.pop("branch1.classifier.weight")
        state["branch1.decoder.conv6.weight"] = torch.zeros(2)
        message = self.refusal(tiny, tmp_path, state)
        for part in (
            "1 missing: students.nets.0.classifier.weight",
            "1 unknown: branch9.classifier.weight",
            "1 of another shape: students.nets.0.head.0.weight (2,) for ",
        ):
            assert part in message

    def test_one_branch_for_two_students(self, tiny, tmp_path, state):
        one = {k.removeprefix("branch1."): v for k, v in state.items() if k.startswith("branch1.")}
        message = self.refusal(tiny, tmp_path, one)
        assert message.count("students.nets.1.") == len(BRANCH)

    def test_two_branches_for_one_student(self, tiny, tmp_path, state):
        message = self.refusal(tiny, tmp_path, state, *SINGLE)
        assert message.count("branch2.") == len(BRANCH)

    def test_ours_is_taken_as_it_is(self, tiny):
        state = make(tiny).state_dict()
        assert convert(state, set(state)) == state
        assert convert({f"module.{k}": v for k, v in state.items()}, set(state)) == state


class Malicious:
    def __init__(self, file) -> None:
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


class TestLoad:
    def test_nothing_in_a_file_is_executed(self, tiny, tmp_path, capsys):
        torch.save({"state_dict": {}, "payload": Malicious(tmp_path / "executed")}, tmp_path / "evil.pth")
        with pytest.raises(UserError, match=r"evil\.pth cannot be loaded: it holds more than tensors"):
            load(tmp_path / "evil.pth")
        assert main(["eval", tiny, "--checkpoint", str(tmp_path / "evil.pth")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "evil.pth" in line
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "it is empty; use an earlier one"),
            (b"no checkpoint at all", "torch.save did not write it$"),
            (b"PK\x03\x04 cut", "use an earlier one"),
        ],
    )
    def test_what_is_no_checkpoint_is_refused_in_one_line(self, tmp_path, content, told):
        (tmp_path / "file.pth").write_bytes(content)
        with pytest.raises(UserError, match=rf"file\.pth cannot be loaded.*{told}") as caught:
            load(tmp_path / "file.pth")
        assert "\n" not in str(caught.value)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(UserError, match=r"no checkpoint .*nowhere\.pth"):
            load(tmp_path / "nowhere.pth")

    @pytest.mark.parametrize("content", [torch.ones(1), [1, 2]])
    def test_something_else(self, tmp_path, content):
        torch.save(content, tmp_path / "file.pth")
        with pytest.raises(UserError, match="is not a checkpoint"):
            load(tmp_path / "file.pth")

    @pytest.mark.parametrize("content", [{"state_dict": 3}, {"epoch": 3}, {"state_dict": torch.ones(2)}])
    def test_a_dict_without_weights(self, tiny, tmp_path, content):
        torch.save(content, tmp_path / "file.pth")
        with pytest.raises(UserError, match="has no state_dict"):
            load_weights(make(tiny), tmp_path / "file.pth")


class TestFolder:
    def test_the_newest_that_loads(self, tmp_path):
        folder = tmp_path / "checkpoints"
        folder.mkdir()
        for i in (5, 10, 1000000):
            torch.save({"iter": i}, folder / f"iter_{i:06d}.pth")
        for other in ("best.pth", ".iter_000020.pth.part", "iter_x.pth"):
            (folder / other).write_bytes(b"")
        assert [i for i, _ in layout.checkpoints(tmp_path)] == [1000000, 10, 5]
        (folder / "iter_1000000.pth").write_bytes(b"cut")
        file, passed = newest_valid(tmp_path)
        assert file.name == "iter_000010.pth"
        assert len(passed) == 1
        assert "iter_1000000.pth" in passed[0]

    def test_none(self, tmp_path):
        assert newest_valid(tmp_path) == (None, [])


def test_plain_turns_numpy_scalars_into_python_ones():
    mixed = {"a": np.float64(0.5), "b": [np.int64(3), (np.bool_(True), "x")], "c": None}
    assert plain(mixed) == {"a": 0.5, "b": [3, [True, "x"]], "c": None}
    assert type(plain(mixed)["a"]) is float


class TestRestore:
    def test_best_last_or_a_file(self, trained, tmp_path, monkeypatch):
        assert restore(str(trained), None, []).checkpoint == trained / "checkpoints" / "iter_000024.pth"
        best = restore(str(trained), "best", [])
        assert best.checkpoint == trained / "checkpoints" / "best.pth"
        assert best.title == f"best, selected on val, iteration {best.iteration}"
        assert restore(str(trained), "last", []).checkpoint == trained / "checkpoints" / "iter_000024.pth"
        other = restore(str(trained), "x/best.pth", [])
        assert (other.name, other.title) == ("best", "x/best.pth"), "not taken for the run's own best"
        monkeypatch.chdir(trained.parent)
        mine = restore(str(trained), f"{trained.name}/checkpoints/iter_000020.pth", [])
        assert mine.title == "iteration 20", "the run's own by another path"
        missing = r"no checkpoint iter_000021: it is not a file, and .* has best, iter_000020, iter_000024"
        with pytest.raises(UserError, match=missing):
            restore(str(trained), "iter_000021", [])
        named = restore(str(trained), "iter_000020", [])
        assert (named.checkpoint, named.title) == (trained / "checkpoints" / "iter_000020.pth", "iteration 20")
        assert restore(str(trained), None, ["evaluation.size=64"]).config.evaluation.size == 64

    def test_a_recipe_needs_a_file(self, tiny):
        with pytest.raises(UserError, match="--checkpoint FILE"):
            restore(tiny, None, [])

    def test_what_is_neither_run_nor_recipe(self, trained, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "status.json").write_text("{}")
        for name, told in (
            ("runs/nope", "runs/nope is neither a run's folder nor a recipe; `dupl runs` and `dupl show` list them"),
            (str(trained.with_name(f"{trained.name}s")), rf"\(did you mean the run {trained}\?\)$"),
            ("voc/dulp", r"neither a run's folder nor a recipe \(did you mean voc/dupl"),
            (str(tmp_path), r"holds no run \(no status.json\); runs in it: mine$"),
            (str(trained / "checkpoints" / "best.pth"), "give one of these, and this as --checkpoint"),
        ):
            with pytest.raises(UserError, match=told):
                restore(name, None, [])

    def test_a_run_without_any(self, trained, tmp_path):
        (tmp_path / "checkpoints").mkdir()
        for name in ("config.py", "status.json"):
            (tmp_path / name).write_bytes((trained / name).read_bytes())
        (tmp_path / "checkpoints" / "iter_000003.pth").write_bytes(b"cut")
        with pytest.raises(UserError, match=r"no checkpoint that loads; .*iter_000003\.pth cannot be loaded"):
            restore(str(tmp_path), None, [])

    def test_classes_need_no_data(self, tmp_path):
        restored = restore("voc/dupl", str(tmp_path / "x.pth"), [f"data.train.root={tmp_path}/nowhere"])
        assert len(restored.classes()) == 21
