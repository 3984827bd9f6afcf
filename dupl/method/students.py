"""[DS] Dual student: two sub-nets that teach each other, or one that teaches itself (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

from torch import Tensor, nn

from dupl.config.kinds import GIVEN
from dupl.method.network import StudentOutput, SubNet
from dupl.registry import COMPONENTS

T = TypeVar("T")


class Students(nn.Module):
    """Sub-nets of the same architecture.

    Attributes:
        teacher_of: For each student, the index of the one whose labels it learns from.
    """

    null: ClassVar[bool] = False
    teacher_of: ClassVar[tuple[int, ...]]

    def __init__(self, network: Annotated[dict[str, Any], GIVEN], num_classes: Annotated[int, GIVEN]) -> None:
        super().__init__()
        kind = {"type": "SubNet", **network, "num_classes": num_classes}
        self.nets = nn.ModuleList(COMPONENTS.build(dict(kind)) for _ in self.teacher_of)

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
        """Follow the weights that the optimiser has just changed, as a moving average does."""

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
