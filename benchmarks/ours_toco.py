"""Our side of the benchmark of ToCo: the recipe ``voc/toco`` on a network, a crop and a batch of a case."""

from __future__ import annotations

from pathlib import Path
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
from dupl.engine.weights import load_weights
from dupl.method.cam import Present
from dupl.method.local_crops import choose_crops, regions
from dupl.method.pixels import normalise
from dupl.method.released_layout import convert
from dupl.method.view import View
from dupl.structures import Clock

T = 20000


class OursToCo(Side):
    """Our implementation of a case.

    Args:
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
        crop: Side of the local crops.
        images: A folder in VOC layout; None: toy scenes.
    """

    def __init__(self, case: Case, device: str, threads: int | None, crop: int = 96, images: str | None = None) -> None:
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
        changes = {"model.network.backbone": backbone, "model.class_contrast.crop_size": crop}
        self.config = overrides.apply(catalogue.load("voc/toco"), changes, RECIPE)
        self.model: Any = build_model(self.config, case.classes, torch.device(device)).train()
        with torch.no_grad():
            self.model.students[0].head[4].weight *= 30  # probabilities that are not all alike
            for parameter in self.model.class_contrast.teachers.parameters():
                parameter += 0.01 * torch.randn_like(parameter)  # a teacher that differs from its student
        self.optimizer = build_optimizer(self.model, {**self.config.schedule, "lr": 0.0}, 1)
        self.guard = FiniteGuard()
        self.batch = self._batch()
        self._teach_classifiers()

    @torch.no_grad()
    def _teach_classifiers(self) -> None:
        """Let each class look for one patch, so that its CAM has background, undecided and foreground pixels."""
        net, images = self.model.students[0], self.batch["image"].to(self.device)
        for classifier, features in zip((net.classifier, net.aux_classifier), net.backbone(images)[:2], strict=True):
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

    def places(self) -> Tensor:
        """Corners of the local crops of a step, (B, n, 2)."""
        model, part = self.model, self.model.class_contrast
        given = to_device({**self.batch, "clock": Clock(0, T)}, torch.device(self.device))
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
        state, expected = self.model.state_dict(), set(self.model.state_dict())
        weights = {}
        for key, shape in layout.items():
            for ours in convert({key: torch.ones(shape)}, expected):
                weights[key] = state[ours].reshape(shape)
        torch.save(weights, Path(folder) / "weights.pt")
        given = {k: v.to(self.device) for k, v in self.batch.items() if isinstance(v, Tensor)}
        torch.save({**given, "places": self.places()}, Path(folder) / "batch.pt")
        self.model.after_step()

    def step(self, t: int, precision: str = "off") -> dict[str, float]:
        """One training step as the engine does it, the optimiser's included; the loss terms."""
        self.model.precision = precision
        terms = train_step(self.model, {**self.batch, "clock": Clock(t, T)}, self.optimizer, self.guard)
        self.model.after_step()
        return {k: float(v) for k, v in terms.items() if k == "loss" or k.startswith("L_")}

    def gradients(self, t: int, layout: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        """Gradients of a step by the released name of the weight."""
        self.model.zero_grad()
        given = to_device({**self.batch, "clock": Clock(t, T)}, torch.device(self.device))
        self.model.loss(**given)["loss"].backward()
        own = dict(self.model.named_parameters())
        found = {}
        for key, shape in layout.items():
            for ours in convert({key: torch.ones(shape)}, set(self.model.state_dict())):
                if ours in own and own[ours].grad is not None:
                    found[key] = own[ours].grad.reshape(shape).cpu().numpy().copy()
        self.model.zero_grad()
        self.model.after_step()
        return found

    def predict_with(self, file: str, images: Tensor) -> tuple[NDArray[np.float32], ...]:
        """Load a file of the released layout; scores, logits, CAMs and auxiliary CAMs of every class of images."""
        load_weights(self.model, Path(file))
        self.model.eval()
        every = Present.of(torch.ones(len(images), self.case.classes - 1))
        (found,) = self.model.predict(images, every)
        self.model.train()
        return tuple(x.detach().numpy() for x in (found.scores, found.logits, found.cams.main, found.cams.aux))
