"""The dense CRF: torch against a brute-force field and against pydensecrf, and the pool that streams images."""

from __future__ import annotations

import importlib.util
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from dupl.config.check import settings
from dupl.config.schema import CRF
from dupl.engine.evaluation.crf import pool
from dupl.engine.evaluation.crf.dense_crf import RefineJob, refine, require
from dupl.engine.evaluation.crf.mean_field import GaussianFilter, Kernels
from dupl.engine.evaluation.crf.parameters import BACKENDS, CLIP, suffix
from dupl.engine.evaluation.crf.pool import refine_stream
from dupl.errors import RunError, UserError
from dupl.method.permutohedral import PermutohedralFilter, bilateral_features, simplices

NARROW = CRF(bilateral_sxy=6, srgb=30)  # kernels that fit a picture of 12 x 12
CPU = torch.device("cpu")


def need_pydensecrf() -> None:
    """Skip the test where the reference cannot be installed or is not."""
    if sys.version_info >= (3, 13):
        pytest.skip("pydensecrf2 cannot be built for Python 3.13")
    pytest.importorskip("pydensecrf", reason='pydensecrf is not installed: pip install ".[crf]"')


@pytest.fixture(params=BACKENDS)
def backend(request) -> str:
    """Each backend of the CRF."""
    if request.param == "pydensecrf":
        need_pydensecrf()
    return request.param


