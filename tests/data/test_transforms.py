from __future__ import annotations

import numpy as np
import pytest
from numpy.random import default_rng
from PIL import Image

from dupl.data.transforms import WeakAugment
from dupl.errors import UserError

PLAIN = dict(scale=None, flip=0, jitter=0, gray=0, blur=0)


def _photo(height: int, width: int) -> np.ndarray:
    return default_rng(height * width).integers(1, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (20, 90), (64, 64), (65, 40), (500, 700)])
def test_box_is_where_the_photo_is(size: tuple[int, int]) -> None:
    augment = WeakAugment(crop=64, jitter=0, gray=0, blur=0)
    rng = default_rng(0)
    for _ in range(30):
        crop, (y0, y1, x0, x1) = augment(_photo(*size), rng)
        assert crop.shape == (64, 64, 3) and crop.dtype == np.uint8
        assert 0 <= y0 < y1 <= 64 and 0 <= x0 < x1 <= 64
        assert (crop[y0:y1, x0:x1] > 0).all()
        outside = np.ones((64, 64), bool)
        outside[y0:y1, x0:x1] = False
        assert not crop[outside].any()


def test_nothing_on_returns_pixels_of_the_photo() -> None:
    image = _photo(30, 80)
    crop, (y0, y1, x0, x1) = WeakAugment.from_dict(dict(crop=40, **PLAIN))(image, default_rng(3))
    assert (y1 - y0, x1 - x0) == (30, 40)
    assert any(np.array_equal(crop[y0:y1, x0:x1], image[:, left : left + 40]) for left in range(41))


def test_scaling_only_the_visible_part_equals_scaling_all() -> None:
    image = np.asarray(Image.fromarray(_photo(9, 12)).resize((120, 90), Image.Resampling.BICUBIC))
    for scale in (0.5, 0.73, 1.37, 2.0):
        crop, (y0, y1, x0, x1) = WeakAugment.from_dict(dict(PLAIN, crop=50, scale=scale))(image, default_rng(1))
        whole = np.asarray(
            Image.fromarray(image).resize((int(120 * scale), int(90 * scale)), Image.Resampling.BILINEAR)
        )
        part = crop[y0:y1, x0:x1].astype(int)
        tops, lefts = range(whole.shape[0] - part.shape[0] + 1), range(whole.shape[1] - part.shape[1] + 1)
        gaps = (
            np.abs(whole[top : top + part.shape[0], left : left + part.shape[1]] - part).max()
            for top in tops
            for left in lefts
        )
        assert min(gaps) <= 2, "rounding apart"


def test_scale_range_is_uniform_and_flips_are_half() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, :20] = 255
    rng, scales, flips = default_rng(0), [], 0
    for _ in range(600):
        crop, (y0, y1, x0, x1) = WeakAugment(crop=100, jitter=0, gray=0, blur=0)(image, rng)
        scales.append((y1 - y0) / 40)
        flips += crop[y0, x0, 0] == 0
    assert 0.5 <= min(scales) < 0.55 and 1.95 < max(scales) <= 2 and abs(np.mean(scales) - 1.25) < 0.06
    assert 250 < flips < 350


def test_colour_steps_have_their_probabilities() -> None:
    image = np.empty((16, 16, 3), np.uint8)
    image[:] = (200, 90, 40)
    grey = changed = 0
    rng = default_rng(0)
    for _ in range(500):
        crop, _ = WeakAugment(crop=16, scale=None, blur=0)(image, rng)
        is_grey = bool((crop[..., 0] == crop[..., 2]).all())
        grey += is_grey
        changed += not is_grey and not np.array_equal(crop, image)
    assert 70 < grey < 130  # p = 0.2
    assert abs(changed / (500 - grey) - 0.8) < 0.07


def test_hue_wraps_and_brightness_stays_in_range() -> None:
    image = np.empty((8, 8, 3), np.uint8)
    image[:] = (200, 20, 30)
    only = dict(PLAIN, crop=8, jitter=1, contrast=0, saturation=0)
    hues, values = [], []
    for seed in range(100):
        bright, _ = WeakAugment.from_dict(dict(only, brightness=0.4, hue=0))(image, default_rng(seed))
        values.append(bright[0, 0, 0] / 200)
        turned, _ = WeakAugment.from_dict(dict(only, brightness=0, hue=0.1))(image, default_rng(seed))
        hues.append(int(np.asarray(Image.fromarray(turned).convert("HSV"))[0, 0, 0]))
    assert 0.59 <= min(values) < 0.7 and 1.2 < max(values) <= 1.41
    distance = (np.array(hues) - 252 + 128) % 256 - 128  # the image's own hue is about 252
    assert distance.min() < -15 and distance.max() > 15 and np.abs(distance).max() <= 29


def test_blur_smooths() -> None:
    image = _photo(64, 64)
    crop, _ = WeakAugment.from_dict(dict(PLAIN, crop=64, blur=1.0, blur_radius=(2.0, 2.0)))(image, default_rng(0))
    assert crop.std() < 0.4 * image.std()


def test_draws_leave_the_global_generators_alone() -> None:
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    first = WeakAugment(crop=32)(_photo(50, 40), default_rng(7))
    again = WeakAugment(crop=32)(_photo(50, 40), default_rng(7))
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(), "crop is not set"),
        (dict(crop=64, colour=0.3), "unknown setting 'colour'; it takes blur"),
        (dict(crop=0), "crop=0"),
        (dict(crop=64, flip=1.5), "flip=1.5"),
        (dict(crop=64, scale=(2.0, 0.5)), "scale"),
        (dict(crop=64, hue=0.7), "hue=0.7; give a number from 0 to 0.5"),
    ],
)
def test_wrong_settings(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        WeakAugment.from_dict(settings)
