"""Our side of the benchmark of CoSA: the recipe ``voc/cosa`` on a network, a crop and a batch of a case."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from ours_peer import OursPeer
from torch import Tensor
from workers import Case

from dupl.engine.weights import load_weights
from dupl.method.cam import Present
from dupl.method.view import View


class OursCoSA(OursPeer):
    """Our implementation of a case.

    Args:
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
        images: A folder in VOC layout; None: toy scenes.
    """

    def __init__(self, case: Case, device: str, threads: int | None, images: str | None = None) -> None:
        super().__init__("voc/cosa", {}, case, device, threads, images)
        for view in ("other_view", "local_source"):  # of ToCo
            del self.batch[view]
        self.strong = self.model.strong_view(self.batch["image"], self.batch["seed"].tolist())

    @contextmanager
    def same_strong(self) -> Iterator[None]:
        """Take the given strong view instead of drawing one."""
        self.model.strong_view = lambda *_: self.strong
        try:
            yield
        finally:
            del self.model.strong_view

    def export(self, folder: str, layout: dict[str, tuple[int, ...]]) -> None:
        """Write the weights of both networks in the released layout, and the batch with the strong view."""
        state = self.model.state_dict()
        for which, name in ((0, "online"), (1, "average")):
            own = {k.replace(f"nets.{which}.", "nets.0."): v for k, v in state.items() if f"nets.{which}." in k}
            torch.save(self.in_layout(layout, own), Path(folder) / f"{name}.pt")
        given = {k: v.to(self.device) for k, v in self.batch.items() if isinstance(v, Tensor)}
        torch.save({**given, "strong": self.strong}, Path(folder) / "batch.pt")

    def step(self, t: int, precision: str = "off", same_strong: bool = False) -> dict[str, float]:
        """One training step as the engine does it, the optimiser's included; the loss terms.

        Args:
            t: Iteration, of 32,000.
            precision: As of the method.
            same_strong: Whether to take the given strong view, and leave the assignment network as it is: the step that
                is compared.
        """
        if same_strong:
            with self.same_strong():
                return self.take_step(t, precision)
        terms = self.take_step(t, precision)
        self.model.after_step()
        return terms

    def labels(self, t: int) -> list[NDArray[np.int64]]:
        """Labels of both CAMs of a step."""
        given = self.given(t)
        assigned = self.model.assign(given["images"], given["present"], given["clock"])
        thresholds = self.model.fixed_thresholds(given["clock"], given["tags"])
        view = View(given["images"], given["boxes"])
        made = self.model.make_labels(view, assigned, given["present"], thresholds, given["clock"])
        return [label.y.cpu().numpy() for label in made]

    def gradients(self, t: int, layout: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        """Gradients of a step by the released name of the weight."""
        with self.same_strong():
            return super().gradients(t, layout)

    def predict_with(self, file: str, images: Tensor) -> tuple[NDArray[np.float32], ...]:
        """Load a file of the released layout; scores, logits and CAMs of every class of images, of both networks."""
        load_weights(self.model, Path(file))
        self.model.precision = "off"
        self.model.eval()
        every = Present.of(torch.ones(len(images), self.case.classes - 1))
        found, copy = self.model.predict(images, every)
        if not torch.equal(found.logits, copy.logits):
            raise SystemExit("one network of a file that has one network was not loaded")
        self.model.train()
        return tuple(x.detach().numpy() for x in (found.scores, found.logits, found.cams.main))
