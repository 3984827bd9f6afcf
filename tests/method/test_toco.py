"""ToCo: its step in every phase, with DuPL's components inside it and its own inside DuPL, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dupl.errors import UserError
from dupl.method.base import Method
from dupl.method.cam import Present
from dupl.method.class_contrast import ContrastImages
from dupl.method.dupl import DuPL
from dupl.method.segmentation import BalancedCrossEntropy, UnguardedBalancedCrossEntropy
from dupl.method.toco import ToCo
from dupl.structures import IGNORE, Clock

BEFORE_SEG, ALL = 5, 30
Build, Batch = Callable[..., Any], Callable[..., dict[str, Any]]
CONTRAST = dict(type="ClassTokenContrast", crop_size=8, crops=3, projector=dict(hidden=8, bottleneck=4, out=6))
PARTS: dict[str, dict[str, Any]] = dict(
    patch_contrast=dict(type="PatchTokenContrast"),
    class_contrast=CONTRAST,
    segmentation=dict(type="BalancedCrossEntropy", start=10),
    dense_energy=dict(type="DenseEnergy", start=10, scale=1e-3),
    refine=dict(type="PixelAdaptiveRefinement", dilations=[1, 2], iterations=2),
)
DUPL: dict[str, dict[str, Any]] = dict(
    students=dict(type="DualStudent"),
    discrepancy=dict(type="OnePlusCosine"),
    threshold=dict(type="CosineDescent"),
    noise_filter=dict(type="MixtureFilter", start=20, min_pixels=20, eta=0.0, fit_on="foreground"),
    consistency=dict(type="FilteredConsistency", start=20),
    perturb=dict(type="StrongPerturbation", ops=2),
)


@pytest.fixture
def toco(network: dict[str, Any]) -> Build:
    """A tiny ``ToCo``, with changes."""

    def make(**changes: Any) -> ToCo:
        torch.manual_seed(0)
        model = ToCo(**(dict(num_classes=4, network=network, cam_scales=[1.0, 0.5]) | PARTS | changes))
        with torch.no_grad():
            for net in model.students:
                net.head[4].weight *= 100
        return model

    return make


def with_views(samples: dict[str, Any], seed: int = 5) -> dict[str, Any]:
    """The batch with the further views of the class token contrast."""
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randn(samples["images"].shape, generator=generator) for _ in range(2)]
    return samples | dict(contrast=ContrastImages(*views))


def step(model: Method, samples: dict[str, Any]) -> dict[str, Tensor]:
    model.zero_grad()
    logs = model.loss(**samples)
    logs["loss"].backward()
    assert all(value.isfinite() for value in logs.values()), logs
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    return logs


def grown(module: torch.nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


def test_the_step_in_every_phase(toco: Build, batch: Batch) -> None:
    model = toco()
    for t in (0, BEFORE_SEG, ALL):
        logs = step(model, with_views(batch([[0, 2], [1]], t, boxes=[[0, 32, 0, 28], [3, 29, 0, 32]])))
        assert logs["L_cls"] > 0 and logs["L_ptc"] > 0 and logs["L_ctc"] > 0
        assert (logs["L_seg"] > 0) == ("L_energy" in logs) == (t == ALL)
        assert grown(model.class_contrast.projectors) and not grown(model.class_contrast.teachers)
        assert grown(model.students[0].head) == (t == ALL)
        weighted = logs["L_cls"] + 0.2 * logs["L_ptc"] + 0.5 * logs["L_ctc"]
        if t == ALL:
            assert logs["L_energy"] < 0
            weighted = weighted + 0.1 * logs["L_seg"] + 0.05 * logs["L_energy"]
        assert torch.allclose(logs["loss"], weighted)
        assert logs["L_dis"] == logs["L_reg"] == 0, "the components of DuPL are off"


def test_terms_that_are_off_are_not_there(toco: Build, batch: Batch) -> None:
    off = dict(class_contrast=dict(type="NoClassContrast"), dense_energy=dict(type="NoDenseEnergy"))
    logs = step(toco(**off), batch([[0, 2], [1]], ALL))
    assert "L_ctc" not in logs and "L_energy" not in logs and logs["L_seg"] > 0


def test_before_anything_needs_cams_none_are_computed(toco: Build, batch: Batch, monkeypatch: Any) -> None:
    late = {name: dict(PARTS[name], start=10) for name in ("patch_contrast", "class_contrast")}
    model = toco(**late)
    monkeypatch.setattr("dupl.method.one_stage.multi_scale_cam", lambda *_: pytest.fail("not needed"))
    logs = step(model, with_views(batch([[0], [1]], BEFORE_SEG)))
    assert logs["L_ctc"] == logs["L_ptc"] == 0 and logs["L_cls"] > 0


def test_the_same_seeds_give_the_same_step(toco: Build, batch: Batch) -> None:
    model, samples = toco(), with_views(batch([[0, 2], [1]], ALL))
    first, again = model.loss(**samples), model.loss(**samples)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = model.loss(**(samples | dict(seeds=[7, 8])))
    assert not torch.equal(first["L_ctc"], other["L_ctc"]) and torch.equal(first["L_seg"], other["L_seg"])


def test_the_class_token_of_the_loaders_view_has_a_gradient(toco: Build, batch: Batch) -> None:
    """v0 is the training input: its token comes from the main pass, so no second one is needed."""
    model, samples = toco(), with_views(batch([[0, 2], [1]]))
    passes: list[int] = []
    model.students[0].backbone.vit.blocks[0].register_forward_hook(lambda _, inputs, __: passes.append(len(inputs[0])))
    model.loss(**samples)
    main, mirrored, half, crops, other = passes
    assert (main, mirrored, half, other, crops) == (2, 2, 4, 2, 6)


@pytest.mark.parametrize("precision", ["off", "bf16"])
def test_crops_that_are_recomputed_change_no_gradient(
    precision: str, toco: Build, batch: Batch, monkeypatch: Any
) -> None:
    """Local crops pass the network again in the backward pass, bit for bit, because their activations are not kept."""
    model, samples, passes = toco(precision=precision), with_views(batch([[0, 2], [1]], ALL)), [0]
    model.students[0].backbone.vit.blocks[0].register_forward_hook(lambda *_: passes.__setitem__(0, passes[0] + 1))
    found = []
    for _ in range(2):
        logs = step(model, samples)
        found.append([logs["loss"], *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        monkeypatch.setattr("dupl.method.class_contrast.checkpoint", lambda function, *given, **_: function(*given))
    assert passes[0] == 6 + 5, "only the crops pass twice, and only where they are recomputed"
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("kind", ["dual ToCo", "all of DuPL in ToCo", "ToCo's terms in DuPL", "filter in one student"])
def test_components_cross(kind: str, toco: Build, build: Build, batch: Batch) -> None:
    model = {
        "dual ToCo": lambda: toco(students=dict(type="DualStudent")),
        "all of DuPL in ToCo": lambda: toco(**DUPL),
        "ToCo's terms in DuPL": lambda: build(class_contrast=CONTRAST, dense_energy=PARTS["dense_energy"]),
        "filter in one student": lambda: toco(noise_filter=DUPL["noise_filter"]),
    }[kind]()
    for t in (0, BEFORE_SEG, ALL):
        logs = step(model, with_views(batch([[0, 2], [1]], t)))
        assert logs["L_ctc"] > 0 and ("L_energy" in logs) == (t == ALL)
        assert t != ALL or logs["L_energy"] < 0
        assert (logs["L_dis"] > 0) == (kind in ("all of DuPL in ToCo", "ToCo's terms in DuPL"))
        assert (logs["L_reg"] > 0) == (t == ALL and kind in ("all of DuPL in ToCo", "ToCo's terms in DuPL"))
        assert (logs["pixels/filtered"] > 0 if t == ALL else True) or kind == "dual ToCo"
        assert all(grown(p) for p in model.class_contrast.projectors)
    assert len(model.class_contrast.projectors) == (1 if kind == "filter in one student" else 2)


def test_a_dual_toco_with_all_of_dupl_is_dupl_with_all_of_toco(toco: Build, build: Build, batch: Batch) -> None:
    """The two steps are the same sums of the same components, in the order of their papers."""
    parts = PARTS | DUPL | dict(weights=dict(ptc=0.2, ctc=0.5, seg=0.1, energy=0.05, dis=0.1, reg=0.05))
    samples = with_views(batch([[0, 2], [1]], ALL))
    one, other = toco(**parts).loss(**samples), build(**parts).loss(**samples)
    assert one.keys() == other.keys() and all(torch.allclose(one[name], other[name]) for name in one)


def test_the_teachers_follow_after_a_step(toco: Build) -> None:
    model = toco()
    part = model.class_contrast
    before = part.teachers[0].mlp[0].weight.clone()
    with torch.no_grad():
        part.projectors[0].mlp[0].weight += 1
    model.after_step()
    assert torch.allclose(part.teachers[0].mlp[0].weight, before + 0.1, atol=1e-6)
    assert any(name.startswith("class_contrast.teachers.") for name in model.state_dict())


def test_what_means_nothing_is_refused(toco: Build, build: Build, network: dict[str, Any], batch: Batch) -> None:
    with pytest.raises(UserError, match="^L_dis without DS.*NoDiscrepancy$"):
        toco(discrepancy=DUPL["discrepancy"])
    with pytest.raises(UserError, match="^L_reg without a strong augmentation.*StrongPerturbation"):
        toco(consistency=DUPL["consistency"])
    with pytest.raises(UserError, match="^Diff. Aug with L_ctc.*NoClassContrast$"):
        build(class_contrast=CONTRAST, own_view=dict(type="OwnView"))
    with pytest.raises(UserError, match="^model has no 'own_view'"):
        toco(own_view=dict(type="OwnView"))
    with pytest.raises(UserError, match="^model.weights has no term 'dys': choose from ptc, ctc"):
        toco(weights=dict(dys=1.0))
    with pytest.raises(UserError, match="^L_ctc needs further views"):
        toco().loss(**batch([[0], [1]]))
    assert isinstance(build(class_contrast=CONTRAST), DuPL)


@pytest.mark.parametrize("tags", [[[0], [0]], [[], [1]], [[0, 1, 2], []]])
@pytest.mark.parametrize("box", [[0, 32, 0, 32], [0, 1, 0, 1], [5, 5, 7, 7]])
def test_poor_batches_step(tags: list[list[int]], box: list[int], toco: Build, batch: Batch) -> None:
    for t in (0, ALL):
        step(toco(), with_views(batch(tags, t, boxes=[box, box])))


def test_bfloat16_in_the_passes(toco: Build, batch: Batch) -> None:
    model, samples = toco(precision="bf16"), with_views(batch([[0, 2], [1]], ALL))
    logs = step(model, samples)
    full = toco().loss(**samples)
    assert torch.allclose(logs["L_ctc"], full["L_ctc"], rtol=0.05) and logs["L_ctc"].dtype == torch.float32


def test_a_data_set_of_one_class(toco: Build) -> None:
    samples = with_views(
        dict(
            images=torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
            tags=torch.ones(2, 1),
            present=Present.of(torch.ones(2, 1)),
            boxes=torch.tensor([[0, 32, 0, 32]] * 2),
            seeds=[0, 1],
            clock=Clock(ALL, 40),
        )
    )
    logs = step(toco(num_classes=2), samples)
    assert logs["L_ctc"] > 0 and logs["L_seg"] > 0 and logs["L_energy"] < 0


def test_an_image_that_is_foreground_everywhere(toco: Build, batch: Batch, monkeypatch: Any) -> None:
    """There is no place to cut that is not foreground: crops are cut anywhere, and all of them are positives."""
    model, samples, seen = toco(), with_views(batch([[0], [1]])), []
    forward = model.class_contrast.forward
    monkeypatch.setattr(model.class_contrast, "forward", lambda tokens: seen.extend(tokens or ()) or forward(tokens))
    monkeypatch.setattr("dupl.method.class_contrast.regions", lambda aux, *_: torch.full_like(aux[:, 0], 2).long())
    assert step(model, samples)["L_ctc"] >= 0
    assert (seen[0].flags == 1).all() and seen[0].tokens.shape == (2, 5, 32)


def test_means_over_no_pixels() -> None:
    """Released code: NaN where one of the two kinds of pixels is missing; elsewhere the same loss."""
    log_P = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    both = torch.zeros(1, 4, 4, dtype=torch.long)
    both[0, 0] = 2
    both[0, 1] = IGNORE
    guarded, unguarded = BalancedCrossEntropy(), UnguardedBalancedCrossEntropy()
    assert torch.allclose(guarded([log_P], [both], Clock(0, 9)), unguarded([log_P], [both], Clock(0, 9)))
    for value in (0, 2):
        one_kind = both.masked_fill(both != value, IGNORE)
        assert unguarded([log_P], [one_kind], Clock(0, 9)).isnan()
        assert guarded([log_P], [one_kind], Clock(0, 9)) == -log_P[0, value][one_kind[0] == value].mean() / 2
