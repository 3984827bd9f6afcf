"""[DS] Students: two sub-nets that teach each other, one that teaches itself, or one and its average (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from torch import Tensor, nn

from dupl.config.kinds import GIVEN, ArgumentsOf, In, Positive, Share
from dupl.errors import UserError
from dupl.method.backbone import Backbone
from dupl.method.ema import follow, frozen
from dupl.method.network import StudentOutput, SubNet
from dupl.method.pooling import Pooled, Pooling
from dupl.registry import COMPONENTS

T = TypeVar("T")


class Students(nn.Module):
    """Sub-nets of the same architecture.

    Attributes:
        teacher_of: For each student, the index of the one whose labels it learns from.
        averaged: Whether the second network is a moving average of the first, which training does not optimise.
    """

    null: ClassVar[bool] = False
    averaged: ClassVar[bool] = False
    teacher_of: ClassVar[tuple[int, ...]]

    def __init__(self, network: Annotated[dict[str, Any], GIVEN], num_classes: Annotated[int, GIVEN]) -> None:
        super().__init__()
        kinds = ({"type": "SubNet", **own, "num_classes": num_classes} for own in self.networks(network))
        self.nets = nn.ModuleList(COMPONENTS.build(kind) for kind in kinds)

    def networks(self, network: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the arguments of the sub-net of each student."""
        return [network for _ in self.teacher_of]

    def __iter__(self) -> Iterator[SubNet]:
        return iter(self.nets)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.nets)

    def __getitem__(self, index: int) -> SubNet:
        return self.nets[index]  # type: ignore[return-value]

    def forward(self, images: Tensor | Sequence[Tensor]) -> list[StudentOutput]:
        """Compute psi_i(X) of every student.

        Args:
            images: (B, 3, H, W), the same for all students, or a batch for each.
        """
        batches = [images] * len(self) if isinstance(images, Tensor) else images
        return [net(x) for net, x in zip(self.nets, batches, strict=True)]

    def segment(self, images: Tensor, which: slice = slice(None)) -> list[Tensor]:
        """Compute the segmentation logits (B, K + 1, h, w) of every student, or of some, for images (B, 3, H, W)."""
        return [net.segment(images) for net in list(self)[which]]

    def after_step(self) -> None:
        """Follow the step that the optimiser has just taken, as moving averages do."""
        for net in self:
            net.after_step()

    def exchange(self, made: Sequence[T] | None) -> list[T] | None:
        """Give each student what its teacher made; None where nothing is made yet."""
        return None if made is None else [made[teacher] for teacher in self.teacher_of]


def per_student(function: Callable[..., T], *values: Sequence[Any] | None) -> list[T] | None:
    """Call a function with the values of each student in turn; None if one of them is not there yet.

    Args:
        function: Takes one value of each kind.
        values: For each kind, one value per student, or None before training makes it.
    """
    there = [of_all for of_all in values if of_all is not None]
    if len(there) < len(values):
        return None
    return [function(*of_one) for of_one in zip(*there, strict=True)]


@COMPONENTS.register_module()
class DualStudent(Students):
    """Two students, each taught by the pseudo-labels of the other.

    Args:
        network: Arguments of ``SubNet``.
        num_classes: Classes with background, K + 1.
    """

    teacher_of = (1, 0)


@COMPONENTS.register_module()
class SingleStudent(Students):
    """DS switched off: one student, taught by its own pseudo-labels.

    Args:
        network: Arguments of ``SubNet``.
        num_classes: Classes with background, K + 1.
    """

    null = True
    teacher_of = (0,)


@COMPONENTS.register_module()
class OnlineAssigned(Students):
    """Online network and assignment network of CoSA: the second is a moving average of the first, and its teacher.

    Training optimises the first alone; both are evaluated.

    Args:
        network: Arguments of ``SubNet``.
        num_classes: Classes with background, K + 1.
        momentum: Share that the average keeps at each step of the optimiser, in [0, 1]. Released code: 0.9994.
        initial: Weights that the average starts from: "online" copies the online network; "own" draws them anew, heads
            and whatever is not pretrained (released code).

    Raises:
        UserError: ``momentum`` or ``initial`` lies outside its range.
    """

    averaged = True
    teacher_of = (1, 1)

    def __init__(
        self,
        network: Annotated[dict[str, Any], GIVEN],
        num_classes: Annotated[int, GIVEN],
        momentum: Share = 0.9994,
        initial: Literal["online", "own"] = "online",
    ) -> None:
        super().__init__(network, num_classes)
        if not 0 <= momentum <= 1:
            raise UserError(f"model.students.momentum is {momentum}: a share lies in [0, 1]")
        if initial not in ("online", "own"):
            raise UserError(f'model.students.initial is {initial!r}: choose "online" or "own"')
        self.momentum = momentum
        if initial == "online":
            self.nets[1].load_state_dict(self.nets[0].state_dict())
        frozen(self.nets[1])

    def after_step(self) -> None:
        """Let the assignment network follow the online network."""
        self[0].after_step()
        follow(self.nets[1], self.nets[0], self.momentum)


class _Unlike(DualStudent):
    """Two students of which the second has values of its own for some arguments of ``SubNet``, in ``second``."""

    second: dict[str, Any]

    def networks(self, network: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the arguments of the sub-net of each student."""
        return [network, {**network, **self.second}]


@COMPONENTS.register_module()
class UnlikeStudents(_Unlike):
    """Two students with different backbones, which keep them apart without a loss.

    Args:
        network: Arguments of ``SubNet``, the first student's.
        num_classes: Classes with background, K + 1.
        second: Arguments of ``Backbone`` for the second student.

    Raises:
        UserError: The two backbones have patches of different sizes, or different values of ``fit``.
    """

    def __init__(
        self,
        network: Annotated[dict[str, Any], GIVEN],
        num_classes: Annotated[int, GIVEN],
        second: Annotated[dict[str, Any], ArgumentsOf(Backbone)],
    ) -> None:
        self.second = dict(backbone=second)
        super().__init__(network, num_classes)
        one, other = (net.backbone.patch for net in self)
        if one != other:
            raise UserError(
                f"model.students.second has patches of {other} px and model.network.backbone of {one} px: choose "
                "backbones with patches of the same size"
            )
        one, other = (net.backbone.fit for net in self)
        if one != other:  # scaled images are made once for both
            raise UserError(
                f"model.students.second.fit is {other!r} and model.network.backbone.fit is {one!r}: give both the same "
                "value"
            )


@COMPONENTS.register_module()
class UnlikePooling(_Unlike):
    """Two students whose class scores are pooled differently, which keeps their CAMs apart without a loss.

    Args:
        network: Arguments of ``SubNet``, the first student's.
        num_classes: Classes with background, K + 1.
        pooling: Of the second student: as of ``SubNet``.
        pool_share: Of the second student.
        pool_sharpness: Of the second student.
        pool_over: Of the second student.
        cam_relu: Of the second student.

    Raises:
        ValueError: As of ``SubNet``.
    """

    def __init__(
        self,
        network: Annotated[dict[str, Any], GIVEN],
        num_classes: Annotated[int, GIVEN],
        pooling: Pooling = "topk",
        pool_share: Annotated[float, In("(0, 1]")] = 0.1,
        pool_sharpness: Positive = 5.0,
        pool_over: Pooled = "scores",
        cam_relu: bool = False,
    ) -> None:
        self.second = dict(
            pooling=pooling,
            pool_share=pool_share,
            pool_sharpness=pool_sharpness,
            pool_over=pool_over,
            cam_relu=cam_relu,
        )
        super().__init__(network, num_classes)
