"""AFA: its step in every phase, its variants and crossings, its options, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dupl.errors import UserError
from dupl.method.afa import AFA
from dupl.method.cosa import CoSA
from dupl.method.drop import SeededDrop, drawing
from dupl.method.dupl import DuPL
from dupl.method.toco import ToCo
from dupl.method.view import View
from dupl.structures import Clock

BEFORE, LEARNT, SPREAD = 5, 15, 30
NOW = Clock(SPREAD, 40)
Build, Batch = Callable[..., Any], Callable[..., dict[str, Any]]
MIT: dict[str, Any] = dict(
    type="PyramidNet",
    backbone=dict(
        name="mit_b1",
        options=dict(
            dims=[8, 16, 20, 32], depths=[1, 1, 1, 2], heads=[1, 2, 5, 4], ratios=[4, 2, 1, 1], strides=[4, 2, 1, 1]
        ),
    ),
    head=dict(channels=16),
)
AFFINITY: dict[str, Any] = dict(type="AffinityFromAttention", start=10, spread_from=20, radius=2)
PARTS: dict[str, dict[str, Any]] = dict(
    students=dict(type="SingleStudent"),
    affinity=AFFINITY,
    segmentation=dict(type="BalancedCrossEntropy", start=10),
    dense_energy=dict(type="DenseEnergy", start=10, scale=1e-3),
    refine=dict(type="PixelAdaptiveRefinement", dilations=[1, 2], iterations=2),
    threshold=dict(type="FixedThreshold", value=0.55),
)


@pytest.fixture(params=["MiT", "ViT"])
def kind(request: pytest.FixtureRequest) -> str:
    """The network of the paper, and a plain ViT."""
    return str(request.param)


@pytest.fixture
def afa(network: dict[str, Any]) -> Build:
    """A tiny ``AFA``, with changes."""

    def make(kind: str = "MiT", **changes: Any) -> AFA:
        torch.manual_seed(0)
        net = MIT if kind == "MiT" else network
        return AFA(**(dict(num_classes=4, network=net, tau_l=0.35, cam_scales=[1.0, 0.5]) | PARTS | changes))

    return make


def grown(module: torch.nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


def test_the_step_in_every_phase(afa: Build, batch: Batch, kind: str) -> None:
    model = afa(kind)
    for t in (BEFORE, LEARNT, SPREAD):
        model.zero_grad()
        logs = model.loss(**batch([[0, 2], [1]], t, boxes=[[0, 32, 0, 28], [3, 29, 0, 32]]))
        logs["loss"].backward()
        started = t > BEFORE
        assert logs["L_cls"] > 0
        assert (logs["L_aff"] > 0) == (logs["L_seg"] > 0) == ("L_energy" in logs) == started
        net = model.students[0]
        assert grown(net.backbone) and grown(net.head) == grown(model.affinity) == started
        weighted = logs["L_cls"] + 0.1 * (logs["L_aff"] + logs["L_seg"])
        assert torch.allclose(logs["loss"], weighted + 0.01 * logs.get("L_energy", 0))


def test_labels_walk_from_their_iteration_on(afa: Build, batch: Batch, kind: str) -> None:
    """Before, both settings give the same step; after, only that of L_seg changes."""
    model = afa(kind)
    walks, stays = dict(AFFINITY, spread_from=20), dict(AFFINITY, spread_from=None)
    for t in (LEARNT, SPREAD):
        a, b = (afa(kind, affinity=part) for part in (walks, stays))
        a.load_state_dict(model.state_dict())
        b.load_state_dict(model.state_dict())
        one, other = (each.loss(**batch([[0, 2], [1]], t)) for each in (a, b))
        assert torch.equal(one["L_aff"], other["L_aff"])
        assert torch.equal(one["L_seg"], other["L_seg"]) == (t == LEARNT)


def test_the_loss_compares_labels_of_the_stated_kind(afa: Build, batch: Batch) -> None:
    found = []
    for targets in ("cams", "spread"):
        found.append(afa(affinity=dict(AFFINITY, targets=targets)).loss(**batch([[0, 2], [1]], SPREAD))["L_aff"])
    assert not torch.equal(*found)


@pytest.mark.parametrize("method", ["DuPL", "ToCo"])
def test_other_methods_compare_labels_of_the_stated_kind(
    build: Build, network: dict[str, Any], batch: Batch, method: str
) -> None:
    """With "cams" L_aff does not depend on where CAMs begin to walk; with "spread" it does."""
    sure = dict(threshold=dict(type="FixedThreshold", value=0.45), tau_l=0.4)

    def l_aff(targets: str, spread_from: int) -> Tensor:
        affinity = dict(AFFINITY, targets=targets, spread_from=spread_from)
        if method == "DuPL":
            model = build(affinity=affinity, noise_filter=dict(type="TrustAll"), **sure)
        else:
            torch.manual_seed(0)
            parts = {name: part for name, part in PARTS.items() if name != "threshold"} | dict(affinity=affinity)
            off = dict(patch_contrast=dict(type="NoPatchContrast"), class_contrast=dict(type="NoClassContrast"))
            model = ToCo(num_classes=4, network=network, cam_scales=[1.0, 0.5], **(parts | off | sure))
        return model.loss(**batch([[0, 2], [1]], SPREAD))["L_aff"]

    assert torch.equal(l_aff("cams", SPREAD), l_aff("cams", SPREAD + 1))
    assert torch.equal(l_aff("spread", SPREAD + 1), l_aff("cams", SPREAD + 1))
    assert not torch.equal(l_aff("spread", SPREAD), l_aff("cams", SPREAD))


def test_labels_of_cams_lose_their_noise_too(afa: Build, batch: Batch) -> None:
    """Where the noise filter discards every pixel, no pair is left, whatever labels L_aff compares."""
    for targets in ("cams", "spread"):
        model = afa(affinity=dict(AFFINITY, targets=targets))
        model.noise_filter = lambda _, y, clock: torch.ones_like(y, dtype=torch.bool)
        assert model.loss(**batch([[0, 2], [1]], SPREAD))["L_aff"] == 0


def test_propagated_labels_are_made_of_the_chosen_cams(build: Build, batch: Batch) -> None:
    """The teacher of a class and the first iterations' auxiliary CAMs count where CAMs walk too."""
    sure = dict(threshold=dict(type="FixedThreshold", value=0.45), tau_l=0.4, noise_filter=dict(type="TrustAll"))
    samples = batch([[0, 2], [1]], SPREAD)
    del samples["seeds"]

    def labels(**changes: Any) -> Tensor:
        model = build(affinity=AFFINITY, detector=dict(type="MaskingDetector", least=1), **sure, **changes)
        model.detector.count.fill_(9)
        model.detector.mean[0] = 0.9  # the first student explains every class
        made = model.inspect(**samples).labels
        assert made is not None
        return made[1].y

    assert not torch.equal(labels(class_teacher=dict(type="BestPerClass")), labels())
    assert not torch.equal(labels(aux_labels_until=SPREAD + 1), labels())


