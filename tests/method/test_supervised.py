from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from numpy.typing import NDArray
from torch import Tensor

from dupl.cli import main
from dupl.config import catalogue
from dupl.data import Toy
from dupl.data.base import ImageSet
from dupl.data.transforms import WeakAugment
from dupl.data.views import TrainView
from dupl.engine.build import learns_from_masks
from dupl.engine.training.finite_guard import FiniteGuard
from dupl.engine.training.step import train_step
from dupl.errors import UserError
from dupl.method.supervised import Supervised
from dupl.runs.run import Run
from dupl.structures import IGNORE, Clock

K, SIDE = 3, 32
OFF: dict[str, Any] = dict(
    students=dict(type="SingleStudent"),
    discrepancy=dict(type="NoDiscrepancy"),
    threshold=dict(type="FixedThreshold"),
    noise_filter=dict(type="TrustAll"),
    consistency=dict(type="NoConsistency"),
    segmentation=dict(type="CrossEntropy"),
    patch_contrast=dict(type="NoPatchContrast"),
    refine=dict(type="PixelAdaptiveRefinement"),
    perturb=dict(type="StrongPerturbation"),
)
AUGMENT: dict[str, Any] = dict(crop=24, scale=(0.5, 2.0), flip=0.5, jitter=0.8, gray=0.2, blur=1.0)


class Plane(ImageSet):
    """Photos that show their own mask: label 1 is (40, 40, 40), label 2 (80, 80, 80), void (200, 200, 200)."""

    classes, has_masks = ("background", "a", "b", "c"), True

    def __init__(self, size: tuple[int, int], count: int = 3) -> None:
        self.names = [f"plane_{i}" for i in range(count)]
        draw = np.random.default_rng(0)
        coarse = draw.choice(np.array([1, 2, IGNORE], np.uint8), (count, size[0] // 4 + 1, size[1] // 4 + 1))
        self.masks = list(coarse.repeat(4, 1).repeat(4, 2)[:, : size[0], : size[1]])

    def image(self, i: int) -> NDArray[np.uint8]:
        shown = np.where(self.masks[i] == IGNORE, 200, 40 * self.masks[i]).astype(np.uint8)
        return np.repeat(shown[..., None], 3, 2)

    def tags(self, i: int) -> NDArray[np.float32]:
        return np.array([1, 1, 0], np.float32)

    def mask(self, i: int) -> NDArray[np.uint8] | None:
        return self.masks[i].copy()


# Masks through the augmentation


@pytest.mark.parametrize("scale", [None, 0.5, 0.8, 1.3, 2.0])
@pytest.mark.parametrize("size", [(24, 24), (16, 60), (60, 20)])
def test_a_mask_is_cropped_as_its_photo(scale: float | None, size: tuple[int, int]) -> None:
    """A photo whose red tells the row and whose green the column, and masks of the same."""
    augment = WeakAugment.from_dict(dict(crop=24, scale=scale, flip=0.5, jitter=0, gray=0, blur=0))
    ramps = np.stack(np.mgrid[: size[0], : size[1]], 2).astype(np.uint8)
    photo = np.concatenate([4 * ramps, np.full((*size, 1), 9, np.uint8)], 2)
    for seed in range(12):
        for axis in (0, 1):
            crop, box, mask = augment.with_mask(photo, ramps[..., axis].copy(), np.random.default_rng(seed))
            assert mask.shape == (24, 24) and mask.dtype == np.uint8
            within = np.zeros((24, 24), bool)
            within[box[0] : box[1], box[2] : box[3]] = True
            assert (mask[~within] == IGNORE).all() and not crop[~within].any() and (crop[within] > 0).any(1).all()
            off = np.abs(mask.astype(float) - crop[..., axis] / 4)[within]
            assert off.max() == 0 if scale is None else off.max() <= 1.2 and off.mean() <= 0.6


def test_a_mask_changes_nothing_else() -> None:
    source = Toy(count=4)
    plain, masked = TrainView(source, AUGMENT, seed=3), TrainView(source, AUGMENT, seed=3, masks=True)
    for key in ((0, 0), (0, 3), (1, 0)):
        one, other = plain[key], masked[key]
        mask = other["mask"]  # type: ignore[typeddict-item]
        assert set(other) == set(one) | {"mask"} and one["name"] == other["name"]
        assert all(torch.equal(one[k], other[k]) for k in ("image", "tags", "box", "seed"))  # type: ignore[literal-required]
        assert mask.shape == (24, 24) and mask.dtype == torch.int64
        y0, y1, x0, x1 = one["box"].tolist()
        assert (mask[y0:y1, x0:x1] != IGNORE).any()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda s: setattr(s, "has_masks", False), "learns from masks, and data.train has none"),
        (lambda s: setattr(s, "mask", lambda i: None), "mask of image plane_1 is missing"),
        (lambda s: s.masks.__setitem__(1, s.masks[1][:5]), "mask of image plane_1: 5x30 pixels, its photo has"),
        (lambda s: s.masks[1].__setitem__((0, 0), 4), "mask of image plane_1 holds label 4; use 0 to 3"),
    ],
)
def test_masks_that_cannot_teach_are_told(damage: Callable[[Plane], Any], told: str) -> None:
    source = Plane((30, 30))
    photo = source.image(1)
    source.image = lambda i: photo  # type: ignore[method-assign]
    damage(source)
    with pytest.raises(UserError, match=told):
        TrainView(source, AUGMENT, seed=0, masks=True)[(0, 1)]
    assert TrainView(source, AUGMENT, seed=0)[(0, 1)]["tags"].sum() == 2, "without masks it is none of its business"


