"""Our side of the benchmark of AFA: the recipe ``voc/afa`` on a network, a crop and a batch of a case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ours_peer import OursPeer
from torch import Tensor
from workers import Case

from dupl.engine.weights import load_weights
from dupl.method.cam import Present
from dupl.method.view import View


class OursAFA(OursPeer):
    """Our implementation of a case.

    Args:
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
        images: A folder in VOC layout; None: toy scenes.
    """

    def __init__(self, case: Case, device: str, threads: int | None, images: str | None = None) -> None:
        backbone = {"name": case.backbone, "options": {"strides": [4, 2, 2, 1]}, "fit": "any", "drop_path": 0.0}
        changes = {"model.network.backbone": backbone, "model.network.head.dropout": 0.0}
        super().__init__("voc/afa", changes, case, device, threads, images)
        for view in ("other_view", "local_source"):  # of ToCo
            del self.batch[view]

    def last_layer(self, net: Any) -> Any:
        """Return the layer of a network that gives the segmentation logits."""
        return net.head.linear_pred

    def export(self, folder: str, layout: dict[str, tuple[int, ...]]) -> None:
        """Write the weights in the released layout, and the batch."""
        torch.save(self.in_layout(layout, self.model.state_dict()), Path(folder) / "weights.pt")
        torch.save({k: v for k, v in self.batch.items() if isinstance(v, Tensor)}, Path(folder) / "batch.pt")

    def step(self, t: int, precision: str = "off") -> dict[str, float]:
        """One training step as the engine does it, the optimiser's included; the loss terms.

        Args:
            t: Iteration, of 20,000.
            precision: As of the method.
        """
        terms = self.take_step(t, precision)
        self.model.after_step()
        return terms

    @torch.no_grad()
    def labels(self, t: int) -> list[NDArray[np.int64]]:
        """Labels of the CAMs of a step, and of its propagated CAMs."""
        given, model = self.given(t), self.model
        views, outputs = [View(given["images"], given["boxes"])], model.forward_students(given["images"])
        tau_h = model.threshold(given["clock"], given["tags"])
        cams = model.compute_cams(views, given["present"], outputs, given["clock"])
        refined = model.make_labels(views, cams, given["present"], tau_h, given["clock"])
        spread = model.spread_labels(views, cams, refined, given["present"], tau_h, given["clock"])
        return [made[0].y.cpu().numpy() for made in (refined, spread)]

    def predict_with(self, file: str, images: Tensor) -> tuple[NDArray[np.float32], ...]:
        """Load a file of the released layout; scores, logits and CAMs of every class of images."""
        load_weights(self.model, Path(file))
        self.model.precision = "off"
        self.model.eval()
        every = Present.of(torch.ones(len(images), self.case.classes - 1))
        (found,) = self.model.predict(images.to(self.device), every)
        self.model.train()
        return tuple(x.detach().cpu().numpy() for x in (found.scores, found.logits, found.cams.main))
