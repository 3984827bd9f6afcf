"""What photos and masks may be at worst, through what reads and augments them; and what holds for any of them."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from numpy.typing import NDArray
from PIL import Image

from dupl.data.base import ImageSet
from dupl.data.files import read_image, read_mask
from dupl.data.placement import Placement
from dupl.data.transforms import WeakAugment
from dupl.data.views import EvalView, TrainView, normalize
from dupl.structures import IGNORE, IMAGE_MEAN, IMAGE_STD

PLAIN: dict[str, Any] = dict(scale=None, flip=0, jitter=0, gray=0, blur=0)
SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return default_rng([height, width, seed]).integers(1, 256, (height, width, 3), np.uint8)


class One(ImageSet):
    """One image with its tags and mask, which are also those of every further index."""

    classes = ("background", "cat", "dog")

    def __init__(self, image: NDArray[np.uint8], tags: tuple[int, ...], mask: NDArray[np.uint8] | None) -> None:
        self.names, self.has_masks = ["a"], mask is not None
        self._image, self._tags, self._mask = image, np.array(tags, np.float32), mask

    def image(self, i: int) -> NDArray[np.uint8]:
        return self._image

    def tags(self, i: int) -> NDArray[np.float32]:
        return self._tags

    def mask(self, i: int) -> NDArray[np.uint8] | None:
        return self._mask


# Sizes


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (2, 3)])
@pytest.mark.parametrize("scale", [(0.01, 0.02), (0.5, 2.0), (60.0, 70.0)])
def test_tiny_photos_and_scales_beyond_reason(size: tuple[int, int], scale: tuple[float, float]) -> None:
    """At least one pixel of the photo is left, and shown; the rest of the crop is black before the colour steps."""
    source = One(photo(*size), (1, 0), np.full(size, 1, np.uint8))
    view = TrainView(source, dict(crop=32, scale=scale), seed=3, masks=True)
    for epoch in range(5):
        sample = view[epoch, 0]
        y0, y1, x0, x1 = sample["box"].tolist()
        assert sample["image"].shape == (3, 32, 32) and sample["image"].isfinite().all()
        assert 0 <= y0 < y1 <= 32 and 0 <= x0 < x1 <= 32
        mask = sample["mask"]
        assert (mask[y0:y1, x0:x1] == 1).all() and int((mask != IGNORE).sum()) == (y1 - y0) * (x1 - x0)
    assert EvalView(source, 16)[0]["image"].isfinite().all()
    assert EvalView(source)[0]["image"].shape == (3, *size)


def test_a_photo_of_8000_pixels_a_side(tmp_path) -> None:
    """A crop of it costs what the crop costs: beside the photo itself, a few MB and milliseconds."""
    Image.new("RGB", (8000, 8000), (10, 200, 30)).save(tmp_path / "a.png", compress_level=1)
    large = read_image(tmp_path / "a.png")
    assert large.shape == (8000, 8000, 3) and large[7999, 7999].tolist() == [10, 200, 30]
    augment, spent = WeakAugment(crop=448), []
    tracemalloc.start()
    for seed in range(3):
        start = time.process_time()
        crop, box = augment(large, default_rng(seed))
        spent.append(time.process_time() - start)
        assert box == (0, 448, 0, 448) and crop.shape == (448, 448, 3)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
    assert min(spent) < 0.5


def test_normalisation_holds_one_copy() -> None:
    """In float32, as large as the image; it was two."""
    large = photo(600, 800)
    mean, std = (np.array(c, np.float32) for c in (IMAGE_MEAN, IMAGE_STD))
    assert np.allclose(normalize(large).numpy(), ((large / 255 - mean) / std).transpose(2, 0, 1), atol=1e-5)
    assert normalize(large[::-1, ::2]).is_contiguous()
    assert torch.equal(normalize(large), normalize(large)), "and leaves its constants alone"


# Masks


def test_masks_of_void_and_of_one_pixel(tmp_path) -> None:
    void = np.full((30, 40), IGNORE, np.uint8)
    Image.fromarray(void).save(tmp_path / "void.png")
    assert (read_mask(tmp_path / "void.png") == IGNORE).all()
    source = One(photo(30, 40), (1, 0), void)
    for epoch in range(5):
        sample = TrainView(source, dict(crop=24), seed=0, masks=True)[epoch, 0]
        assert (sample["mask"] == IGNORE).all() and sample["tags"].tolist() == [1, 0]

    dot = np.zeros((30, 40), np.uint8)
    dot[17, 23] = 2
    seen = set()
    view = TrainView(One(photo(30, 40), (0, 1), dot), dict(PLAIN, crop=64, flip=0.5, scale=(0.5, 2.0)), 0, masks=True)
    for epoch in range(40):
        mask = view[epoch, 0]["mask"]
        assert set(mask.unique().tolist()) <= {0, 2, IGNORE}, "labels are never mixed"
        seen.add(int((mask == 2).sum()))
    assert 0 in seen and max(seen) in (2, 4), "it may vanish at half the size, and is 2 x 2 pixels at most at twice"


def test_tags_without_pixels_and_pixels_without_tags() -> None:
    """Tags and masks are apart: what an image is said to show need not be in its mask."""
    empty = np.zeros((20, 20), np.uint8)
    for tags in ((0, 0), (1, 1)):
        sample = TrainView(One(photo(20, 20), tags, empty), dict(crop=16), seed=1, masks=True)[0, 0]
        assert tuple(sample["tags"].tolist()) == tags and set(sample["mask"].unique().tolist()) <= {0, IGNORE}


# What holds for any photo


@settings(max_examples=60)
@given(SIZES, st.integers(1, 48), st.floats(0.05, 3), st.integers(0, 10**6))
def test_a_crop_against_a_loop(size: tuple[int, int], crop: int, scale: float, seed: int) -> None:
    """Nearest neighbour, pixel by pixel: what the placement says stands where, and nothing else."""
    augment = WeakAugment.from_dict(dict(PLAIN, crop=crop, scale=scale, flip=0.5))
    place = augment.draw(size, default_rng(seed))
    y0, y1, x0, x1 = place.box
    for axis, (first, last) in enumerate(((y0, y1), (x0, x1))):
        scaled = max(1, int(scale * size[axis]))
        assert place.scaled[axis] == scaled and last - first == min(scaled, crop) and first >= 0 and last <= crop
        assert 0 <= place.corner[axis] <= max(scaled - crop, 0)
    mask = default_rng(seed).integers(0, 200, size, np.uint8)
    shown = place.mask(mask)
    for y in range(crop):
        for x in range(crop):
            if not (y0 <= y < y1 and x0 <= x < x1):
                assert shown[y, x] == IGNORE
                continue
            across = x1 - 1 - x if place.flip else x - x0
            row = (place.corner[0] + y - y0 + 0.5) * size[0] / place.scaled[0]
            column = (place.corner[1] + across + 0.5) * size[1] / place.scaled[1]
            near = [
                {min(max(int(at + gap), 0), side - 1) for gap in (-1e-4, 1e-4)}  # on an edge either side will do
                for at, side in ((row, size[0]), (column, size[1]))
            ]
            assert shown[y, x] in {mask[i, j] for i in near[0] for j in near[1]}


@settings(max_examples=60)
@given(SIZES, st.integers(1, 48), st.integers(0, 10**6))
def test_image_and_mask_of_a_crop_lie_alike(size: tuple[int, int], crop: int, seed: int) -> None:
    """A photo that shows its own mask; at scale 1, where no colour is mixed."""
    mask = default_rng(seed).integers(0, 255, size, np.uint8)
    image = np.repeat(mask[..., None], 3, 2)
    augment = WeakAugment.from_dict(dict(PLAIN, crop=crop, flip=0.5))
    shown, box, cut = augment.with_mask(image, mask, default_rng(seed))
    alone, same = augment(image, default_rng(seed))
    assert np.array_equal(alone, shown) and box == same, "the mask has no say in what is drawn"
    inside = cut != IGNORE
    assert np.array_equal(shown[inside][:, 0], cut[inside]) and not shown[~inside].any()
    assert int(inside.sum()) == (box[1] - box[0]) * (box[3] - box[2])


@settings(max_examples=40)
@given(SIZES, st.integers(0, 10**6), st.floats(0.3, 2))
def test_a_flipped_photo_has_the_flipped_crop(size: tuple[int, int], seed: int, scale: float) -> None:
    image = photo(*size, seed)
    scaled = max(1, int(scale * size[0])), max(1, int(scale * size[1]))
    box = (0, scaled[0], 0, scaled[1])
    side = max(scaled)
    straight = Placement(side, size, scaled, False, (0, 0), box).image(image)
    mirrored = Placement(side, size, scaled, True, (0, 0), box).image(image)
    assert np.array_equal(straight[:, : scaled[1]], mirrored[:, : scaled[1]][:, ::-1])
    both = Placement(side, size, scaled, False, (0, 0), box).image(np.ascontiguousarray(image[:, ::-1]))
    assert np.abs(both.astype(int) - mirrored).max() <= 1, "scaling and flipping commute, rounding apart"


@settings(max_examples=40)
@given(st.integers(0, 255), st.integers(0, 10**6))
def test_what_colour_steps_leave_alone(value: int, seed: int) -> None:
    """Grey stays grey, whatever is drawn; without a step the crop is as it was; bytes never wrap around."""
    grey = np.full((12, 14, 3), value, np.uint8)
    strong = WeakAugment(crop=12, jitter=1, brightness=1, contrast=1, saturation=1, hue=0.5, blur=1)
    out = strong.recolour(grey, default_rng(seed))
    assert out.dtype == np.uint8 and out.shape == grey.shape
    assert (out == out[0, 0]).all() and int(out[0, 0].max()) - int(out[0, 0].min()) <= 1
    assert int(out[0, 0, 0]) <= 2 * value + 1, "brightness at most doubles"
    image = photo(9, 8, seed)
    assert np.array_equal(WeakAugment.from_dict(dict(PLAIN, crop=9)).recolour(image, default_rng(seed)), image)


@settings(max_examples=40)
@given(SIZES, st.integers(1, 40), st.integers(0, 10**6), st.integers(0, 100), st.integers(0, 50))
def test_a_sample_is_a_function_of_seed_epoch_and_image(
    size: tuple[int, int], crop: int, seed: int, epoch: int, index: int
) -> None:
    source = One(photo(*size), (1, 0), None)
    source.names = [str(i) for i in range(51)]
    one, again = (TrainView(source, dict(crop=crop), seed)[epoch, index] for _ in range(2))
    assert torch.equal(one["image"], again["image"]) and torch.equal(one["box"], again["box"])
    assert one["image"].isfinite().all() and int(one["seed"]) == int(again["seed"]) >= 0
    other = TrainView(source, dict(crop=crop), seed + 1)[epoch, index]
    assert int(other["seed"]) != int(one["seed"])


@given(SIZES, st.integers(0, 10**6))
def test_normalising_is_one_line_for_each_channel(size: tuple[int, int], seed: int) -> None:
    image = photo(*size, seed)
    planes = normalize(image)
    for c in range(3):
        exact = (image[..., c].astype(np.float64) / 255 - IMAGE_MEAN[c]) / IMAGE_STD[c]
        assert np.abs(planes[c].numpy() - exact).max() < 1e-5
