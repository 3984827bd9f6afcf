"""The mix transformer, its head and what is drawn at random in them, against naive references."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dupl.errors import UserError
from dupl.method.drop import SeededDrop, drawing
from dupl.method.mix_backbone import MixBackbone
from dupl.method.network import PyramidNet
from dupl.method.norm import StepBatchNorm
from dupl.method.pyramid_head import PyramidHead

TINY: dict[str, Any] = dict(dims=[8, 16, 20, 32], depths=[1, 1, 1, 2], heads=[1, 2, 5, 4])


def make(**changes: Any) -> PyramidNet:
    torch.manual_seed(0)
    backbone = dict(name="mit_b1", options=TINY) | changes
    return PyramidNet(num_classes=4, backbone=backbone, head=dict(channels=16))


def test_the_sizes_of_the_stages() -> None:
    net = make().eval()
    tokens = net.backbone(torch.randn(2, 3, 64, 96))
    assert [tuple(maps.shape) for maps in tokens.pyramid] == [
        (2, 8, 16, 24),
        (2, 16, 8, 12),
        (2, 20, 4, 6),
        (2, 32, 4, 6),
    ]
    assert net.backbone.patch == 16 and net.backbone.dims == [8, 16, 20, 32] and net.backbone.heads == 8
    assert tokens.attention.queries.shape == tokens.attention.keys.shape == (2, 8, 24, 8)
    assert net(torch.randn(1, 3, 64, 64)).logits.shape == (1, 4, 16, 16)


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        vit = MixBackbone("mit_b1").vit
    assert sum(p.numel() for p in vit.parameters()) == pytest.approx(13.7e6, rel=0.05)  # of the paper of SegFormer


def test_attention_of_the_last_block_is_that_of_its_layers() -> None:
    net = make(drop_path=0.0).eval()
    block, seen = net.backbone.vit.block4[1], []
    block.norm1.register_forward_hook(lambda _, __, output: seen.append(output))
    attention = net.backbone(torch.randn(2, 3, 64, 64)).attention
    q = block.attn.q(seen[0]).view(2, 16, 4, 8).transpose(1, 2)
    k = block.attn.kv(seen[0])[..., :32].view(2, 16, 4, 8).transpose(1, 2)
    assert torch.allclose(attention.queries[:, 4:], q, atol=1e-5)
    assert torch.allclose(attention.logits()[:, 4:], q @ k.transpose(2, 3), atol=1e-5)


def test_the_head_equals_its_layers_one_by_one() -> None:
    """The join is applied to every stage before it is enlarged; naively it follows the enlarged stages."""
    torch.manual_seed(0)
    head = PyramidHead([8, 16, 20, 32], 4, channels=6, dropout=0.0).eval()
    pyramid = [torch.randn(2, dim, side, side) for dim, side in zip((8, 16, 20, 32), (16, 8, 4, 4), strict=True)]
    enlarged = []
    for i in (3, 2, 1, 0):
        linear = head.get_submodule(f"linear_c{i + 1}")
        own = linear(pyramid[i].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        enlarged.append(F.interpolate(own, size=(16, 16), mode="bilinear", align_corners=False))
    joined = head.linear_fuse(torch.cat(enlarged, 1))
    assert torch.allclose(head(pyramid), head.linear_pred(joined.div((1 + 1e-5) ** 0.5).relu()), atol=1e-5)


def test_running_statistics_follow_once_a_step() -> None:
    norm, twin = StepBatchNorm(3), nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 5, 5) * 2 + 1
    assert torch.allclose(norm(x), twin(x), atol=1e-5)
    assert torch.equal(norm.running_mean, torch.zeros(3)), "nothing before the step ends"
    norm.after_step()
    assert torch.allclose(norm.running_mean, twin.running_mean) and torch.allclose(norm.running_var, twin.running_var)
    parts = StepBatchNorm(3)
    for half in x.chunk(2):  # two losses of one step
        parts(half)
    parts.after_step()
    means = torch.stack([half.mean((0, 2, 3)) for half in x.chunk(2)]).mean(0)
    assert torch.allclose(parts.running_mean, 0.1 * means, atol=1e-6)
    with torch.no_grad():
        parts(x)
    parts.after_step()
    assert torch.allclose(parts.running_mean, 0.1 * means, atol=1e-6), "passes without gradients do not count"


def dropped(drop: SeededDrop, x: Tensor, seeds: list[int]) -> Tensor:
    with drawing(drop, seeds):
        return drop(x)


def test_what_is_dropped_depends_on_the_seed_of_the_image() -> None:
    drop, x = SeededDrop(0.5).train(), torch.ones(16, 3, 4)
    seeds = list(range(16))
    whole = dropped(drop, x, seeds)
    assert set(whole.unique().tolist()) == {0.0, 2.0} and torch.equal(whole, dropped(drop, x, seeds))
    halves = torch.cat([dropped(drop, x[:8], seeds[:8]), dropped(drop, x[8:], seeds[8:])])
    assert torch.equal(whole, halves), "the batch does not matter"
    assert torch.equal(whole, whole[:, :1, :1].expand_as(whole)), "a whole image"
    channels = dropped(SeededDrop(0.5, "channels").train(), torch.ones(2, 64, 3, 3), [1, 2])
    assert 0.3 < channels.mean() / 2 < 0.7 and torch.equal(channels, channels[..., :1, :1].expand_as(channels))
    assert not torch.equal(channels[0], channels[1])


def test_nothing_is_dropped_outside_training() -> None:
    drop, x = SeededDrop(0.5), torch.ones(4, 3, 2)
    assert torch.equal(drop(x), x), "no seeds"
    assert torch.equal(dropped(drop.eval(), x, [0, 1, 2, 3]), x)
    with torch.no_grad():
        assert torch.equal(dropped(drop.train(), x, [0, 1, 2, 3]), x), "the pass of a CAM"
        assert not torch.equal(dropped(SeededDrop(0.5, in_cams=True).train(), x, [0, 1, 2, 3]), x)


def test_views_of_the_images_are_drawn_apart() -> None:
    drop = SeededDrop(0.5, in_cams=True).train()
    both = dropped(drop, torch.ones(64, 1, 1), list(range(32)))  # images, then their mirror images
    assert not torch.equal(both[:32], both[32:])
    assert torch.equal(both[:32], dropped(drop, torch.ones(32, 1, 1), list(range(32))))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(name="mit_b9"), "PyramidNet takes mit_b0, mit_b1"),
        (dict(pretrained=True), "timm has no weights of mit_b1; set model.network.backbone.pretrained=False and"),
        (dict(fit="drop"), 'backbone.fit is \'drop\': choose "round" or "any"'),
        (dict(drop_path=1.0), "drop_path is 1.0"),
        (dict(options=dict(width=3)), "options: mit_b1 does not accept them"),
        (dict(options=dict(dims=[8, 16])), "options: mit_b1 does not accept them"),
        (dict(weights="nowhere.pth"), "there is no file nowhere.pth"),
    ],
)
def test_bad_values_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        MixBackbone(**({"name": "mit_b1"} | arguments))


def test_weights_of_a_file(tmp_path: Any) -> None:
    source = make()
    state = source.backbone.vit.state_dict() | {"head.weight": torch.zeros(3, 3), "head.bias": torch.zeros(3)}
    torch.save(state, tmp_path / "mit.pth")
    loaded = MixBackbone("mit_b1", weights=str(tmp_path / "mit.pth"), options=TINY)
    assert torch.equal(loaded.vit.block4[1].attn.kv.weight, source.backbone.vit.block4[1].attn.kv.weight)
    with pytest.raises(UserError, match="does not fit the backbone"):
        MixBackbone("mit_b0", weights=str(tmp_path / "mit.pth"))


def test_sides() -> None:
    assert [make().backbone.scaled_side(side) for side in (3, 40, 41, 57)] == [32, 32, 48, 64]
    net = make(fit="any").eval()
    assert [net.backbone.scaled_side(side) for side in (3, 41)] == [32, 41]
    with pytest.raises(UserError, match="an image of 16 x 40 px is too small for mit_b1, which needs 32 px"):
        net(torch.randn(1, 3, 16, 40))
    assert net(torch.randn(1, 3, 41, 50)).features.shape[-2:] == (3, 4)