# The model


@pytest.fixture
def supervised(network: dict[str, Any]) -> Callable[..., Supervised]:
    def make(**changes: Any) -> Supervised:
        torch.manual_seed(0)
        return Supervised(num_classes=K + 1, **(dict(network=network, weights=dict(seg=1.0)) | OFF | changes))

    return make


def masks_for(samples: dict[str, Any]) -> Tensor:
    masks = torch.randint(0, K + 1, (2, 4, 4), generator=torch.Generator().manual_seed(1))
    masks = masks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    masks[:, :, 20:] = IGNORE
    return masks


def test_the_loss_by_hand(supervised: Callable[..., Supervised], batch: Callable[..., dict[str, Any]]) -> None:
    model, samples = supervised(), batch([[0, 2], [1]], 0)
    masks = masks_for(samples)
    losses = model.loss(**samples, masks=masks)
    (view,) = model.students(samples["images"])
    logits = F.interpolate(view.logits, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    seg = F.cross_entropy(logits, masks, ignore_index=IGNORE)
    tags = sum(F.multilabel_soft_margin_loss(s, samples["tags"]) for s in (view.scores, view.aux_scores))
    assert losses["L_seg"].item() == pytest.approx(seg.item(), rel=1e-5)
    assert losses["L_cls"].item() == pytest.approx(tags.item(), rel=1e-5)
    assert losses["loss"].item() == pytest.approx(seg.item() + tags.item(), rel=1e-5)
    half = supervised(weights=dict(seg=0.5)).loss(**samples, masks=masks)
    assert half["loss"].item() == pytest.approx(0.5 * seg.item() + tags.item(), rel=1e-5)
    nothing = model.loss(**samples, masks=torch.full_like(masks, IGNORE))
    assert nothing["L_seg"] == 0 and nothing["loss"] == nothing["L_cls"]


def test_it_learns_the_masks(supervised: Callable[..., Supervised], batch: Callable[..., dict[str, Any]]) -> None:
    model, samples = supervised().train(), batch([[0, 2], [1]], 0)
    masks = masks_for(samples)
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=3e-3))
    data = dict(
        image=samples["images"],
        tags=samples["tags"],
        box=samples["boxes"],
        seed=torch.tensor([1, 2]),
        mask=masks,
        clock=Clock(0, 40),
    )
    guard = FiniteGuard()
    logs = [train_step(model, data, optimizer, guard) for _ in range(40)]
    assert set(logs[0]) == {"loss", "L_cls", "L_seg"}
    assert float(logs[-1]["L_seg"]) < 0.3 * float(logs[0]["L_seg"])
    ((_, logits, maps),) = model.eval().predict(samples["images"], samples["present"])
    right = F.interpolate(logits, size=(SIDE, SIDE), mode="bilinear").argmax(1) == masks
    assert right[masks != IGNORE].float().mean() > 0.7 and maps is not None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(students=dict(type="DualStudent")), "one network: set model.students.type=SingleStudent"),
        (
            dict(noise_filter=dict(type="MixtureFilter")),
            "cannot use model.noise_filter=MixtureFilter: set model.noise_filter.type=TrustAll",
        ),
        (
            dict(threshold=dict(type="CosineDescent")),
            "cannot use model.threshold=CosineDescent: set model.threshold.type=FixedThreshold",
        ),
        (dict(consistency=dict(type="FilteredConsistency")), "cannot use model.consistency=FilteredConsistency: set"),
        (dict(detector=dict(type="MaskingDetector")), "cannot use model.detector=MaskingDetector: set"),
        (dict(dis_region=dict(type="ObjectTokens")), "cannot use model.dis_region=ObjectTokens: set"),
        (dict(warm_start=dict(type="ClassifierWarmStart")), "cannot use model.warm_start=ClassifierWarmStart: set"),
        (dict(patch_contrast=dict(type="PatchTokenContrast")), "model.patch_contrast=PatchTokenContrast"),
        (dict(segmentation=dict(type="CrossEntropy", start=5)), "set model.segmentation.start=0"),
    ],
)
def test_what_means_nothing_is_refused(
    changes: dict[str, Any], told: str, supervised: Callable[..., Supervised]
) -> None:
    with pytest.raises(UserError, match=told):
        supervised(**changes)


