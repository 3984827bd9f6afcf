"""The contract of a method: what training and evaluation call, and the slots that its components fill."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dupl.config import catalogue
from dupl.config.check import RECIPE
from dupl.config.kinds import GIVEN, AtLeast, Positive, Slot
from dupl.config.overrides import apply
from dupl.config.per_class import resolve_per_class
from dupl.errors import UserError
from dupl.method.cam import Maps, Present, multi_scale_cam
from dupl.method.component import Component
from dupl.method.drop import drawing
from dupl.method.network import StudentOutput
from dupl.method.pseudo_labels import PseudoLabels
from dupl.method.students import Students
from dupl.registry import COMPONENTS, build, class_names
from dupl.structures import Clock

M = TypeVar("M", bound="Method")
PRECISIONS = ("off", "cam", "bf16", "fp16")


class StudentPrediction(NamedTuple):
    """What one student predicts for B images.

    Attributes:
        scores: Class scores before the sigmoid, float32 (B, K).
        logits: Segmentation logits, float32 (B, K + 1, h, w), background first.
        cams: CAMs of the classes asked for; None where none were.
    """

    scores: Tensor
    logits: Tensor
    cams: Maps | None


@dataclass(frozen=True)
class Inspection:
    """What the training step makes of a batch, one entry for each student; None before training makes it.

    Attributes:
        cams: CAMs.
        labels: Pseudo-labels before the noise filter.
        noisy: Pixels that the noise filter discards, bool (B, H, W).
        log_P: Log-probabilities of the segmentation, (B, K + 1, H, W).
    """

    cams: list[Maps] | None
    labels: list[PseudoLabels] | None
    noisy: list[Tensor] | None
    log_P: list[Tensor]


class Method(nn.Module, ABC):
    """A method of weakly supervised segmentation with one or more students.

    A subclass lists the ``SLOTS`` of its components and writes its training step. The component in a slot becomes the
    attribute of that name. ``USED_WITH`` names values that do nothing while none of the components in some slots acts:
    runs that differ only in what does not act yet share their training until then (`dupl.config.prefix`).

    Args:
        num_classes: Classes with background, K + 1.
        network: One sub-net: arguments of ``SubNet``.
        cam_scales: Scales of the CAMs, factors on the sides of the image.
        precision: "off" (float32), "cam" (bfloat16 in the passes without gradients), "bf16" or "fp16" (bfloat16 or
            float16 everywhere but in the losses).
        components: For each slot, a dict with the type of its component and the arguments.

    Raises:
        UserError: A slot is empty or unknown, ``precision`` is none of the four, or the method cannot train these
            students.
    """

    SLOTS: ClassVar[tuple[Slot, ...]]
    USED_WITH: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    learns_from_masks: ClassVar[bool] = False  # training reads image-level tags only
    learns_from_average: ClassVar[bool] = False  # its second network is a moving average of the first
    needs_aux: ClassVar[bool] = False  # it compares the CAMs of two blocks
    students: Students

    def __init__(
        self,
        num_classes: Annotated[int, GIVEN],
        network: Annotated[dict[str, Any], Slot("network", default="SubNet")],
        cam_scales: Annotated[Sequence[Positive], AtLeast(1)] = (1.0, 0.5, 1.5),
        precision: Annotated[str, GIVEN] = "off",
        **components: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise UserError(f"model.precision is {precision!r}: choose from {', '.join(PRECISIONS)}")
        self.num_classes, self.cam_scales, self.precision = num_classes, tuple(cam_scales), precision
        configs = fill(self.SLOTS, components)
        configs["students"] |= {"network": network, "num_classes": num_classes}
        for name, config in configs.items():
            setattr(self, name, COMPONENTS.build(config))
        if self.students.averaged != self.learns_from_average:
            name, found = type(self).__name__, type(self.students).__name__
            other = "OnlineAssigned" if self.learns_from_average else "DualStudent or SingleStudent"
            raise UserError(f"{name} does not train {found}: set model.students.type={other}")
        self._check_aux()
        for part in self.parts():
            part.bind(self.students)

    def _check_aux(self) -> None:
        """Refuse networks without an auxiliary classifier where one is needed.

        Raises:
            UserError: The method or one of its components needs it.
        """
        lacking = [type(net).__name__ for net in self.students if not net.has_aux]
        users = [type(self).__name__] * self.needs_aux
        users += [f"model.{slot.name}" for slot in self.SLOTS if getattr(getattr(self, slot.name), "needs_aux", False)]
        if lacking and users:
            raise UserError(
                f"{users[0]} needs an auxiliary classifier, which {lacking[0]} does not have: set "
                "model.network.type=SubNet"
                + f", or {users[0]}.type to its null partner"
                * users[0].startswith("model.")
            )

    @classmethod
    def from_recipe(
        cls: type[M], name: str | Path, overrides: Mapping[str, Any] | None = None, *, pretrained: bool = True
    ) -> M:
        """Build the method of a recipe on the CPU, in float32, with random weights seeded by ``runtime.seed``.

        Args:
            name: Name of a recipe, such as "voc/dupl", or its file.
            overrides: New values by path.
            pretrained: Whether to load the ImageNet weights that the recipe names; without them nothing is downloaded.

        Raises:
            UserError: There is no such recipe, it is not valid, or it is of another method.

        Example:
            >>> import torch
            >>> from dupl.method.dupl import DuPL
            >>> model = DuPL.from_recipe("demo/toy").eval()
            >>> scores, logits, cams = model.predict(torch.zeros(1, 3, 64, 64))[0]  # of the first student
            >>> scores.shape, logits.shape  # six classes; background comes first in the logits
            (torch.Size([1, 6]), torch.Size([1, 7, 16, 16]))
        """
        values = apply(catalogue.load_values(name), overrides or {}, RECIPE)
        seed, classes = values["runtime"]["seed"], class_names(values["data"])
        made = build_method(resolve_per_class(values["model"], classes), len(classes), seed=seed, pretrained=pretrained)
        if not isinstance(made, cls):
            raise UserError(f"{name} is a recipe of {type(made).__name__}, not of {cls.__name__}")
        return made

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # the components

    def forward(self, mode: str = "loss", **batch: Any) -> Any:
        """Call ``loss`` or ``predict``: the entry that a distributed wrapper needs."""
        if mode != "loss":
            return self.predict(**batch)
        with drawing(self, batch.get("seeds", ())):
            return self.loss(**batch)

    @abstractmethod
    def loss(self, *args: Any, **batch: Any) -> dict[str, Tensor]:
        """Compute the training step.

        Args:
            args: None; the batch is given by names.
            batch: images, normalised (B, 3, H, W); tags (B, K) of 0/1; present, the same as ``Present``; boxes of the
                photo in each crop, y0, y1, x0, x1, int64 (B, 4); seeds, one for each image; clock; and, where the
                method ``learns_from_masks``, masks, int64 (B, H, W), 255 = none; and, where the class token contrast is
                on, contrast, the further views that it compares.

        Returns:
            Scalars: "loss", the value to minimise, its terms "L_..." and what else is logged.
        """

    @abstractmethod
    def inspect(self, images: Tensor, tags: Tensor, present: Present, boxes: Tensor, clock: Clock) -> Inspection:
        """Return what the training step makes of a batch, without training; arguments as for ``loss``."""

    def parts(self) -> list[Component]:
        """Return the components that can be bound and that may follow the students' weights."""
        return [part for slot in self.SLOTS if isinstance(part := getattr(self, slot.name), Component)]

    def after_step(self) -> None:
        """Let moving averages follow the weights; training calls it once after each step of the optimiser."""
        self.students.after_step()
        for part in self.parts():
            part.after_step()

    @torch.no_grad()
    def predict(self, images: Tensor, present: Present | None = None, cams: bool = True) -> list[StudentPrediction]:
        """Predict class scores, segmentation logits and CAMs by every student.

        Args:
            images: (B, 3, H, W), normalised.
            present: The classes to map. None: those with a positive score, in the order of ``Present.of(scores > 0)``.
            cams: Whether to compute CAMs.
        """
        predictions = []
        for net, output in zip(self.students, self.forward_students(images), strict=True):
            classes = present if present is not None else Present.of((output.scores > 0).float())
            with self.autocast("cam"):
                maps = multi_scale_cam(net, images, classes, self.cam_scales, output) if cams else None
            predictions.append(StudentPrediction(output.scores.float(), output.logits.float(), maps))
        return predictions

    def forward_students(self, images: Tensor | Sequence[Tensor]) -> list[StudentOutput]:
        """Compute psi_i(X) of every student in the training precision, for shared images or those of each student."""
        with self.autocast("bf16"):
            outputs: list[StudentOutput] = self.students(images)
        return outputs

    def autocast(self, least: str) -> torch.autocast:
        """Return the context of a forward pass in the precision of the method.

        Args:
            least: "cam" for a pass without gradients, "bf16" for one with gradients, which "cam" leaves in float32.
        """
        device = next(self.parameters()).device.type
        half = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(device, half, enabled=self.precision in ("bf16", "fp16", least))

    @staticmethod
    def log_probabilities(logits: Tensor, size: Sequence[int]) -> Tensor:
        """Return log-probabilities (B, K + 1, H, W) in pixels from logits (B, K + 1, h, w) in patches.

        Args:
            logits: In any precision and memory format.
            size: H and W.
        """
        logits = logits.float().contiguous()  # convolutions leave channels last, which makes what follows slower
        return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False).log_softmax(1)

    @staticmethod
    def classification(outputs: Sequence[StudentOutput], tags: Tensor) -> Tensor:
        """Compute L_cls of Eq. 9, the multi-label soft margin of the classifiers of every student (released code).

        Args:
            outputs: What each student gave.
            tags: (B, K) of 0/1.
        """
        scores = [s.float() for output in outputs for s in (output.scores, output.aux_scores) if s is not None]
        return torch.stack([F.multilabel_soft_margin_loss(s, tags) for s in scores]).sum()