def test_heads_wait_or_decay_before_their_losses_start(afa: Build, batch: Batch) -> None:
    gradients = {}
    for how in ("wait", "decay"):
        model = afa(idle_heads=how)
        model.loss(**batch([[0, 2], [1]], BEFORE))["loss"].backward()
        gradients[how] = [model.students[0].head.linear_pred.weight.grad, model.affinity.heads[0].weight.grad]
    assert gradients["wait"] == [None, None]
    assert all(grad is not None and not grad.any() for grad in gradients["decay"])


def test_branches_are_dropped_by_the_seeds_of_a_training_step(afa: Build, batch: Batch) -> None:
    def loss(seeds: list[int], **changes: Any) -> float:
        options = dict(MIT, backbone=dict(MIT["backbone"], drop_path=0.9, **changes))
        model = afa(network=options).train()
        return float(model(mode="loss", **(batch([[0, 2], [1]], LEARNT) | dict(seeds=seeds)))["loss"].detach())

    assert loss([1, 2]) == loss([1, 2]) != loss([3, 4])
    assert loss([1, 2]) != loss([1, 2], drop_in_cams=True)


def test_cams_do_not_depend_on_the_draws(afa: Build, batch: Batch) -> None:
    """Unless they are told to: the pass of the step is not reused for them then."""
    options = dict(MIT, backbone=dict(MIT["backbone"], drop_path=0.9))
    model, samples, found = afa(network=options).train(), batch([[0, 2], [1]], SPREAD), []
    make = model.make_labels

    def kept(*given: Any) -> Any:
        found.append(make(*given))
        return found[-1]

    model.make_labels = kept
    for seeds in ([1, 2], [3, 4]):
        model(mode="loss", **(samples | dict(seeds=seeds)))
    assert torch.equal(found[0][0].y, found[1][0].y)


def test_without_its_parts_no_term_is_logged(afa: Build, batch: Batch, kind: str) -> None:
    off = dict(affinity=dict(type="NoAffinity"), dense_energy=dict(type="NoDenseEnergy"))
    logs = afa(kind, **off).loss(**batch([[0], [1]], SPREAD))
    assert "L_aff" not in logs and "L_energy" not in logs and logs["L_seg"] > 0