def picture(height: int = 12, width: int = 12) -> np.ndarray:
    """Two halves of noisy colours."""
    rng = np.random.default_rng(0)
    image = np.full((height, width, 3), 60.0)
    image[:, width // 2 :] = (190, 120, 80)
    return (image + rng.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8)


def unsure(height: int = 12, width: int = 12, classes: int = 3, seed: int = 1) -> np.ndarray:
    """Probabilities that follow the halves, under heavy noise, (C, H, W)."""
    logits = np.random.default_rng(seed).normal(0, 1.2, (classes, height, width))
    logits[1, :, width // 2 :] += 1.5
    logits[0, :, : width // 2] += 1.5
    odds = np.exp(logits)
    return (odds / odds.sum(0)).astype(np.float32)


def brute_kernel(features: np.ndarray) -> np.ndarray:
    """exp(-|f_p - f_q|^2 / 2) of every pair, divided by the roots of its sums, (N, N)."""
    squares = ((features[:, None] - features[None]) ** 2).sum(2)
    kernel = np.exp(-squares / 2)
    root = np.sqrt(kernel.sum(1))
    return kernel / root[:, None] / root[None]


def brute_force(image: np.ndarray, probabilities: np.ndarray, crf: CRF) -> np.ndarray:
    """Mean field over all pairs of pixels, one pixel and class at a time where it can be, Q (C, H, W)."""
    classes, height, width = probabilities.shape
    place = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), 2).reshape(-1, 2).astype(float)
    near = brute_kernel(place / crf.sxy)
    colours = image.reshape(-1, 3) / crf.srgb
    alike = brute_kernel(np.concatenate([place / crf.bilateral_sxy, colours], 1))
    unary = -np.log(np.clip(probabilities.reshape(classes, -1), CLIP, 1))
    belief = np.exp(-unary) / np.exp(-unary).sum(0)
    for _ in range(crf.iterations):
        heard = crf.compat * belief @ near + crf.bilateral_compat * belief @ alike
        energy = heard - unary
        energy -= energy.max(0)
        belief = np.exp(energy) / np.exp(energy).sum(0)
    return belief.reshape(classes, height, width)


def beliefs(image: np.ndarray, probabilities: np.ndarray, crf: CRF) -> np.ndarray:
    kernels = Kernels(torch.from_numpy(image), crf)
    return kernels.mean_field(torch.from_numpy(probabilities.copy()), crf.iterations).numpy()


class TestKernels:
    def test_the_near_one_is_exact(self):
        rows = torch.rand(9 * 14, 4)
        place = np.stack(np.meshgrid(np.arange(9), np.arange(14), indexing="ij"), 2).reshape(-1, 2).astype(float)
        for sxy, gain in ((1.0, 1.0), (1.7, 3.0)):
            found = GaussianFilter((9, 14), sxy, gain, CPU)(rows, onto=torch.ones(())) - 1
            wanted = gain * brute_kernel(place / sxy) @ rows.numpy()
            assert np.abs(found.numpy() - wanted).max() < 0.01 * gain  # it ends after three widths

    def test_points_are_the_weighted_mean_of_their_vertices(self):
        """Barycentric weights are in [0, 1], add up to 1, and change continuously: neighbours share vertices."""
        points = torch.rand(500, 5, generator=torch.Generator().manual_seed(0)) * 8 - 4
        key, weight, strides = simplices(points)
        assert key.shape == weight.shape == (6, 500)
        assert len(strides) == 5
        assert weight.min() > -1e-5
        assert torch.allclose(weight.sum(0), torch.ones(500), atol=1e-5)
        assert all(len(set(column)) == 6 for column in key.T.tolist())
        nudged, moved, _ = simplices(torch.cat([points[:1] + 1e-4, points]))
        assert {k for k, w in zip(nudged[:, 0].tolist(), moved[:, 0].tolist(), strict=True) if w > 0.01} <= set(
            nudged[:, 1].tolist()
        )

    def test_the_lattice_is_nearly_a_gaussian(self):
        image = picture(20, 20)
        features = bilateral_features(torch.from_numpy(image), 6, 30)
        rows = torch.rand(400, 3, generator=torch.Generator().manual_seed(1))
        found = PermutohedralFilter(features, gain=2.0)(rows).numpy() / 2
        wanted = brute_kernel(features.numpy().astype(float)) @ rows.numpy()
        assert np.abs(found - wanted).mean() < 0.05 * wanted.mean()

    def test_it_is_linear_and_positive(self):
        features = torch.rand(60, 5, generator=torch.Generator().manual_seed(2)) * 3
        kernel = PermutohedralFilter(features)(torch.eye(60))
        assert kernel.min() >= 0
        rows = torch.rand(60, 2)
        assert torch.allclose(PermutohedralFilter(features)(rows), kernel @ rows, atol=1e-5)


class TestField:
    def test_against_every_pair_of_pixels(self):
        image, probabilities = picture(), unsure()
        found, wanted = beliefs(image, probabilities, NARROW), brute_force(image, probabilities, NARROW)
        before = (probabilities.argmax(0) == wanted.argmax(0)).mean()
        assert before < 0.9, "there was something to refine"
        assert (found.argmax(0) == wanted.argmax(0)).mean() > 0.98
        assert np.abs(found - wanted).mean() < 0.02

    def test_one_iteration_without_colours_is_a_blur(self):
        """Hand-made: only the near kernel acts."""
        params = CRF(iterations=1, bilateral_compat=1e-9)
        image, probabilities = picture(), unsure()
        found, wanted = beliefs(image, probabilities, params), brute_force(image, probabilities, params)
        assert np.abs(found - wanted).max() < 0.003

    def test_a_certain_map_stays(self, backend):
        truth = np.zeros((3, 12, 12), np.float32)
        truth[0, :, :6] = truth[1, :, 6:] = 1
        labels = refine(RefineJob(picture(), truth[None]), CRF(), backend)
        assert np.array_equal(labels[0], truth.argmax(0))

    @pytest.mark.parametrize("classes", [3, 21])
    def test_against_pydensecrf_on_a_photo(self, classes):
        need_pydensecrf()
        from sklearn.datasets import load_sample_image

        photo = Image.fromarray(load_sample_image("flower.jpg")).resize((160, 107))
        image = np.asarray(photo)
        flower = image[..., 0].astype(int) - image[..., 2] > 60
        logits = np.random.default_rng(0).normal(0, 1, (classes, 107, 160))
        logits[1] += 4 * gaussian_filter(flower.astype(float), 6)
        logits[0] += 4 * gaussian_filter(1.0 - flower, 6)
        odds = np.exp(logits - logits.max(0))
        both = np.stack([odds / odds.sum(0), odds[::-1] / odds.sum(0)]).astype(np.float32)
        ours, reference = (refine(RefineJob(image, both), CRF(), backend) for backend in ("torch", "pydensecrf"))
        assert (both.argmax(1) != reference).mean() > 0.03, "there was something to refine"
        assert (ours == reference).mean() >= 0.995

    def test_several_maps_share_the_kernels_and_nothing_else(self):
        maps = np.stack([unsure(seed=s) for s in range(3)])
        together = refine(RefineJob(picture(), maps), NARROW, "torch")
        apart = [refine(RefineJob(picture(), maps[s : s + 1]), NARROW, "torch")[0] for s in range(3)]
        assert np.array_equal(together, np.stack(apart))
        assert together.dtype == np.uint8

    def test_present_classes_only(self):
        probabilities = unsure(classes=5)
        labels = refine(RefineJob(picture(), probabilities[None], (0, 3)), NARROW, "torch")
        assert set(np.unique(labels)) <= {0, 3}
        wanted = brute_force(picture(), probabilities[[0, 3]] / probabilities[[0, 3]].sum(0), NARROW).argmax(0)
        assert (labels[0] == np.array([0, 3])[wanted]).mean() > 0.98


class TestStream:
    def jobs(self, count: int, asked: list[int]):
        for i in range(count):
            asked.append(i)
            yield i, RefineJob(picture(), unsure(seed=i)[None])

    def test_the_pool_says_what_one_process_says(self, backend):
        asked, found, ahead = [], {}, []
        for key, labels in refine_stream(self.jobs(9, asked), NARROW, backend, workers=2):
            found[key] = labels
            ahead.append(len(asked) - len(found))
        assert sorted(found) == list(range(9))
        assert max(ahead) <= 4, "no more jobs are asked for than two per process"
        alone = dict(refine_stream(self.jobs(9, []), NARROW, backend, workers=0))
        assert all(np.array_equal(found[key], alone[key]) for key in alone)

    def test_a_dead_process_is_told_with_the_remedy(self):
        class Deadly:
            def __reduce__(self):
                return (os._exit, (3,))

        def jobs():
            yield 0, Deadly()

        with pytest.raises(RunError, match="a process of the CRF died.*repeat the command"):
            list(refine_stream(jobs(), NARROW, "torch", workers=1))


class TestSettings:
    def test_the_released_values(self):
        assert CRF() == settings(CRF, {}, "evaluation.crf") == CRF(10, 1, 1, 121, 5, 4)
        assert suffix(settings(CRF, {"srgb": 13, "iterations": 5}, "evaluation.crf")) == "-iterations5-srgb13"
        assert suffix(CRF()) == ""

    @pytest.mark.parametrize(
        ("values", "told"),
        [({"rgb": 3}, "evaluation.crf.rgb is unknown"), ({"sxy": 0}, "sxy is 0: give a number of px above 0")],
    )
    def test_wrong_ones(self, values, told):
        with pytest.raises(UserError, match=told):
            settings(CRF, values, "evaluation.crf")

    def test_a_missing_reference_is_told_early(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        require("torch")
        with pytest.raises(UserError, match=r'pip install "\.\[crf\]".*CRF backend torch'):
            require("pydensecrf")
        with pytest.raises(UserError, match="choose from pydensecrf, torch"):
            require("numpy")

    def test_cores_are_those_that_may_be_used(self):
        assert 1 <= pool.cores() <= os.cpu_count()
