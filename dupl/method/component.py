"""The base class of the switchable components of a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dupl.config.kinds import Start
from dupl.structures import Clock

if TYPE_CHECKING:
    from dupl.method.students import Students


class Component:
    """A part of a method that a recipe can replace, switch off or start late.

    A component is switched off by its null partner, a class of the same slot whose ``null`` is True. A component with
    parameters is a ``torch.nn.Module`` too: they are then trained, saved and resumed with the students.

    Before ``start`` nothing of a component acts but the arguments that ``EARLY`` names. Runs that differ only in what
    does not act yet are the same training until then, and share it (``dupl.config.prefix``). Parameters exist from the
    first iteration on, so a component that has some acts from there.

    Args:
        start: First iteration at which the component acts, at least 0.

    Raises:
        ValueError: ``start`` is negative.
    """

    null: ClassVar[bool] = False
    needs_aux: ClassVar[bool] = False  # it reads the auxiliary CAM or classifier
    needs_detector: ClassVar[bool] = False  # it reads the detector of misled students
    EARLY: ClassVar[tuple[str, ...]] = ()

    def __init__(self, start: Start = 0) -> None:
        if start < 0:
            raise ValueError(f"{type(self).__name__}.start is {start}: an iteration is at least 0")
        self.start = start

    def active(self, clock: Clock) -> bool:
        """Return whether the component acts at this iteration; a null partner never does."""
        return not self.null and clock.t >= self.start

    def bind(self, students: Students) -> None:
        """Build what depends on the students, once, when the method is built.

        Raises:
            UserError: The component cannot work with these students.
        """

    def after_step(self) -> None:
        """Follow the weights that the optimiser has just changed, as a moving average does."""