def test_components_of_the_other_methods_work_inside(afa: Build, batch: Batch) -> None:
    changes = dict(
        students=dict(type="DualStudent"),
        discrepancy=dict(type="OnePlusCosine"),
        threshold=dict(type="CosineDescent"),
        noise_filter=dict(type="MixtureFilter", start=20, min_pixels=20, eta=0.0),
        consistency=dict(type="ConfidentConsistency", confidence=0.0, start=20),
        perturb=dict(type="StrongPerturbation", ops=2),
    )
    logs = afa("MiT", **changes).loss(**batch([[0, 2], [1]], SPREAD))
    assert logs["L_dis"] > 0 and logs["L_reg"] > 0 and logs["L_aff"] > 0 and logs["loss"].isfinite()
    changes = dict(patch_contrast=dict(type="PatchTokenContrast"), averages=dict(type="MeanTeachers"))
    logs = afa("ViT", **changes).loss(**batch([[0, 2], [1]], SPREAD))
    assert logs["L_ptc"] > 0 and logs["L_aff"] > 0


def test_affinity_inside_dupl(build: Build, batch: Batch) -> None:
    sure = dict(threshold=dict(type="FixedThreshold", value=0.45), tau_l=0.4, noise_filter=dict(type="TrustAll"))
    model = build(affinity=AFFINITY, **sure)
    logs = model.loss(**batch([[0, 2], [1]], SPREAD))
    logs["loss"].backward()
    assert logs["L_aff"] > 0 and all(grown(head) for head in model.affinity.heads)
    assert not torch.equal(logs["L_seg"], build(**sure).loss(**batch([[0, 2], [1]], SPREAD))["L_seg"]), "CAMs walk"
    averaged = build(affinity=AFFINITY, averages=dict(type="MeanTeachers"), **sure)
    assert averaged.loss(**batch([[0, 2], [1]], SPREAD))["L_aff"] > 0
    assert "L_aff" not in build().loss(**batch([[0, 2], [1]], SPREAD))


def test_affinity_inside_cosa(network: dict[str, Any], batch: Batch) -> None:
    parts = dict(
        students=dict(type="OnlineAssigned"),
        perturb=dict(type="OneOperation"),
        segmentation=dict(type="BalancedCrossEntropy", start=10),
        seg_to_cam=dict(type="SegToCam", start=10),
        dense_energy=dict(type="NoDenseEnergy"),
        refine=dict(type="PixelAdaptiveRefinement", dilations=[1], iterations=0),
    )
    affinity = dict(AFFINITY, spread_from=None)
    model = CoSA(num_classes=4, network=network, affinity=affinity, **parts)
    logs = model.loss(**batch([[0, 2], [1]], SPREAD))
    logs["loss"].backward()
    assert logs["L_aff"] > 0 and grown(model.affinity.heads[0])
    with pytest.raises(UserError, match="does not propagate its CAMs: set model.affinity.spread_from=None"):
        CoSA(num_classes=4, network=network, affinity=AFFINITY, **parts)


def test_inspection_shows_the_labels_of_the_step(afa: Build, batch: Batch) -> None:
    samples = batch([[0, 2], [1]], SPREAD)
    del samples["seeds"]
    walked = afa().inspect(**samples)
    stays = afa(affinity=dict(AFFINITY, spread_from=None)).inspect(**samples)
    assert torch.equal(walked.cams[0].main, stays.cams[0].main)
    assert not torch.equal(walked.labels[0].y, stays.labels[0].y)
    assert afa().inspect(**(samples | dict(clock=Clock(BEFORE, 40)))).labels is None


def test_bf16_gives_finite_terms_near_those_of_fp32(afa: Build, batch: Batch, kind: str) -> None:
    samples = batch([[0, 2], [1]], SPREAD)
    exact, half = afa(kind).loss(**samples), afa(kind, precision="bf16").loss(**samples)
    assert float(half["L_cls"]) == pytest.approx(float(exact["L_cls"]), rel=0.05)
    assert all(value.isfinite() for value in half.values())


