from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

from dupl.data import Toy
from dupl.errors import UserError

HASH = """
import hashlib
from dupl.data import Toy
toy = Toy("val", count=5)
print(hashlib.sha256(b"".join(toy.image(i).tobytes() + toy.mask(i).tobytes() for i in range(5))).hexdigest())
"""


def _digest(toy: Toy, order: range) -> str:
    parts = {i: toy.image(i).tobytes() + toy.mask(i).tobytes() for i in order}
    return hashlib.sha256(b"".join(parts[i] for i in sorted(parts))).hexdigest()


def test_scenes_are_the_same_in_any_order_copy_and_process() -> None:
    first = _digest(Toy("val", count=5), range(5))
    assert first == _digest(Toy("val", count=9), range(4, -1, -1))
    assert first == _digest(pickle.loads(pickle.dumps(Toy("val", count=5))), range(5))
    output = subprocess.run([sys.executable, "-c", HASH], capture_output=True, text=True, check=True).stdout
    assert first == output.strip()
    assert first != _digest(Toy("train", count=5), range(5))
    assert first != _digest(Toy("val", count=5, seed=1), range(5))


def test_what_it_gives_cannot_be_spoilt() -> None:
    toy = Toy(count=1)
    toy.image(0)[:] = 0
    toy.mask(0)[:] = 7
    assert toy.image(0).any() and toy.mask(0).max() == 255


def test_shapes_and_labels() -> None:
    toy = Toy(count=60)
    masks = np.stack([toy.mask(i) for i in range(60)])
    assert toy.image(0).shape == (64, 64, 3) and toy.image(0).dtype == np.uint8
    assert set(np.unique(masks).tolist()) == {0, 1, 2, 3, 4, 5, 6, 255}
    for i, mask in enumerate(masks):
        seen = np.isin(np.arange(1, toy.K + 1), mask)
        assert np.array_equal(toy.tags(i), seen.astype(np.float32)) and seen.any()
        assert 0.1 < (mask == 0).mean() < 0.97


def test_every_object_has_a_thin_border() -> None:
    toy = Toy(count=30)
    for i in range(30):
        mask = toy.mask(i)
        inside = (mask > 0) & (mask < 255)
        for axis in (0, 1):  # no object pixel touches the background
            for step in (1, -1):
                neighbour = np.roll(mask, step, axis)
                index = 0 if step == 1 else -1
                np.moveaxis(neighbour, axis, 0)[index] = 255
                assert not (inside & (neighbour == 0)).any()
        assert 0.01 < (mask == 255).mean() < 0.15


@pytest.mark.parametrize("wanted", [0.0, 0.6, 0.95, 1.0])
def test_cooccurrence_is_as_stated(wanted: float) -> None:
    toy = Toy(count=600, size=16, objects=(1, 1), cooccurrence=wanted)
    tied = np.mean([toy.tags(i)[toy.background(i) - 1] for i in range(600)])
    expected = wanted + (1 - wanted) / toy.K
    assert abs(tied - expected) < 4 * np.sqrt(expected * (1 - expected) / 600) + 1e-9


def test_splits_differ_in_cooccurrence_only_by_default() -> None:
    train, val = Toy("train"), Toy("val")
    assert (train.painter.cooccurrence, val.painter.cooccurrence) == (0.95, 0.0)
    assert (len(train), len(val)) == (2000, 300)
    assert not set(train.names) & set(val.names)


def test_difficulty_knobs_leave_the_layout() -> None:
    plain = Toy(count=4)
    for knob in ("contrast", "texture", "textured", "ground", "light", "noise"):
        other = Toy(count=4, **{knob: 0.9})
        for i in range(4):
            assert np.array_equal(plain.mask(i), other.mask(i)), knob
            assert not np.array_equal(plain.image(i), other.image(i)), knob


def test_objects_resemble_their_ground_but_can_be_told() -> None:
    toy = Toy(count=40, light=0, noise=0, texture=0, ground=0)
    gaps = []
    for i in range(40):
        image, mask = toy.image(i) / 255.0, toy.mask(i)
        inside = (mask > 0) & (mask < 255)
        gaps.append(np.sqrt(np.mean((image[inside].mean(0) - image[mask == 0].mean(0)) ** 2)))
    assert 0.03 < np.median(gaps) < 0.15


@pytest.mark.parametrize(
    "knobs",
    [
        dict(split="test"),
        dict(contrast=2),
        dict(objects=(3, 1)),
        dict(radius=(0, 0.2)),
        dict(size=4),
        dict(count=0),
    ],
)
def test_knobs_out_of_range(knobs: dict) -> None:
    with pytest.raises(UserError, match="toy set"):
        Toy(**knobs)


def test_extreme_knobs_still_draw() -> None:
    for knobs in (
        dict(textured=0.0),
        dict(textured=1.0),
        dict(radius=(0.5, 0.5)),
        dict(radius=(0.01, 0.02)),
        dict(size=97),
    ):
        toy = Toy(count=5, objects=(1, 8), **knobs)
        assert all(toy.tags(i).any() or knobs.get("radius") == (0.01, 0.02) for i in range(5))


def test_speed() -> None:
    toy = Toy(count=200)
    start = time.process_time()
    for i in range(200):
        toy.image(i)
    assert time.process_time() - start < 2  # 2,000 scenes take about 2.5 s
