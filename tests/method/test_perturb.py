from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from dupl.method.perturb import COLOUR, StrongPerturbation

PIL_OPS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "AutoContrast": lambda x, _: ImageOps.autocontrast(x),
    "Equalize": lambda x, _: ImageOps.equalize(x),
    "Posterize": lambda x, v: ImageOps.posterize(x, max(1, int(v))),
    "Color": lambda x, v: ImageEnhance.Color(x).enhance(v),
    "Contrast": lambda x, v: ImageEnhance.Contrast(x).enhance(v),
    "Brightness": lambda x, v: ImageEnhance.Brightness(x).enhance(v),
    "Sharpness": lambda x, v: ImageEnhance.Sharpness(x).enhance(v),
}


def photo(seed: int, side: int = 40) -> Tensor:
    """A smooth scene of limited range with grain, uint8 (3, side, side)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(rng.uniform(2, 9) * y + rng.uniform(2, 9) * x + rng.uniform(0, 6)) for _ in range(3)]
    picture = 120 + rng.uniform(30, 70) * np.stack(waves) + rng.normal(0, 6, (3, side, side))
    return torch.from_numpy(picture.clip(8, 240).astype(np.uint8))


def batch(count: int, side: int = 32) -> Tensor:
    return torch.stack([photo(i, side) for i in range(count)]).float() / 255


def test_the_seven_operations() -> None:
    assert set(COLOUR) == set(PIL_OPS)


@pytest.mark.parametrize("name", PIL_OPS)
def test_colour_operations_against_pil(name: str) -> None:
    operation, low, high = COLOUR[name]
    changed = 0.0
    for seed in range(5):
        image = photo(seed)
        for magnitude in (0, 10, 20, 30):
            value = low + (high - low) * magnitude / 30
            ours = operation(image, value).permute(1, 2, 0).numpy().astype(int)
            theirs = np.asarray(PIL_OPS[name](Image.fromarray(image.permute(1, 2, 0).numpy()), value)).astype(int)
            assert np.abs(ours - theirs).mean() < 2
            changed = max(changed, np.abs(ours - image.permute(1, 2, 0).numpy()).mean())
    assert changed > 2, "it does something"


def test_the_operations_on_a_flat_image() -> None:
    for value in (0, 77, 255):
        flat = torch.full((3, 8, 8), value, dtype=torch.uint8)
        for operation, low, _ in COLOUR.values():
            answer = operation(flat, low)
            assert answer.dtype == torch.uint8 and answer.shape == flat.shape


def test_released_strength() -> None:
    """Magnitude 10 of 30: 2 bits of Posterize, a factor of 0.7 for the others."""
    strength = {name: low + (high - low) * 10 / 30 for name, (_, low, high) in COLOUR.items()}
    assert strength["Posterize"] == 2 and strength["Color"] == pytest.approx(0.7)
    assert set(COLOUR["Posterize"][0](photo(0), 2.0).unique().tolist()) <= {0, 64, 128, 192}


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(0, 30), st.floats(0, 1), st.sampled_from([0.5, 0.75, 1.0, 1.25]))
def test_images_stay_in_the_unit_interval(seed: int, magnitude: int, flip: float, scale: float) -> None:
    images = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(seed))
    strong = StrongPerturbation(ops=5, magnitude=magnitude, flip=flip, scale=scale)(images, [seed, seed + 1])
    assert strong.images.shape == (2, 3, int(16 * scale), int(24 * scale)) and strong.images.dtype == images.dtype
    assert strong.images.min() >= 0 and strong.images.max() <= 1 and strong.flipped.dtype == torch.bool


def test_the_same_seeds_give_the_same_whatever_the_batch() -> None:
    images, seeds = batch(4), [11, 12, 13, 2**62]
    phi = StrongPerturbation(flip=0.5)
    first, again = phi(images, seeds), phi(images, seeds)
    assert torch.equal(first.images, again.images) and torch.equal(first.flipped, again.flipped)
    order = [2, 0, 3, 1]
    mixed = phi(images[order], [seeds[i] for i in order])
    assert torch.equal(mixed.images, first.images[order]) and torch.equal(mixed.flipped, first.flipped[order])
    for i in range(4):
        alone = phi(images[i : i + 1], seeds[i : i + 1])
        assert torch.equal(alone.images[0], first.images[i]) and torch.equal(alone.flipped, first.flipped[i : i + 1])
    torch.manual_seed(5)
    np.random.seed(5)
    assert torch.equal(phi(images, seeds).images, first.images), "no other generator has a say"
    assert not torch.equal(phi(images, [1, 2, 3, 4]).images, first.images)


def test_flips_and_operations_are_drawn_as_often_as_asked() -> None:
    images = batch(1, 8).expand(200, -1, -1, -1)
    assert StrongPerturbation(ops=0)(images, range(200)).flipped.all()
    assert not StrongPerturbation(ops=0, flip=0.0)(images, range(200)).flipped.any()
    assert 70 < int(StrongPerturbation(ops=0, flip=0.5)(images, range(200)).flipped.sum()) < 130
    one = StrongPerturbation(ops=1, flip=0.0, scale=1.0)(images, range(200)).images
    assert 5 <= len({tuple(x.flatten().tolist()) for x in one}) <= 8, "about one picture for each operation"


def test_without_operations_only_geometry_is_left() -> None:
    images = batch(2)
    phi = StrongPerturbation(ops=0, scale=0.5)
    strong = phi(images, [0, 1]).images
    assert torch.allclose(strong, torch.nn.functional.avg_pool2d(images.flip(-1), 2), atol=1e-6)
    fitted = StrongPerturbation(ops=0, scale=0.75)(images, [0, 1], lambda side: side // 16 * 16)
    assert fitted.images.shape[-2:] == (16, 16), "24 px to whole patches of 16"


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_undo_brings_a_map_back(scale: float, flip: float) -> None:
    """A map of constant gradient, as an image, through phi and back: itself, but where the edge is extended."""
    ramp = torch.linspace(0.1, 0.9, 32).expand(1, 3, 32, 32) * torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)
    ramp = (ramp + 0.1 * torch.linspace(0, 1, 32)[:, None]) * 255
    phi = StrongPerturbation(ops=0, flip=flip, scale=scale)
    strong = phi(ramp.round() / 255, [3])
    back = phi.undo(strong.images, strong.flipped, (32, 32)) * 255
    inner = slice(2, 30)
    assert (back - ramp)[..., inner, inner].abs().max() < 1.1, "8 bits a channel"
    wrong = phi.undo(strong.images, ~strong.flipped, (32, 32)) * 255
    assert (wrong - ramp).abs().mean() > 30


def test_the_label_twin_has_the_geometry_of_the_image() -> None:
    """Undoing a sure prediction of twin(labels) gives the labels back; mixed flips in one batch."""
    labels = torch.zeros(2, 32, 32, dtype=torch.int64)
    labels[:, 4:20, 2:10], labels[:, 24:, 20:], labels[:, :4] = 1, 2, 255
    phi, flipped = StrongPerturbation(), torch.tensor([True, False])
    twin = phi.twin(labels, flipped, (16, 16))
    assert twin.dtype == torch.int64 and torch.equal(twin[1], labels[1, ::2, ::2])
    assert torch.equal(twin[0], labels[0].flip(-1)[::2, ::2])
    sure = torch.nn.functional.one_hot(twin.masked_fill(twin == 255, 3), 4).permute(0, 3, 1, 2).float()
    back = phi.undo(sure, flipped, (32, 32)).argmax(1)
    assert torch.equal(back, labels.masked_fill(labels == 255, 3))
    odd = torch.randint(0, 4, (2, 32, 32), generator=torch.Generator().manual_seed(0)) * 85
    assert set(phi.twin(odd, flipped, (20, 20)).unique().tolist()) == {0, 85, 170, 255}, "labels are never mixed"


@pytest.mark.parametrize("wrong", [dict(magnitude=31), dict(flip=1.5), dict(scale=0), dict(ops=-1)])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="they must lie in"):
        StrongPerturbation(**wrong)


def test_what_is_not_set_is_as_released_and_the_limits_are_allowed() -> None:
    phi = StrongPerturbation()
    assert (phi.ops, phi.magnitude, phi.flip, phi.scale) == (5, 10, 1.0, 0.75)
    StrongPerturbation(ops=0, magnitude=0, flip=0, scale=2)
    StrongPerturbation(magnitude=30, flip=1, scale=0.1)
    for wrong in (dict(magnitude=-1), dict(flip=-0.1), dict(scale=2.1)):
        with pytest.raises(ValueError, match="they must lie in"):
            StrongPerturbation(**wrong)


def test_a_seed_draws_the_same_operations_in_every_version() -> None:
    """First the operations, with replacement, then the flip, of numpy's generator for (seed, 1)."""
    images, phi = batch(2), StrongPerturbation(flip=0.5, scale=1.0)
    strong = phi(images, [7, 8])
    for i, seed in enumerate((7, 8)):
        rng = np.random.default_rng([seed, 1])
        picture = (images[i] * 255).round().to(torch.uint8)
        for name in rng.choice(list(COLOUR), size=5):
            operation, low, high = COLOUR[name]
            picture = operation(picture, low + (high - low) / 3)
        flipped = rng.random() < 0.5
        assert bool(strong.flipped[i]) == flipped
        expected = picture.float() / 255
        assert torch.allclose(strong.images[i], expected.flip(-1) if flipped else expected, atol=1e-6)
