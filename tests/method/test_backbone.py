from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from dupl.errors import UserError
from dupl.method.backbone import Backbone
from dupl.method.dupl import DuPL
from dupl.method.network import DilatedHead

SMALL = dict(embed_dim=32, depth=3, num_heads=2)
TINY = dict(img_size=32, patch_size=8, **SMALL)
# Name: options, patch, image side, prefix tokens.
VITS: dict[str, tuple[dict[str, int], int, int, int]] = {
    "vit_tiny_patch16_224": (TINY, 8, 32, 1),
    "deit_base_patch16_224.fb_in1k": (SMALL, 16, 32, 1),
    "vit_base_patch16_224.orig_in21k_ft_in1k": (SMALL, 16, 32, 1),
    "vit_small_patch14_dinov2.lvd142m": (SMALL, 14, 42, 1),
    "vit_small_patch14_reg4_dinov2.lvd142m": (SMALL, 14, 42, 5),
    "vit_base_patch32_clip_224.openai": (SMALL, 32, 64, 1),
    "vit_base_patch16_siglip_224": (SMALL, 16, 32, 0),
    "deit_tiny_distilled_patch16_224": (SMALL, 16, 32, 2),
    "eva02_tiny_patch14_224": (SMALL, 14, 28, 1),
}
WITH_POSITIONS = [name for name in VITS if not name.startswith("eva")]


@pytest.mark.parametrize("name", VITS)
def test_vits_build_from_random_and_step(name: str, build: Callable[..., DuPL], batch: Callable[..., Any]) -> None:
    options, patch, side, prefix = VITS[name]
    network = dict(backbone=dict(name=name, options=options), head=dict(channels=16, dilation=1))
    model = build(network=network)
    backbone = model.students[0].backbone
    assert (backbone.dim, backbone.patch, backbone.vit.num_prefix_tokens) == (32, patch, prefix)
    samples = batch([[0], [1, 2]], t=30)
    samples |= dict(images=torch.randn(2, 3, side, side), boxes=torch.tensor([[0, side, 0, side]] * 2))
    losses = model.loss(**samples)
    losses["loss"].backward()
    assert all(value.isfinite() for value in losses.values())
    gradient = backbone.vit.patch_embed.proj.weight.grad
    assert gradient.isfinite().all() and gradient.any()


def test_a_convolutional_stem_counts_in_the_patch() -> None:
    backbone = Backbone("vit_tiny_r_s16_p8_224", options=dict(depth=3))
    side = backbone.scaled_side(50)
    assert backbone.patch == 32 and side == 64 and backbone(torch.randn(1, 3, side, side))[0].shape == (1, 192, 2, 2)


def test_fit_is_round_or_drop() -> None:
    drop = Backbone("vit_tiny_patch16_224", options=TINY, fit="drop")
    assert [drop.scaled_side(s) for s in (1, 8, 11, 13, 60)] == [8, 8, 11, 13, 60]
    with pytest.raises(UserError, match=r'backbone\.fit is \'crop\': choose "round" or "drop"'):
        Backbone("vit_tiny_patch16_224", options=TINY, fit="crop")  # type: ignore[arg-type]


# Position embedding


