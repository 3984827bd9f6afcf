"""[L_ctc] Class token contrast of ToCo: local crops agree with the image, or differ from it where they show none of it.

Source: Ru et al., *Token Contrast for Weakly-Supervised Semantic Segmentation*, 2023, Sec. 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dupl.config.kinds import ArgumentsOf, Count, In, Pixels, Positive, Share, Start
from dupl.errors import UserError
from dupl.method.cam import Maps
from dupl.method.component import Component
from dupl.method.ema import follow, frozen
from dupl.method.local_crops import Padding, choose_crops, cut, regions
from dupl.method.network import StudentOutput, SubNet
from dupl.method.projector import Projector
from dupl.method.students import Students
from dupl.registry import COMPONENTS

EPS = 1e-4  # released code: added inside the logarithms and to the number of positives


@dataclass(frozen=True)
class ContrastImages:
    """The further views of a batch, which the data set makes where the class token contrast is on.

    Attributes:
        other_view: A second global view, cut from anywhere in the photo, normalised (B, 3, H, W).
        local_source: The view of the loader in other colours, from which the local crops are cut, (B, 3, H, W).
    """

    other_view: Tensor
    local_source: Tensor


@dataclass(frozen=True)
class ClassTokens:
    """Class tokens of V views: the two global ones come first.

    Attributes:
        tokens: (B, V, D).
        flags: 1 for a positive, 0 for a negative, -1 for a view that does not count, int64 (B, V).
    """

    tokens: Tensor
    flags: Tensor


def contrast(
    student: Tensor,
    teacher: Tensor,
    flags: Tensor,
    tau: float,
    extra_negative: bool,
    divisor: Literal["positives", "terms"],
) -> Tensor:
    """Compute L_ctc: -log(s / (s + N)) for the similarity s of every positive, N the sum of those of the negatives.

    A similarity is exp(<teacher, student> / tau).

    Args:
        student: Projected tokens of all views, (B, V, E).
        teacher: Projected tokens of the global views, (B, 2, E).
        flags: As in ``ClassTokens``.
        tau: Temperature.
        extra_negative: Whether -log(1 / (1 + N)) is one more term. Released code: yes.
        divisor: Number that the sum of terms is divided by: "positives" (released code) or "terms".

    Returns:
        The mean over images and global views, a scalar.
    """
    logits = teacher @ student.transpose(1, 2) / tau  # (B, 2, V)
    negative, positive = (flags == 0)[:, None], (flags == 1)[:, None]
    floor = logits.new_full((*logits.shape[:2], 1), math.log(EPS))
    log_N = torch.cat([logits.masked_fill(~negative, -torch.inf), floor], 2).logsumexp(2, keepdim=True)  # (B, 2, 1)
    terms = torch.logaddexp(logits, log_N) - logits  # (B, 2, V)
    value, count = (terms * positive).sum(2), positive.sum(2).to(logits) + EPS
    if extra_negative:
        value = value + torch.logaddexp(log_N, torch.zeros_like(log_N))[..., 0]
        count = count + (divisor == "terms")
    return (value / count).mean()


@COMPONENTS.register_module()
class ClassTokenContrast(Component, nn.Module):
    """L_ctc between the class tokens of two global views and of local crops, which the auxiliary CAM chooses.

    Crops are cut around places that the auxiliary CAM does not call foreground. A crop whose mean region score (0
    background, 1 undecided, ``foreground`` foreground) exceeds ``uncertain`` is a positive, any other a negative. The
    teacher of each student is a moving average of its projector; the encoder is shared.

    Args:
        start: First iteration at which it acts. Released code: 0 on VOC, 12001 on COCO.
        tau: Temperature. Released code: 0.5 on VOC, 1 on COCO.
        momentum: Share that the teacher's projector keeps in each step.
        crops: Number of local crops.
        crop_size: Their side.
        uncertain: Mean region score above which a crop is a positive.
        foreground: Region score of a foreground pixel. Released code: 2.
        padding: "excluded": crops are cut from the photo alone. "background", as in the released code: the padding
            around the photo counts as background, and can be cut as a negative.
        extra_negative: Whether -log(1 / (1 + N)), N the sum over negatives, is one more term. Released code: yes.
        divisor: What the sum of terms is divided by: the number of "positives" (released code) or of "terms".
        projector: Arguments of ``Projector``.

    Raises:
        ValueError: A choice is none of those listed.
    """

    needs_aux = True

    def __init__(
        self,
        start: Start = 0,
        tau: Positive = 0.5,
        momentum: Share = 0.9,
        crops: Count = 8,
        crop_size: Pixels = 96,
        uncertain: Share = 0.2,
        foreground: Annotated[float, In("[1, inf)")] = 1.0,
        padding: Padding = "excluded",
        extra_negative: bool = False,
        divisor: Literal["positives", "terms"] = "terms",
        projector: Annotated[dict[str, Any] | None, ArgumentsOf(Projector)] = None,
    ) -> None:
        nn.Module.__init__(self)
        Component.__init__(self, start)
        if padding not in ("excluded", "background"):
            raise ValueError(f'class_contrast.padding is {padding!r}: choose "excluded" or "background"')
        if divisor not in ("positives", "terms"):
            raise ValueError(f'class_contrast.divisor is {divisor!r}: choose "positives" or "terms"')
        self.tau, self.momentum, self.crops, self.crop_size = tau, momentum, crops, crop_size
        self.uncertain, self.foreground, self.padding = uncertain, foreground, padding
        self.extra_negative, self.divisor, self.projector = extra_negative, divisor, dict(projector or {})

    def bind(self, students: Students) -> None:
        """Build a projector and its moving average for each student that is trained.

        Raises:
            UserError: The backbone has no class token, or an input of the wrong size for the crops.
        """
        backbone = students[0].backbone
        if not backbone.has_class_token:
            raise UserError(
                "model.class_contrast needs a class token, and the backbone has none: choose another "
                "model.network.backbone.name, or set model.class_contrast.type=NoClassContrast"
            )
        if self.crop_size % backbone.patch:
            raise UserError(
                f"model.class_contrast.crop_size is {self.crop_size}, and the backbone's patches have "
                f"{backbone.patch} px: give a multiple"
            )
        count = 1 if students.averaged else len(students)
        self.projectors = nn.ModuleList(Projector(backbone.dim, **self.projector) for _ in range(count))
        self.teachers = nn.ModuleList(frozen(Projector(backbone.dim, **self.projector)) for _ in range(count))
        self.teachers.load_state_dict(self.projectors.state_dict())

    def after_step(self) -> None:
        """Let the teachers follow their projectors. Released code: the same, at the start of the next iteration."""
        follow(self.teachers, self.projectors, self.momentum)

    def see(
        self,
        nets: Iterable[SubNet],
        outputs: Sequence[StudentOutput],
        images: ContrastImages | None,
        cams: Sequence[Maps],
        boxes: Tensor,
        thresholds: tuple[float, Tensor],
        seeds: Sequence[int],
    ) -> list[ClassTokens]:
        """Compute the class tokens of all views of every student.

        Args:
            nets: The students.
            outputs: What each gave for the loader's view.
            images: The further views.
            cams: CAMs of each.
            boxes: y0, y1, x0, x1 of the photo, int64 (B, 4).
            thresholds: tau_l, and tau_h of each image, (B,).
            seeds: Seeds of the random draws, one for each image.

        Raises:
            UserError: There are no further views.
        """
        if images is None:
            raise UserError("L_ctc needs further views of the images: the batch has none of them")
        seen = []
        for student, (net, output, maps) in enumerate(zip(nets, outputs, cams, strict=True)):
            draws = [(int(seed), 3, student) for seed in seeds]
            seen.append(self.tokens(net, output.class_token, images, maps.aux, boxes, thresholds, draws))
        return seen

    def tokens(
        self,
        net: SubNet,
        own_token: Tensor | None,
        images: ContrastImages,
        aux: Tensor,
        boxes: Tensor,
        thresholds: tuple[float, Tensor],
        draws: Sequence[Sequence[int]],
    ) -> ClassTokens:
        """Compute the class tokens of all views of a student, and which of them are positives.

        Args:
            net: The student.
            own_token: Class token of the loader's view, (B, D), with its gradient.
            images: The further views.
            aux: Auxiliary CAMs of the loader's view, (B, M, H, W).
            boxes: y0, y1, x0, x1 of the photo, int64 (B, 4).
            thresholds: tau_l, and tau_h of each image, (B,).
            draws: Seed of the places to cut, for each image.
        """
        assert own_token is not None  # ``bind`` refuses a backbone without class token
        region = regions(aux, *thresholds)  # (B, H, W)
        places = choose_crops(region, boxes, self.crops, self.crop_size, self.padding, draws)  # (B, n, 2)
        scores = torch.where(region == 2, self.foreground, region.to(aux))[:, None]
        flags = (cut(scores, places, self.crop_size).mean((2, 3, 4)) > self.uncertain).long()  # (B, n)
        crops = cut(images.local_source, places, self.crop_size)  # (B, n, 3, s, s)
        # recomputed in the backward pass: the local crops have two fifths of all tokens
        local = checkpoint(net.backbone.class_token, crops.flatten(0, 1), use_reentrant=False)
        local = local.unflatten(0, flags.shape)  # (B, n, D)
        whole = torch.stack([own_token, net.backbone.class_token(images.other_view)], 1)  # (B, 2, D)
        flags = torch.cat([flags.new_ones(len(flags), 2), flags], 1)
        return ClassTokens(torch.cat([whole.float(), local.float()], 1), flags)

    def forward(self, students: Sequence[ClassTokens] | None) -> Tensor:
        """Compute L_ctc, a scalar: the sum over students; 0 before it starts, when there are no tokens."""
        losses = [
            contrast(
                projector(seen.tokens),
                teacher(seen.tokens[:, :2].detach()).detach(),
                seen.flags,
                self.tau,
                self.extra_negative,
                self.divisor,
            )
            for seen, projector, teacher in zip(students or (), self.projectors, self.teachers, strict=False)
        ]
        return sum(losses, start=torch.zeros(()))


@COMPONENTS.register_module()
class NoClassContrast(Component):
    """L_ctc switched off: the data set makes no further views, and there is no such term."""

    null: ClassVar[bool] = True

    def __call__(self, students: Sequence[ClassTokens] | None) -> None:
        """Return None: there is no term."""
