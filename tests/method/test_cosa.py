"""CoSA: its step in every phase against naive references, its average, its options, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.errors import UserError
from dupl.method.assignment import Assignment, assign
from dupl.method.cam import Maps, Present, multi_scale_cam
from dupl.method.cosa import CoSA
from dupl.method.dupl import DuPL
from dupl.method.equations import balanced_cross_entropy
from dupl.method.perturb import PHOTOMETRIC, OneOperation
from dupl.method.seg_to_cam import SegToCam
from dupl.structures import IGNORE, Clock

BEFORE, AFTER = 5, 30
Build, Batch = Callable[..., Any], Callable[..., dict[str, Any]]
PARTS: dict[str, dict[str, Any]] = dict(
    students=dict(type="OnlineAssigned", momentum=0.9),
    perturb=dict(type="OneOperation"),
    segmentation=dict(type="BalancedCrossEntropy", start=10),
    seg_to_cam=dict(type="SegToCam", start=10),
    dense_energy=dict(type="DenseEnergy", start=10, scale=1e-3),
    refine=dict(type="PixelAdaptiveRefinement", dilations=[1], iterations=0, downscale=2),
)


@pytest.fixture
def cosa(network: dict[str, Any]) -> Build:
    """A tiny ``CoSA``, with changes."""

    def make(**changes: Any) -> CoSA:
        torch.manual_seed(0)
        model = CoSA(**(dict(num_classes=4, network=network, cam_scales=[1.0, 0.5]) | PARTS | changes))
        with torch.no_grad():
            for net in model.students:
                net.head[4].weight *= 100
        return model

    return make


def grown(module: torch.nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


def test_the_step_in_every_phase(cosa: Build, batch: Batch) -> None:
    model = cosa()
    for t in (BEFORE, AFTER):
        model.zero_grad()
        logs = model.loss(**batch([[0, 2], [1]], t, boxes=[[0, 32, 0, 28], [3, 29, 0, 32]]))
        logs["loss"].backward()
        assert logs["L_cls"] > 0
        assert (logs["L_seg"] > 0) == (logs["L_s2c"] > 0) == ("L_energy" in logs) == (t == AFTER)
        assert grown(model.students[0].head) == (t == AFTER) and grown(model.students[0].backbone)
        assert not grown(model.students[1]), "the assignment network is an average"
        weighted = logs["L_cls"] + 0.1 * logs["L_seg"] + 0.05 * logs["L_s2c"]
        if t == AFTER:
            assert logs["L_energy"] < 0
            weighted = weighted + 0.05 * logs["L_energy"]
        assert torch.allclose(logs["loss"], weighted)


def test_before_a_loss_needs_it_the_assignment_network_does_not_run(cosa: Build, batch: Batch) -> None:
    model = cosa()
    model.students[1].register_forward_hook(lambda *_: pytest.fail("not needed"))
    assert model.loss(**batch([[0], [1]], BEFORE))["L_cls"] > 0


def test_the_segmentation_loss_is_that_of_both_cams(cosa: Build, batch: Batch) -> None:
    """L_c2s by its parts: labels of each CAM from the weak view, the prediction on the strong view."""
    model, samples = cosa(aux_share=0.25, aux_tau_l=0.1, aux_tau_h=0.4), batch([[0, 2], [1]], AFTER)
    images, present, clock = samples["images"], samples["present"], samples["clock"]
    online = model.students[0](model.strong_view(images, samples["seeds"]))
    log_P = model.log_probabilities(online.logits, images.shape[-2:])
    assigned = model.assign(images, present, clock)
    losses = []
    for maps, low, high in ((assigned.maps.main, 0.25, 0.7), (assigned.maps.aux, 0.1, 0.4)):
        labels = torch.stack([_naive_labels(maps[i], present, i, low, high) for i in range(2)])
        losses.append(balanced_cross_entropy(log_P, labels))
    assert torch.allclose(model.loss(**samples)["L_seg"], 0.75 * losses[0] + 0.25 * losses[1], rtol=1e-5)


def _naive_labels(maps: Tensor, present: Present, image: int, low: float, high: float) -> Tensor:
    """Labels of one image: softmax over threshold and CAMs at half the resolution, enlarged, then argmax."""
    slots = [m for m in range(maps.shape[0]) if present.valid[image, m]]
    half = F.interpolate(maps[slots][None], scale_factor=0.5, mode="bilinear")
    labels = []
    for tau in (high, low):
        scores = torch.cat([torch.full_like(half[:, :1], tau), half], 1).softmax(1)
        winner = F.interpolate(scores, size=maps.shape[-2:], mode="bilinear").argmax(1)[0]
        classes = torch.tensor([0] + [int(present.index[image, m]) + 1 for m in slots])
        labels.append(classes[winner])
    undecided = torch.where(labels[1] > 0, IGNORE, 0)
    return torch.where(labels[0] > 0, labels[0], undecided)


def test_the_loss_of_the_cams_by_hand() -> None:
    """Two patches, two classes, one of which the image has: probabilities by a softmax of its logit and background."""
    evidence = torch.tensor([[[[2.0, -1.0]], [[0.5, 3.0]]]], requires_grad=True)  # (1, 2, 1, 2)
    logits = torch.tensor([[[[0.0, 0.0]], [[0.02, -0.01]]]])  # background, class 0; one pixel per patch
    assigned = Assignment(Maps(logits[:, 1:], logits[:, 1:]), logits)
    present = Present(torch.tensor([[0]]), torch.tensor([[True]]))
    found = SegToCam(temperature=0.01)(evidence, assigned, present, Clock(0, 10))
    y = [1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.0))]  # of class 0 in either patch; 0 for class 1
    m = [[2.0, 0.5], [0.0, 3.0]]  # ReLU of the evidence
    margin = [
        -(target * np.log(1 / (1 + np.exp(-score))) + (1 - target) * np.log(1 / (1 + np.exp(score))))
        for (first, second), of_class in zip(m, y, strict=True)
        for score, target in ((first, of_class), (second, 0.0))
    ]
    assert float(found.detach()) == pytest.approx(np.mean(margin), rel=1e-5)
    found.backward()
    assert evidence.grad is not None and evidence.grad[0, 0, 0, 1] == 0, "no gradient below 0"


def test_slots_that_an_image_lacks_have_no_target() -> None:
    logits = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    present = Present.of(torch.tensor([[1.0, 0, 1], [0, 1, 0]]))
    targets = SegToCam().targets(logits, present, torch.zeros(2, 3, 4, 4))
    assert targets[0, 1].eq(0).all() and targets[1, [0, 2]].eq(0).all()
    assert targets[0, [0, 2]].sum() > 0 and targets.amax() <= 1


def test_the_assignment_equals_the_cams_and_the_sum_of_logits(cosa: Build, batch: Batch) -> None:
    model, samples = cosa(), batch([[0, 2], [1]])
    net, images, present = model.students[1], samples["images"], samples["present"]
    found = assign(net, images, present, [1.0, 0.5])
    wanted = multi_scale_cam(net, images, present, [1.0, 0.5])
    assert torch.allclose(found.maps.main, wanted.main, atol=1e-6)
    assert torch.allclose(found.maps.aux, wanted.aux, atol=1e-6)
    last = assign(net, images, present, [1.0, 0.5], "last")
    assert torch.allclose(last.maps.aux, multi_scale_cam(net, images, present, [0.5]).aux, atol=1e-6)
    assert torch.equal(last.maps.main, found.maps.main)
    total = torch.zeros(2, 4, 32, 32)
    for size in (32, 16):
        scaled = F.interpolate(images, size=(size, size), mode="bilinear")
        for mirrored in (False, True):
            with torch.no_grad():
                logits = net(scaled.flip(-1) if mirrored else scaled).logits
            enlarged = F.interpolate(logits, size=(32, 32), mode="bilinear")
            total += enlarged.flip(-1) if mirrored else enlarged
    assert torch.allclose(found.logits[:, 0], total[:, 0], atol=1e-3)
    assert torch.allclose(found.logits[0, 2], total[0, 3], atol=1e-3), "the second class of the first image is class 2"


def test_the_assignment_network_follows_the_online_network(cosa: Build) -> None:
    model = cosa()
    online, average = (net.classifier.weight for net in model.students)
    assert torch.equal(online, average)
    with torch.no_grad():
        online += 1
    before = average.clone()
    model.after_step()
    assert torch.allclose(average, 0.9 * before + 0.1 * online)
    own = cosa(students=dict(type="OnlineAssigned", initial="own"))
    assert not torch.equal(*(net.classifier.weight for net in own.students))


def test_the_strong_view_keeps_coordinates_and_draws_by_seed() -> None:
    """A left half that is brighter stays the brighter one under every operation that keeps the order of levels."""
    images = torch.zeros(9, 3, 8, 8)
    images[..., :4] = 0.8
    images[..., 4:] = 0.2
    phi = OneOperation()
    first, again = phi(images, list(range(9))), phi(images, list(range(9)))
    assert torch.equal(first.images, again.images) and not first.flipped.any()
    assert first.images.shape == images.shape
    for image in first.images:
        assert image[..., 1:3].std() < 1e-6 and image[..., 5:7].std() < 1e-6, "pixels stay where they are"
    other = phi(images, list(range(100, 109)))
    assert not torch.equal(first.images, other.images)


def test_operations_have_the_released_strengths() -> None:
    levels = torch.tensor([[[0, 100, 200, 255]]], dtype=torch.uint8).expand(3, 1, 4)
    assert PHOTOMETRIC["Solarize"](levels, 0.5)[0, 0].tolist() == [0, 100, 55, 0]  # from level 128 on
    assert PHOTOMETRIC["Posterize"](levels, 0.9)[0, 0].tolist() == [0, 0, 128, 128]  # 4 - 3 = 1 bit
    assert PHOTOMETRIC["Brightness"](levels, 0.5)[0, 0].tolist() == [0, 100, 200, 255]  # 0.1 + 0.9 = 1


def test_patch_tokens_are_labelled_by_the_thresholds_of_the_auxiliary_cam(cosa: Build, batch: Batch) -> None:
    """L_ptc reads the auxiliary CAM, as L_ctc does: the thresholds on the other CAM do not change it."""

    def l_ptc(**changes: Any) -> Tensor:
        model = cosa(patch_contrast=dict(type="PatchTokenContrast"), **changes)
        return model.loss(**batch([[0, 2], [1]], AFTER))["L_ptc"]

    plain = l_ptc()
    assert torch.equal(plain, l_ptc(tau_l=0.5, threshold=dict(type="FixedThreshold", value=0.5)))
    assert not torch.equal(plain, l_ptc(aux_tau_l=0.5, aux_tau_h=0.5))


def test_components_of_the_other_methods_work_inside(cosa: Build, batch: Batch) -> None:
    changes = dict(
        threshold=dict(type="CosineDescent"),
        noise_filter=dict(type="MixtureFilter", start=20, min_pixels=20, eta=0.0),
        patch_contrast=dict(type="PatchTokenContrast"),
        cam_queue=dict(type="QueueMixture", images=4, side=4),
    )
    model = cosa(**changes)
    logs = model.loss(**batch([[0, 2], [1]], AFTER))
    assert logs["L_ptc"] > 0 and logs["L_seg"] > 0 and logs["loss"].isfinite()


def test_without_its_parts_no_term_is_logged(cosa: Build, batch: Batch) -> None:
    off = dict(seg_to_cam=dict(type="NoSegToCam"), dense_energy=dict(type="NoDenseEnergy"))
    logs = cosa(**off).loss(**batch([[0], [1]], AFTER))
    assert "L_s2c" not in logs and "L_energy" not in logs and logs["L_seg"] > 0


def test_inspection_shows_the_labels_of_the_step(cosa: Build, batch: Batch) -> None:
    samples = batch([[0, 2], [1]], AFTER)
    del samples["seeds"]
    model = cosa(cam_queue=dict(type="QueueMixture", images=4, side=4))
    filled = model.cam_queue.filled.clone()
    found = model.inspect(**samples)
    assert found.labels is not None and len(found.labels) == len(found.log_P) == 2
    assert torch.equal(model.cam_queue.filled, filled), "inspection adds nothing to the queue"
    assert model.inspect(**(samples | dict(clock=Clock(BEFORE, 40)))).labels is None


def test_bf16_gives_finite_terms_near_those_of_fp32(cosa: Build, batch: Batch) -> None:
    samples = batch([[0, 2], [1]], AFTER)
    exact, half = cosa().loss(**samples), cosa(precision="bf16").loss(**samples)
    assert float(half["L_cls"]) == pytest.approx(float(exact["L_cls"]), rel=0.05)
    assert all(value.isfinite() for value in half.values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(perturb=dict(type="StrongPerturbation")), "pixel by pixel"),
        (dict(students=dict(type="DualStudent")), "students.type=OnlineAssigned"),
        (dict(tau_l=1.5), "model.tau_l is 1.5"),
        (dict(aux_scales="first"), "model.aux_scales"),
        (dict(students=dict(type="OnlineAssigned", momentum=2.0)), "momentum is 2.0"),
        (dict(students=dict(type="OnlineAssigned", initial="other")), "model.students.initial"),
    ],
)
def test_what_does_not_fit_is_refused(cosa: Build, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        cosa(**changes)


def test_other_methods_refuse_the_average(network: dict[str, Any]) -> None:
    parts = dict(
        discrepancy=dict(type="NoDiscrepancy"),
        threshold=dict(type="FixedThreshold"),
        noise_filter=dict(type="TrustAll"),
        consistency=dict(type="NoConsistency"),
        segmentation=dict(type="CrossEntropy"),
        patch_contrast=dict(type="NoPatchContrast"),
        refine=dict(type="NoRefinement"),
        perturb=dict(type="NoPerturbation"),
    )
    with pytest.raises(UserError, match="DuPL does not train OnlineAssigned"):
        DuPL(num_classes=4, network=network, students=dict(type="OnlineAssigned"), **parts)


def step(model: CoSA, samples: dict[str, Any]) -> dict[str, Tensor]:
    """A step whose terms and gradients are finite."""
    logs: dict[str, Tensor] = model.loss(**samples)
    logs["loss"].backward()
    assert all(value.isfinite() for value in logs.values()), logs
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    return logs


@pytest.mark.parametrize("tags", [[[0], [0]], [[], [1]], [[], []], [[0, 1, 2], []]])
@pytest.mark.parametrize("box", [[0, 32, 0, 32], [0, 1, 0, 1], [5, 5, 7, 7]])
def test_poor_batches_step(tags: list[list[int]], box: list[int], cosa: Build, batch: Batch) -> None:
    """One class, images without any, photos of a pixel or none in the crop; the queue takes them in."""
    model = cosa(cam_queue=dict(type="QueueMixture", images=4, side=4))
    for _ in range(2):
        step(model, batch(tags, AFTER, boxes=[box, box]))
        model.after_step()


def test_a_data_set_of_one_class(cosa: Build) -> None:
    samples = dict(
        images=torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
        tags=torch.ones(2, 1),
        present=Present.of(torch.ones(2, 1)),
        boxes=torch.tensor([[0, 32, 0, 32]] * 2),
        seeds=[0, 1],
        clock=Clock(AFTER, 40),
    )
    logs = step(cosa(num_classes=2), samples)
    assert logs["L_seg"] > 0 and logs["L_s2c"] > 0 and logs["L_energy"] < 0


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.5, 0.5), (1.0, 1.0)])
def test_images_of_one_kind_of_pixels_step(low: float, high: float, cosa: Build, batch: Batch) -> None:
    """No pixel is decided but where a CAM is 0; no pixel is undecided; every pixel is background."""
    model = cosa(
        tau_l=low, aux_tau_l=low, aux_tau_h=high, aux_share=0.0, threshold=dict(type="FixedThreshold", value=high)
    )
    logs = step(model, batch([[0, 2], [1]], AFTER))
    assert low == 0 or logs["pixels/undecided"] == 0