@pytest.mark.parametrize("name", WITH_POSITIONS)
def test_positions_at_the_own_size_are_timms(name: str) -> None:
    options, patch, *_ = VITS[name]
    torch.manual_seed(0)
    vit = Backbone(name, options=options).vit
    for parameter in (vit.cls_token, vit.reg_token, getattr(vit, "dist_token", None), vit.pos_embed):
        if parameter is not None:
            torch.nn.init.normal_(parameter)
    height, width = vit.patch_embed.grid_size
    tokens = torch.randn(2, height, width, 32)
    assert torch.allclose(vit._pos_embed(tokens), type(vit)._pos_embed(vit, tokens), atol=1e-6)
    assert not vit.pos_embed.requires_grad


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (4, 4), (8, 6)])
def test_positions_are_resized_by_plain_bicubic(size: tuple[int, int]) -> None:
    vit = Backbone("vit_tiny_patch16_224", options=TINY).vit
    tokens = torch.zeros(1, *size, 32)
    added = vit._pos_embed(tokens)
    grid = vit.pos_embed[:, 1:].reshape(1, 4, 4, 32).permute(0, 3, 1, 2)
    plain = F.interpolate(grid, size=size, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    assert torch.allclose(added[:, 1:], plain, atol=1e-6)
    assert torch.equal(added[:, :1], vit.cls_token + vit.pos_embed[:, :1])
    if size == (2, 2):
        smooth = type(vit)._pos_embed(vit, tokens)
        assert not torch.allclose(added, smooth, atol=1e-3), "timm smooths when the grid shrinks"


def test_positions_by_hand() -> None:
    """From 4 columns to 8: PyTorch's bicubic weights (A = -0.75) at a quarter of a step."""
    vit = Backbone("vit_tiny_patch16_224", options=TINY).vit
    ramp = torch.tensor([0.0, 1.0, 2.0, 3.0]).repeat(4)[None, :, None].expand(1, 16, 32)
    with torch.no_grad():
        vit.pos_embed[:, 1:] = ramp
    row = vit._pos_embed(torch.zeros(1, 8, 8, 32))[0, 1:, 0].view(8, 8)[3]

    def weight(x: float, a: float = -0.75) -> float:
        x = abs(x)
        near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
        return near if x <= 1 else far if x < 2 else 0.0

    expected = [
        sum(weight(place - i) * min(max(i, 0), 3) for i in range(-3, 8))
        for place in ((c + 0.5) / 2 - 0.5 for c in range(8))
    ]
    assert row.tolist() == pytest.approx(expected, abs=1e-5)


# Features


def test_features_are_normed_patches_and_those_of_an_earlier_block() -> None:
    torch.manual_seed(0)
    backbone = Backbone("vit_tiny_patch16_224", options=TINY).eval()
    images, vit = torch.randn(2, 3, 32, 32), backbone.vit
    features, aux, class_token = backbone(images)[:3]
    x = vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))
    after = []
    for block in vit.blocks:
        x = block(x)
        after.append(x)

    def as_map(tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, 1:].transpose(1, 2).reshape(2, 32, 4, 4)

    assert torch.allclose(features, as_map(vit.norm(after[-1])), atol=1e-5)
    assert torch.allclose(aux, as_map(after[-3]), atol=1e-5), "without the final norm"
    assert torch.allclose(class_token, vit.norm(after[-1])[:, 0], atol=1e-5)
    assert torch.allclose(backbone.class_token(images), class_token, atol=1e-6), "the same without the patch tokens"
    last = Backbone("vit_tiny_patch16_224", aux_block=-1, options=TINY)
    assert last.blocks_read == [2]


