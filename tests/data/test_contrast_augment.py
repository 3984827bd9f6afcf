"""The further views of the class token contrast: what they show, their draws, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dupl.data import Toy
from dupl.data.contrast_augment import ContrastAugment
from dupl.data.transforms import WeakAugment
from dupl.data.views import TrainView
from dupl.errors import UserError

PLAIN: dict[str, Any] = dict(crop=32, scale=None, flip=0.5, jitter=0, gray=0, blur=0)
QUIET = dict(other_blur=0.0, solarize=0.0, local_blur=0.0)


def ramp(height: int = 40, width: int = 48) -> NDArray[np.uint8]:
    """A photo whose red tells the row and whose green the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([4 * rows, 4 * columns, np.full_like(rows, 9)], 2).astype(np.uint8)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_aligned_views_are_one_crop_in_three_forms() -> None:
    weak, contrast = WeakAugment.from_dict(PLAIN), ContrastAugment.from_dict(QUIET)
    for seed in range(12):
        alone, box = weak(ramp(), rng(seed))
        views = contrast(weak, ramp(), rng(seed))
        assert (views.crop == alone).all() and views.box == box, "the image is that without further views"
        assert (views.local_source == alone).all() and views.other_view.shape == (32, 32, 3)


def test_views_that_are_not_aligned_are_mirrored_independently() -> None:
    """Released code: the box stays, image and source are mirrored or not, four cases of equal probability."""
    weak, contrast = WeakAugment.from_dict(PLAIN), ContrastAugment.from_dict(QUIET | dict(aligned=False))
    seen = np.zeros((2, 2), int)
    for seed in range(400):
        placed = weak.draw((40, 48), rng(seed)).image(ramp())
        views = contrast(weak, ramp(), rng(seed))
        mirrored = [not (view == placed).all() for view in (views.crop, views.local_source)]
        for view, turned in zip((views.crop, views.local_source), mirrored, strict=True):
            assert (view == (placed[:, ::-1] if turned else placed)).all()
        seen[tuple(map(int, mirrored))] += 1
    assert (seen > 70).all(), seen


@pytest.mark.parametrize("size", [(40, 48), (200, 20), (30, 30), (1, 60)])
def test_the_other_view_is_a_part_of_the_photo(size: tuple[int, int]) -> None:
    contrast = ContrastAugment()
    shares, places = [], set()
    for seed in range(200):
        top, left, height, width = contrast.draw(*size, rng(seed))
        assert top >= 0 and top + height <= size[0] and left >= 0 and left + width <= size[1] and height * width
        shares.append(height * width / (size[0] * size[1]))
        places.add((top, left))
    if max(size) < 2 * min(size):
        assert 0.38 < min(shares) < 0.5 and max(shares) > 0.9 and len(places) > 50
        assert np.mean(shares) == pytest.approx(0.66, abs=0.06), "uniform in area, but for parts that do not fit"
    views = contrast(WeakAugment.from_dict(PLAIN), ramp(*size), rng(0))
    assert views.other_view.shape == (32, 32, 3)


def test_solarised_and_blurred_with_their_probability() -> None:
    weak, photo = WeakAugment.from_dict(PLAIN), np.full((40, 40, 3), 200, np.uint8)
    turned = [(ContrastAugment(solarize=0.2)(weak, photo, rng(s)).other_view == 55).all() for s in range(400)]
    assert np.mean(turned) == pytest.approx(0.2, abs=0.06)
    noise = rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    still = WeakAugment.from_dict(PLAIN | dict(flip=0.0))
    blurred = [(ContrastAugment(solarize=0)(still, noise, rng(s)).local_source != noise).any() for s in range(400)]
    assert np.mean(blurred) == pytest.approx(0.5, abs=0.08)


def test_samples_have_further_views_only_where_they_are_asked_for() -> None:
    source = Toy(split="train", size=32, contrast=0.2, texture=0.1, textured=0.5)
    weak = PLAIN | dict(jitter=0.8, blur=0.5)
    plain = TrainView(source, weak, seed=3)[(0, 4)]
    further = TrainView(source, weak, seed=3, contrast=ContrastAugment())[(0, 4)]
    assert "other_view" not in plain and further["other_view"].shape == further["local_source"].shape == (3, 32, 32)
    for name in ("image", "box", "seed", "tags"):
        assert torch.equal(plain[name], further[name]), "the training image is the same"
    again = TrainView(source, weak, seed=3, contrast=ContrastAugment())[(0, 4)]
    assert torch.equal(further["other_view"], again["other_view"])
    later = TrainView(source, weak, seed=3, contrast=ContrastAugment())[(1, 4)]
    assert not torch.equal(further["other_view"], later["other_view"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(area=(0.0, 1.0)), "area=.*above 0"),
        (dict(area=(0.5, 1.5)), "area="),
        (dict(ratio=(2.0, 1.0)), "ratio="),
        (dict(solarize=1.5), "solarize=1.5; give a probability"),
        (dict(aligend=True), "unknown setting 'aligend'; it takes aligned, area"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^contrast_augment: {message}"):
        ContrastAugment.from_dict(settings)
