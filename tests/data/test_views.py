from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from dupl.data import VOC, Toy
from dupl.data.views import EvalView, TrainView, normalize
from dupl.structures import IMAGE_MEAN, IMAGE_STD

AUGMENT = dict(scale=(0.5, 2.0), flip=0.5, crop=64, jitter=0.8, gray=0.2, blur=1.0)


def _same(a: dict, b: dict) -> bool:
    return all(torch.equal(a[key], b[key]) if torch.is_tensor(a[key]) else a[key] == b[key] for key in a)


def test_sample_has_the_agreed_form() -> None:
    sample = TrainView(Toy(count=2), AUGMENT, seed=0)[(0, 1)]
    assert set(sample) == {"image", "tags", "box", "seed", "name"}  # no mask: training never reads one
    assert sample["image"].shape == (3, 64, 64) and sample["image"].dtype == torch.float32
    assert sample["image"].is_contiguous()
    assert sample["tags"].shape == (6,) and sample["tags"].dtype == torch.float32
    assert sample["box"].shape == (4,) and sample["box"].dtype == torch.int64
    assert sample["seed"].shape == () and sample["seed"].dtype == torch.int64
    assert sample["name"] == "train_00001"


def test_sample_depends_on_seed_epoch_and_index_alone() -> None:
    keys = [(epoch, index) for epoch in range(2) for index in range(4)]
    view = TrainView(Toy(count=4), AUGMENT, seed=3)
    forward = {key: view[key] for key in keys}
    again = TrainView(Toy(count=4), AUGMENT, seed=3)
    assert all(_same(forward[key], again[key]) for key in reversed(keys))
    assert not torch.equal(forward[(0, 2)]["image"], forward[(1, 2)]["image"])
    assert len({int(sample["seed"]) for sample in forward.values()}) == len(keys)
    assert int(TrainView(Toy(count=4), AUGMENT, seed=4)[(0, 0)]["seed"]) != int(forward[(0, 0)]["seed"])


def test_workers_change_nothing() -> None:
    keys = [(0, 2), (0, 0), (1, 2), (1, 1)]
    view = TrainView(Toy(count=3), AUGMENT, seed=0)
    for workers in (0, 2):
        loader = DataLoader(view, sampler=keys, batch_size=None, num_workers=workers)  # type: ignore[arg-type]
        assert all(_same(sample, view[key]) for key, sample in zip(keys, loader, strict=True))


def test_masks_are_never_read_in_training(voc_root: Path) -> None:
    for mask in (voc_root / "SegmentationClass").iterdir():
        mask.write_text("unreadable")
    view = TrainView(VOC(str(voc_root), "train"), AUGMENT, seed=0)
    assert view[(0, 0)]["tags"].sum() == 2 and len(view) == 2


def test_normalisation() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    expected = (image / 255.0 - np.array(IMAGE_MEAN)) / np.array(IMAGE_STD)
    np.testing.assert_allclose(normalize(image).permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_evaluation_squashes_the_image_and_keeps_the_mask(voc_root: Path) -> None:
    source = VOC(str(voc_root), "val")
    sample = EvalView(source, 16)[0]
    assert sample["image"].shape == (3, 16, 16) and sample["mask"] is not None
    assert sample["mask"].shape == (20, 30) and sample["mask"].dtype == torch.uint8
    assert sample["name"] == "2007_000003" and sample["index"] == 0 and sample["tags"].sum() == 2
    assert torch.equal(EvalView(source)[0]["image"], normalize(source.image(0)))
    assert EvalView(VOC(str(voc_root), "val", masks=None))[0]["mask"] is None