def test_sizes_differ_from_the_built_one() -> None:
    backbone = Backbone("vit_tiny_patch16_224", options=TINY)
    for height, width in ((8, 8), (24, 40), (64, 16)):
        features, aux, _ = backbone(torch.randn(1, 3, height, width))[:3]
        assert features.shape == aux.shape == (1, 32, height // 8, width // 8)


def test_a_copy_is_on_its_own() -> None:
    backbone = Backbone("vit_tiny_patch16_224", options=TINY).eval()
    twin, images = copy.deepcopy(backbone), torch.randn(1, 3, 24, 24)
    before = twin(images)[0]
    with torch.no_grad():
        backbone.vit.pos_embed.add_(1)
    assert torch.equal(twin(images)[0], before) and not torch.equal(backbone(images)[0], before)


def test_the_head_as_the_paper_has_it() -> None:
    head = DilatedHead(768, 21)
    shapes = {name: tuple(p.shape) for name, p in head.named_parameters()}
    assert shapes == {"0.weight": (512, 768, 3, 3), "2.weight": (512, 512, 3, 3), "4.weight": (21, 512, 1, 1)}
    assert head[0].dilation == head[2].dilation == (5, 5) and head[0].padding == head[2].padding == (5, 5)
    assert DilatedHead(8, 3, channels=4)(torch.randn(1, 8, 5, 7)).shape == (1, 3, 5, 7)


# Weights


def donor(seed: int = 1, **changes: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return timm.create_model("vit_tiny_patch16_224", num_classes=10, **(TINY | changes))


def load(file: Path) -> Backbone:
    return Backbone("vit_tiny_patch16_224", weights=str(file), options=TINY)


@pytest.mark.parametrize("kind", ["safetensors", "half", "pth", "model"])
def test_weights_from_a_file(tmp_path: Path, kind: str) -> None:
    state = donor().state_dict()
    file = tmp_path / ("weights.pth" if kind in ("pth", "model") else "weights.safetensors")
    if kind == "half":
        state = {name: value.half() for name, value in state.items()}
    if kind in ("safetensors", "half"):
        save_file(state, file)
    else:
        torch.save(dict(model=state) if kind == "model" else state, file)
    loaded = load(file).vit.state_dict()
    assert "head.weight" in state and "head.weight" not in loaded
    for name, value in loaded.items():
        assert value.dtype == torch.float32 and torch.equal(value, state[name].float()), name


def test_files_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    state = donor().state_dict()
    missing = {name: value for name, value in state.items() if not name.startswith("blocks.1.attn")}
    cases: dict[str, Any] = {
        "missing": missing,
        "unexpected": state | {"blocks.7.foo.weight": torch.zeros(2)},
        "wider": donor(embed_dim=48).state_dict(),
        "deeper": donor(depth=4).state_dict(),
        "nothing": {"a": torch.zeros(1)},
    }
    for name, content in cases.items():
        save_file(content, tmp_path / f"{name}.safetensors")
        with pytest.raises(UserError, match=f"{name}.safetensors does not fit the backbone") as error:
            load(tmp_path / f"{name}.safetensors")
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"missing \['blocks.1.attn"):
        load(tmp_path / "missing.safetensors")


def test_unreadable_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file .*absent.safetensors"):
        load(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights")
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save(dict(epoch=3, name="x"), tmp_path / "words.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")  # pickled code is not run
    for name in ("text.safetensors", "text.pth", "empty.pth", "list.pth", "words.pth", "module.pth"):
        with pytest.raises(UserError, match=f"{name} is not a readable weights file") as error:
            load(tmp_path / name)
        assert "\n" not in str(error.value)


# Names


def test_an_unknown_name_says_which_are_close() -> None:
    with pytest.raises(UserError, match="no model 'vit_tinny_patch16_224'; similar names: vit_tiny_patch16_224"):
        Backbone("vit_tinny_patch16_224")
    with pytest.raises(
        UserError, match="no model 'deit_base_patch16_225.fb_in1k'; similar names: deit_base_patch16_224"
    ):
        Backbone("deit_base_patch16_225.fb_in1k")
    with pytest.raises(UserError, match="no model 'x'$"):
        Backbone("x")


@pytest.mark.parametrize("pretrained", [True, False])
def test_an_unknown_tag_says_which_there_are(pretrained: bool) -> None:
    with pytest.raises(UserError, match=r"tag \(nope\) .* timm has deit_tiny_patch16_224.fb_in1k"):
        Backbone("deit_tiny_patch16_224.nope", pretrained=pretrained)


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224"])
def test_what_is_no_vit_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"model.network.backbone.*{name} .*ViT"):
        Backbone(name)


def test_wrong_options_and_blocks_are_one_line() -> None:
    with pytest.raises(UserError, match="does not accept them .*colour"):
        Backbone("vit_tiny_patch16_224", options=dict(colour=3))
    with pytest.raises(UserError, match="network.backbone.aux_block is -4, but vit_tiny_patch16_224 has 3 blocks"):
        Backbone("vit_tiny_patch16_224", aux_block=-4, options=TINY)


def test_no_hub_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="no weights for backbone vit_tiny.*weights=FILE.safetensors.*pretrained=False"):
        Backbone("vit_tiny_patch16_224", pretrained=True)
