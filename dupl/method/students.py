"""[DS] Two sub-nets that teach each other, or one that teaches itself (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

from torch import Tensor, nn

from dupl.config.kinds import GIVEN
from dupl.method.network import SubNet
from dupl.registry import COMPONENTS
from dupl.structures import View

T = TypeVar("T")


class _Students(nn.Module):
    """Sub-nets of the same architecture; ``teacher_of[i]`` is the student whose labels teach student i."""

    teacher_of: tuple[int, ...]

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

    def forward(self, images: Tensor | Sequence[Tensor]) -> list[View]:
        """psi_i(X) of every student for images (B, 3, H, W), or for as many batches as there are students."""
        own = [images] * len(self) if isinstance(images, Tensor) else images
        return [net(x) for net, x in zip(self.nets, own, strict=True)]

    def segment(self, images: Tensor, who: slice = slice(None)) -> list[Tensor]:
        """Segmentation logits (B, K + 1, h, w) of every student, or of those in ``who``."""
        return [net.segment(images) for net in list(self)[who]]

    def exchange(self, labels: Sequence[T]) -> list[T]:
        """What teaches each student, from what each student made; nothing where nothing was made."""
        return [labels[teacher] for teacher in self.teacher_of] if labels else []


@COMPONENTS.register_module()
class DualStudent(_Students):
    """Two students, each taught by the other's pseudo-labels.

    Args:
        network: Arguments of ``SubNet``.
        num_classes: Classes with background.
    """

    teacher_of = (1, 0)


@COMPONENTS.register_module()
class SingleStudent(_Students):
    """DS switched off: one student, taught by its own pseudo-labels.

    Args:
        network: Arguments of ``SubNet``.
        num_classes: Classes with background.
    """

    teacher_of = (0,)