def build_method(
    model: Mapping[str, Any], num_classes: int, *, seed: int, precision: str = "off", pretrained: bool = True
) -> Method:
    """Build a method from the section ``model`` of a recipe.

    Args:
        model: The section.
        num_classes: Classes with background, K + 1.
        seed: Seed of the random weights.
        precision: As of ``Method``.
        pretrained: Whether to load the ImageNet weights that the recipe names; False if a checkpoint follows.

    Raises:
        UserError: The components cannot work together, a value is out of range, or weights cannot be had.
    """
    torch.manual_seed(seed)
    arguments = deepcopy({**model, "num_classes": num_classes, "precision": precision})
    if not pretrained:
        for backbone in (arguments["network"]["backbone"], arguments.get("students", {}).get("second")):
            if backbone is not None:
                backbone.update(pretrained=False, weights=None)
    built: Method = build(COMPONENTS, arguments, "model")
    return built


def fill(slots: Sequence[Slot], given: Mapping[str, dict[str, Any] | None]) -> dict[str, dict[str, Any]]:
    """Return the config of the component in each slot; an optional slot that is left out gets its null partner.

    Raises:
        UserError: A slot is empty, or there is no slot of a name.
    """
    names = [slot.name for slot in slots]
    if unknown := [name for name in given if name not in names]:
        raise UserError(f"model has no {unknown[0]!r}: its components are {', '.join(names)}")
    configs = {}
    for slot in slots:
        config = given.get(slot.name) or ({"type": slot.null} if slot.optional else None)
        if config is None:
            raise UserError(f"model.{slot.name} is missing: write dict(type=...)")
        configs[slot.name] = dict(config)
    return configs


def complete_weights(given: Mapping[str, float] | None, default: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of every loss term: the given one, or the default.

    Raises:
        UserError: A weight is given for an unknown term.
    """
    if unknown := sorted((given or {}).keys() - default.keys()):
        raise UserError(f"model.weights has no term {unknown[0]!r}: choose from {', '.join(default)}")
    return {**default, **(given or {})}
