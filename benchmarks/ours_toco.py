"""Our side of the benchmark of ToCo: the recipe ``voc/toco`` on a network, a crop and a batch of a case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from ours_peer import OursPeer
from torch import Tensor
from workers import Case

from dupl.engine.weights import load_weights
from dupl.method.cam import Present
from dupl.method.local_crops import choose_crops, regions
from dupl.method.view import View


class OursToCo(OursPeer):
    """Our implementation of a case.

    Args:
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
        crop: Side of the local crops.
        images: A folder in VOC layout; None: toy scenes.
    """

    def __init__(self, case: Case, device: str, threads: int | None, crop: int = 96, images: str | None = None) -> None:
        super().__init__("voc/toco", {"model.class_contrast.crop_size": crop}, case, device, threads, images)
        with torch.no_grad():
            for parameter in self.model.class_contrast.teachers.parameters():
                parameter += 0.01 * torch.randn_like(parameter)  # a teacher that differs from its student

    def places(self) -> Tensor:
        """Corners of the local crops of a step, (B, n, 2)."""
        model, part = self.model, self.model.class_contrast
        given = self.given(0)
        views = [View(given["images"], given["boxes"])]
        outputs = model.forward_students(given["images"])
        cams = model.compute_cams(views, given["present"], outputs, given["clock"])
        region = regions(cams[0].aux, model.tau_l, model.threshold(given["clock"], given["tags"]))
        draws = [(int(seed), 3, 0) for seed in given["seeds"]]
        return choose_crops(region, given["boxes"], part.crops, part.crop_size, part.padding, draws)

    def export(self, folder: str, layout: dict[str, tuple[int, ...]]) -> None:
        """Write weights in the released layout, and the batch with the places to cut.

        The released code lets the teacher follow before its step, ours after it: the weights are those before.
        """
        torch.save(self.in_layout(layout, self.model.state_dict()), Path(folder) / "weights.pt")
        given = {k: v.to(self.device) for k, v in self.batch.items() if isinstance(v, Tensor)}
        torch.save({**given, "places": self.places()}, Path(folder) / "batch.pt")
        self.model.after_step()

    def step(self, t: int, precision: str = "off") -> dict[str, float]:
        """One training step as the engine does it, the optimiser's included; the loss terms."""
        terms = self.take_step(t, precision)
        self.model.after_step()
        return terms

    def gradients(self, t: int, layout: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        """Gradients of a step by the released name of the weight."""
        found = super().gradients(t, layout)
        self.model.after_step()
        return found

    def predict_with(self, file: str, images: Tensor) -> tuple[NDArray[np.float32], ...]:
        """Load a file of the released layout; scores, logits, CAMs and auxiliary CAMs of every class of images."""
        load_weights(self.model, Path(file))
        self.model.precision = "off"
        self.model.eval()
        every = Present.of(torch.ones(len(images), self.case.classes - 1))
        (found,) = self.model.predict(images, every)
        self.model.train()
        return tuple(x.detach().numpy() for x in (found.scores, found.logits, found.cams.main, found.cams.aux))
