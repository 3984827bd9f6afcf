"""The dense energy against the exact kernel on small images, its gate and its gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dupl.method.dense_energy import DenseEnergy, NoDenseEnergy, energy
from dupl.method.permutohedral import PermutohedralFilter, bilateral_features
from dupl.method.pixels import normalise
from dupl.method.view import View
from dupl.structures import IGNORE, Clock

CLOCK = Clock(5, 10)


def photo(side: int = 24, seed: int = 0) -> Tensor:
    """Two halves of smooth noise, (3, H, W) in 0..255."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 5, 5, generator=generator), (side, side), mode="bilinear")
    image[..., side // 2 :] = 1 - image[..., side // 2 :]
    return (255 * image[0]).round()


def exact(image: Tensor, sxy: float, srgb: float) -> Tensor:
    """K_pq = exp(-|place|^2 / 2 sxy^2 - |colour|^2 / 2 srgb^2), (H W, H W)."""
    _, height, width = image.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([rows, columns], -1).flatten(0, 1).double()
    colour = image.flatten(1).T.double()
    apart = (place[:, None] - place).pow(2).sum(-1) / sxy**2 + (colour[:, None] - colour).pow(2).sum(-1) / srgb**2
    return torch.exp(-apart / 2).float()


def probabilities(side: int = 24, classes: int = 4, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(1, classes, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(logits, (side, side), mode="bilinear").log_softmax(1)


@pytest.mark.parametrize("sxy", [6.0, 50.0])
@pytest.mark.parametrize("srgb", [15.0, 40.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_lattice_against_the_exact_kernel(sxy: float, srgb: float, seed: int) -> None:
    """The lattice's scale, 0.52, is measured; divided by it, maps are within 13 % and energies within 10 %."""
    image, S = photo(48, seed), probabilities(48).exp()[0].flatten(1).T.contiguous()
    true = exact(image, sxy, srgb) @ S
    lattice = PermutohedralFilter(bilateral_features(image.permute(1, 2, 0), sxy, srgb), normalise=False)(S) / 0.52
    assert float((lattice - true).norm() / true.norm()) < 0.13
    assert float((S * lattice).sum() / (S * true).sum()) == pytest.approx(1, abs=0.1)


def test_value_and_gradient_by_hand() -> None:
    S = torch.tensor([[[[0.2, 0.6]], [[0.8, 0.4]]]], requires_grad=True)
    filtered, gate = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.5]]]]), torch.tensor([[[0.5, 1.0]]])
    value = energy(S, filtered, gate)
    assert float(value) == pytest.approx(-(0.2 * 1 * 0.5 + 0.8 * 3 * 0.5 + 0.6 * 2 * 1 + 0.4 * 0.5 * 1))
    value.backward()
    assert S.grad is not None and S.grad.flatten().tolist() == pytest.approx([-1.0, -4.0, -3.0, -1.0])


def test_the_loss_with_the_exact_kernel() -> None:
    """The same energy with an exact kernel in the lattice's place: gate, box, reduction and factors."""
    image, log_P = photo(16), probabilities(16).requires_grad_()
    target = torch.zeros(1, 16, 16, dtype=torch.long)
    target[:, :6] = IGNORE
    box = torch.tensor([[2, 16, 0, 12]])
    part = DenseEnergy(scale=0.5, sigma_xy=8, sigma_rgb=20, downscale=2)
    small = image[:, ::2, ::2]  # nearest neighbour by a whole factor

    class Exact:
        def __call__(self, rows: Tensor) -> Tensor:
            return exact(small, 4, 20) @ rows

    found = 0.5 * part.one(log_P, target, box, [Exact()])  # type: ignore[list-item]
    P = log_P.exp()
    S = (P[..., ::2, ::2] + P[..., 1::2, ::2] + P[..., ::2, 1::2] + P[..., 1::2, 1::2]) / 4  # bilinear at a half
    inside = torch.zeros(8, 8)
    inside[1:, :6] = 1
    gate = (inside - S.detach().amax(1)[0]).clamp(min=0)
    gate[:3] = 1  # targets of 255
    masked = (S[0] * inside).flatten(1)  # (C, 64)
    KS = masked @ exact(small, 4, 20)
    expected = -0.5 * (masked * KS * gate.flatten()).sum()
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    found.backward()
    gradient = (-2 * 0.5 * KS * (gate * inside).flatten()).view(4, 8, 8).detach()
    spread = gradient.repeat_interleave(2, -2).repeat_interleave(2, -1) / 4 * P[0].detach()  # to P, then to log P
    assert log_P.grad is not None and torch.allclose(log_P.grad[0], spread, atol=1e-5)


def test_the_images_are_read_in_grey_levels() -> None:
    part = DenseEnergy(downscale=1, sigma_xy=7, sigma_rgb=25)
    image = photo(12)
    same = PermutohedralFilter(bilateral_features(image.permute(1, 2, 0), 7, 25), normalise=False)
    rows = torch.rand(144, 3)
    assert torch.allclose(part.kernel(image / 255)(rows), same(rows), rtol=1e-4)


def test_students_add_up_and_the_start() -> None:
    image = normalise(photo(16)[None] / 255)
    view, log_P = View(image, torch.tensor([[0, 16, 0, 16]])), probabilities(16)
    target = torch.full((1, 16, 16), IGNORE)
    part = DenseEnergy(start=5)
    one = part([view], [log_P], [target], CLOCK)
    two = part([view, view], [log_P, log_P], [target, target], CLOCK)
    assert float(one) < 0 and float(two) == pytest.approx(2 * float(one), rel=1e-5)
    assert part([view], [log_P], [target], Clock(4, 10)) is None, "as without this term"
    assert part([view], None, None, CLOCK) is None, "before there are labels"
    assert NoDenseEnergy()([view], [log_P], [target], CLOCK) is None


def test_an_image_without_undecided_pixels_and_one_sure_everywhere() -> None:
    image = normalise(photo(16)[None] / 255)
    sure = torch.full((1, 3, 16, 16), -torch.inf)
    sure[:, 0] = 0
    decided = torch.zeros(1, 16, 16, dtype=torch.long)
    view = View(image, torch.tensor([[0, 16, 0, 16]]))
    assert float(DenseEnergy()([view], [sure], [decided], CLOCK)) == 0, "nothing is left to the gate"
