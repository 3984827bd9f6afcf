"""Our side of the benchmarks of the peer methods: a recipe on a network, a crop and a batch of a case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from workers import Case, Side

from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE
from dupl.data import VOC, Toy
from dupl.engine.build import build_model
from dupl.engine.memory import keep_memory
from dupl.engine.precision import capability, computes_bfloat16
from dupl.engine.preprocess import to_device
from dupl.engine.training.finite_guard import FiniteGuard
from dupl.engine.training.optimizer import build_optimizer
from dupl.engine.training.step import train_step
from dupl.method.pixels import normalise
from dupl.method.released_layout import convert
from dupl.structures import Clock


class OursPeer(Side):
    """Our implementation of a case.

    Args:
        recipe: Name of the recipe.
        changes: New values by path.
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
        images: A folder in VOC layout; None: toy scenes.
    """

    def __init__(
        self,
        recipe: str,
        changes: Mapping[str, Any],
        case: Case,
        device: str,
        threads: int | None,
        images: str | None = None,
    ) -> None:
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
        values = {"model.network.backbone": backbone, **changes}
        self.config = overrides.apply(catalogue.load(recipe), values, RECIPE)
        self.model: Any = build_model(self.config, case.classes, torch.device(device)).train()
        with torch.no_grad():
            for net in self.model.students:
                self.last_layer(net).weight *= 30  # probabilities that are not all alike
        self.optimizer = build_optimizer(self.model, {**self.config.schedule, "lr": 0.0}, 1)
        self.guard = FiniteGuard()
        self.batch = self._batch()
        for net in self.model.students:
            self._teach_classifiers(net)

    def last_layer(self, net: Any) -> Any:
        """Return the layer of a network that gives the segmentation logits."""
        return net.head[4]

    @torch.no_grad()
    def _teach_classifiers(self, net: Any) -> None:
        """Let each class of a network look for one patch, so that its CAM has background, undecided and foreground."""
        images = self.batch["image"].to(self.device)
        classifiers = [net.classifier, *([net.aux_classifier] if net.has_aux else [])]
        for classifier, features in zip(classifiers, net.backbone(images)[: len(classifiers)], strict=True):
            patches = features - features.mean((2, 3), keepdim=True)  # (B, D, h, w)
            rows = patches.permute(0, 2, 3, 1).flatten(0, 2)
            chosen = rows[torch.linspace(0, len(rows) - 1, len(classifier.weight)).long()]
            classifier.weight.copy_(chosen / chosen.norm(dim=1, keepdim=True))

    def _batch(self) -> dict[str, Any]:
        """Photos squashed to the crop; the second view is the next photo, the source of crops is mirrored."""
        case, draw = self.case, np.random.default_rng(0)
        images, tags, boxes = [], np.zeros((case.batch, case.classes - 1), np.float32), []
        for row in range(case.batch + 1):
            i = row % len(self.source)
            photo = Image.fromarray(self.source.image(i)).resize((case.size, case.size), Image.Resampling.BILINEAR)
            images.append(normalise(torch.from_numpy(np.array(photo)).permute(2, 0, 1).float()[None] / 255)[0])
        for row in range(case.batch):
            own = np.flatnonzero(self.source.tags(row % len(self.source)))
            others = np.setdiff1d(draw.permutation(case.classes - 1), own, assume_unique=True)
            tags[row, np.concatenate([own, others])[: case.present]] = 1
            boxes.append([0, case.size - (row % 2) * case.size // 8, 0, case.size])
        stacked = torch.stack(images)
        return {
            "image": stacked[:-1],
            "other_view": stacked[1:].clone(),
            "local_source": stacked[:-1].flip(-1).clone(),
            "tags": torch.from_numpy(tags),
            "box": torch.tensor(boxes),
            "seed": torch.arange(case.batch),
            "name": [str(row) for row in range(case.batch)],
        }

    def facts(self) -> dict[str, Any]:
        """Return threads and versions, and whether the device computes bfloat16."""
        device = torch.device(self.device)
        facts = {"threads": torch.get_num_threads(), "torch": torch.__version__}
        return facts | {"bf16": computes_bfloat16(device), "capability": capability(device)}

    def given(self, t: int) -> dict[str, Any]:
        """Return the arguments of a step's loss."""
        clock = Clock(t, self.config.schedule.iterations)
        return to_device({**self.batch, "clock": clock}, torch.device(self.device))

    def take_step(self, t: int, precision: str) -> dict[str, float]:
        """Take a training step as the engine does, with the optimiser's; return the loss terms."""
        self.model.precision = precision
        clock = Clock(t, self.config.schedule.iterations)
        terms = train_step(self.model, {**self.batch, "clock": clock}, self.optimizer, self.guard)
        return {k: float(v) for k, v in terms.items() if k == "loss" or k.startswith("L_")}

    def in_layout(self, layout: Mapping[str, tuple[int, ...]], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors by their released name and in its shape, as far as there are any.

        Args:
            layout: Released shapes by name.
            own: By the names here.
        """
        expected = set(self.model.state_dict())
        named = {key: next(iter(convert({key: torch.ones(shape)}, expected)), "") for key, shape in layout.items()}
        return {key: own[name].reshape(layout[key]) for key, name in named.items() if name in own}

    def gradients(self, t: int, layout: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        """Gradients of a step by the released name of the weight."""
        self.model.zero_grad()
        self.model.loss(**self.given(t))["loss"].backward()
        own = {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}
        found = {key: value.cpu().numpy().copy() for key, value in self.in_layout(layout, own).items()}
        self.model.zero_grad()
        return found