@pytest.mark.parametrize("tags", [[[], []], [[0], []], [[0, 1, 2], [0, 1, 2]]])
def test_poor_batches(afa: Build, batch: Batch, kind: str, tags: list[list[int]]) -> None:
    """Images without a class, and crops that show one pixel of the photo."""
    for where in ("crop", "photo"):
        model = afa(kind, affinity=dict(AFFINITY, refine_in=where))
        logs = model.loss(**batch(tags, SPREAD, boxes=[[3, 4, 3, 4], [0, 32, 0, 32]]))
        logs["loss"].backward()
        assert logs["loss"].isfinite()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(patch_contrast=dict(type="PatchTokenContrast")), "model.patch_contrast needs an auxiliary classifier"),
        (dict(class_contrast=dict(type="ClassTokenContrast")), "model.class_contrast needs an auxiliary classifier"),
        (dict(students=dict(type="OnlineAssigned")), "AFA does not train OnlineAssigned"),
        (dict(idle_heads="sleep"), 'model.idle_heads is \'sleep\': choose "wait" or "decay"'),
        (dict(weights=dict(s2c=1.0)), "model.weights has no term 's2c'"),
        (dict(tau_l=1.5), "model.tau_l is 1.5"),
        (dict(discrepancy=dict(type="OnePlusCosine")), "L_dis without DS"),
        (dict(segmentation=dict(type="CollisionCrossEntropy")), "CollisionCrossEntropy"),
    ],
)
def test_what_does_not_fit_is_refused(afa: Build, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        afa("MiT", **changes)


def test_networks_that_do_not_fit_are_refused(afa: Build, network: dict[str, Any]) -> None:
    eva = dict(network, backbone=dict(name="swin_tiny_patch4_window7_224"))
    with pytest.raises(UserError, match="is not a ViT"):
        afa(network=eva)
    with pytest.raises(UserError, match="CoSA needs an auxiliary classifier, which PyramidNet does not have"):
        CoSA(
            num_classes=4,
            network=MIT,
            students=dict(type="OnlineAssigned"),
            perturb=dict(type="OneOperation"),
            segmentation=dict(type="BalancedCrossEntropy"),
            seg_to_cam=dict(type="NoSegToCam"),
            dense_energy=dict(type="NoDenseEnergy"),
            refine=dict(type="NoRefinement"),
        )


def test_attention_that_is_not_of_queries_and_keys_alone_is_refused(afa: Build) -> None:
    """EVA turns queries and keys by their places after the layer that computes them."""
    net = dict(backbone=dict(name="eva02_tiny_patch14_224", options=dict(embed_dim=32, depth=3, num_heads=2)))
    with pytest.raises(UserError, match=r"model\.affinity reads queries and keys .*choose a plain ViT"):
        afa(network=net)


def test_dupl_without_its_patch_contrast_takes_a_mix_transformer(build: Build, batch: Batch) -> None:
    off = dict(network=MIT, patch_contrast=dict(type="NoPatchContrast"))
    torch.manual_seed(0)
    parts = dict(
        students=dict(type="DualStudent"),
        discrepancy=dict(type="OnePlusCosine"),
        threshold=dict(type="FixedThreshold"),
        noise_filter=dict(type="TrustAll"),
        consistency=dict(type="NoConsistency"),
        segmentation=dict(type="CrossEntropy", start=10),
        refine=dict(type="NoRefinement"),
        perturb=dict(type="NoPerturbation"),
    )
    logs = DuPL(num_classes=4, **parts, **off).loss(**batch([[0, 2], [1]], SPREAD))
    assert logs["L_seg"] > 0 and logs["loss"].isfinite()


def test_the_detector_measures_whole_networks(batch: Batch) -> None:
    """It looks at any number of images, and what the training step drops does not count."""
    network = dict(MIT, backbone=dict(MIT["backbone"], drop_path=0.9, drop_in_cams=True))
    parts = dict(
        students=dict(type="DualStudent"),
        discrepancy=dict(type="NoDiscrepancy"),
        threshold=dict(type="FixedThreshold"),
        noise_filter=dict(type="TrustAll"),
        consistency=dict(type="ConfidentConsistency", start=0),
        segmentation=dict(type="CrossEntropy"),
        patch_contrast=dict(type="NoPatchContrast"),
        refine=dict(type="NoRefinement"),
        perturb=dict(type="StrongPerturbation", ops=2),
        detector=dict(type="MaskingDetector", interval=1),
    )
    torch.manual_seed(0)
    model = DuPL(num_classes=4, network=network, **parts).train()
    samples = batch([[0], [1], [2], [0, 1]], SPREAD)
    cams = model.compute_cams([View(samples["images"], samples["boxes"])] * 2, samples["present"], [None] * 2, NOW)
    model.compute_cams = lambda *_: cams
    seen = []
    for seeds in ([1, 2, 3, 4], [5, 6, 7, 8]):
        model(mode="loss", **(samples | dict(seeds=seeds)))
        seen.append(model.detector.seen.clone())
        model.detector.seen.zero_()
    assert torch.equal(*seen) and seen[0][1].sum() == 10


def test_a_nested_drawing_ends_where_the_outer_one_goes_on() -> None:
    drop = SeededDrop(0.5, in_cams=True)
    with drawing(drop, [1, 2]):
        with drawing(drop, ()):
            assert not drop.acts
        assert drop.acts and len(drop.generators) == 2
    assert not drop.acts
