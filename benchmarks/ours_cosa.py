"""Our side of the benchmark of CoSA: the recipe ``voc/cosa`` on a network, a crop and a batch of a case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ours_toco import OursToCo
from torch import Tensor
from workers import Case

from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE
from dupl.data import VOC, Toy
from dupl.engine.build import build_model
from dupl.engine.memory import keep_memory
from dupl.engine.preprocess import to_device
from dupl.engine.training.finite_guard import FiniteGuard
from dupl.engine.training.optimizer import build_optimizer
from dupl.engine.training.step import train_step
from dupl.engine.weights import load_weights
from dupl.method.cam import Present
from dupl.method.released_layout import convert
from dupl.method.view import View
from dupl.structures import Clock

T = 32000


class OursCoSA(OursToCo):
    """Our implementation of a case.

    Args:
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
        images: A folder in VOC layout; None: toy scenes.
    """

    def __init__(self, case: Case, device: str, threads: int | None, images: str | None = None) -> None:
        self.use(device, threads)
        if device == "cpu":
            keep_memory()
        self.case, self.source = case, VOC(images, "train") if images else Toy(size=case.size)
        backbone = {
            "name": case.backbone,
            "pretrained": False,
            "aux_block": -3,
            "fit": "drop",
            "options": dict(embed_dim=case.dim, depth=case.depth, num_heads=case.heads),
        }
        self.config = overrides.apply(catalogue.load("voc/cosa"), {"model.network.backbone": backbone}, RECIPE)
        self.model: Any = build_model(self.config, case.classes, torch.device(device)).train()
        with torch.no_grad():
            for net in self.model.students:
                net.head[4].weight *= 30  # probabilities that are not all alike
        self.optimizer = build_optimizer(self.model, {**self.config.schedule, "lr": 0.0}, 1)
        self.guard = FiniteGuard()
        views = ("other_view", "local_source")  # of ToCo
        self.batch = {key: value for key, value in self._batch().items() if key not in views}
        for net in self.model.students:
            self._teach_classifiers(net)
        self.strong = self.model.strong_view(self.batch["image"], self.batch["seed"].tolist())

    @torch.no_grad()
    def _teach_classifiers(self, net: Any = None) -> None:
        """Let each class of a network look for one patch, so that its CAM has background, undecided and foreground."""
        images = self.batch["image"].to(self.device)
        for classifier, features in zip((net.classifier, net.aux_classifier), net.backbone(images)[:2], strict=True):
            patches = features - features.mean((2, 3), keepdim=True)  # (B, D, h, w)
            rows = patches.permute(0, 2, 3, 1).flatten(0, 2)
            chosen = rows[torch.linspace(0, len(rows) - 1, len(classifier.weight)).long()]
            classifier.weight.copy_(chosen / chosen.norm(dim=1, keepdim=True))

    def export(self, folder: str, layout: dict[str, tuple[int, ...]]) -> None:
        """Write the weights of both networks in the released layout, and the batch with the strong view."""
        state = self.model.state_dict()
        for which, name in ((0, "online"), (1, "average")):
            weights = {}
            for key, shape in layout.items():
                for ours in convert({key: torch.ones(shape)}, set(state)):
                    weights[key] = state[ours.replace("nets.0.", f"nets.{which}.")].reshape(shape)
            torch.save(weights, Path(folder) / f"{name}.pt")
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
        self.model.precision = precision
        if same_strong:
            self.model.strong_view = lambda *_: self.strong
        terms = train_step(self.model, {**self.batch, "clock": Clock(t, T)}, self.optimizer, self.guard)
        if not same_strong:
            self.model.after_step()
        self.model.__dict__.pop("strong_view", None)
        return {k: float(v) for k, v in terms.items() if k == "loss" or k.startswith("L_")}

    def labels(self, t: int) -> list[NDArray[np.int64]]:
        """Labels of both CAMs of a step."""
        given = to_device({**self.batch, "clock": Clock(t, T)}, torch.device(self.device))
        assigned = self.model.assign(given["images"], given["present"], given["clock"])
        thresholds = self.model.fixed_thresholds(given["clock"], given["tags"])
        view = View(given["images"], given["boxes"])
        made = self.model.make_labels(view, assigned, given["present"], thresholds, given["clock"])
        return [label.y.cpu().numpy() for label in made]

    def gradients(self, t: int, layout: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        """Gradients of a step by the released name of the weight."""
        self.model.zero_grad()
        self.model.strong_view = lambda *_: self.strong
        given = to_device({**self.batch, "clock": Clock(t, T)}, torch.device(self.device))
        self.model.loss(**given)["loss"].backward()
        self.model.__dict__.pop("strong_view", None)
        own, found = dict(self.model.named_parameters()), {}
        for key, shape in layout.items():
            for ours in convert({key: torch.ones(shape)}, set(self.model.state_dict())):
                if ours in own and own[ours].grad is not None:
                    found[key] = own[ours].grad.reshape(shape).cpu().numpy().copy()
        self.model.zero_grad()
        return found

    def predict_with(self, file: str, images: Tensor) -> tuple[NDArray[np.float32], ...]:
        """Load a file of the released layout; scores, logits and CAMs of every class of images, of both networks."""
        load_weights(self.model, Path(file))
        self.model.eval()
        every = Present.of(torch.ones(len(images), self.case.classes - 1))
        found, copy = self.model.predict(images, every)
        if not torch.equal(found.logits, copy.logits):
            raise SystemExit("one network of a file that has one network was not loaded")
        self.model.train()
        return tuple(x.detach().numpy() for x in (found.scores, found.logits, found.cams.main))