# The recipes


def test_only_the_counterpart_reads_masks() -> None:
    reading = {name for name in catalogue.names() if learns_from_masks(catalogue.load(name))}
    assert reading == {"animals/supervised", "demo/supervised", "voc/supervised"}


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("demo/supervised", "demo/toy"),
        ("animals/supervised", "voc_animals"),
        ("voc/supervised", "voc/dupl"),
    ],
)
def test_it_differs_from_the_method_in_its_components_alone(name: str, of: str) -> None:
    ours, theirs = catalogue.plain(catalogue.load(name)), catalogue.plain(catalogue.load(of))
    assert {k: v for k, v in ours.items() if k != "model"} == {k: v for k, v in theirs.items() if k != "model"}
    changed = {key for key in ours["model"] if ours["model"][key] != theirs["model"][key]}
    switched = {"students", "discrepancy", "threshold", "noise_filter", "consistency", "patch_contrast"}
    assert changed == switched | {"type", "segmentation", "weights"} and ours["model"].keys() == theirs["model"].keys()


def test_trained_evaluated_and_inferred(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    off = [f"model.{key}={value!r}" for key, value in OFF.items() if key not in ("refine", "perturb")]
    off += ["model.type=Supervised", "model.weights.seg=1.0", "schedule.iterations=16"]
    folder = tmp_path / "run"
    assert main(["train", tiny, "--work-dir", str(folder), "--set", *off]) == 0, capsys.readouterr().err
    run = Run(folder)
    assert run.status.state == "finished" and (folder / "pictures.png").is_file()
    rows = [row for row in run.scalars() if "L_seg" in row]
    assert rows[-1]["L_seg"] < rows[0]["L_seg"] and "pixels/supervised" not in rows[-1]
    assert any("seg/best/mIoU" in row and "cam/1/mIoU" in row for row in run.scalars())
    assert main(["eval", str(folder)]) == 0
    assert main(["eval", str(folder), "--protocol", "final", "--no-crf"]) == 0
    assert main(["show", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name:12} off" in shown for name in ("DS", "L_dis", "DTA", "ANF", "L_reg"))
