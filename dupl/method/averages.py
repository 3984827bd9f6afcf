"""Whose CAMs make the labels: those of the students themselves, or those of their moving averages."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from torch import nn

from dupl.config.kinds import Share, Start
from dupl.method.component import Component
from dupl.method.ema import follow, frozen
from dupl.method.network import StudentOutput, SubNet
from dupl.method.students import Students
from dupl.registry import COMPONENTS
from dupl.structures import Clock

Source = tuple[SubNet, StudentOutput | None]


@COMPONENTS.register_module()
class OwnCams(Component):
    """Moving averages switched off: the CAMs of each student are its own."""

    null = True

    def __call__(self, students: Students, outputs: Sequence[StudentOutput], clock: Clock) -> list[Source]:
        """Return each student, with what it gave for the batch."""
        return list(zip(students, outputs, strict=True))


@COMPONENTS.register_module()
class MeanTeachers(Component, nn.Module):
    """CAMs of a moving average of each student, for the pseudo-labels and for the patch token contrast.

    In iteration n, from 0 on, the average keeps min(momentum, 1 - 1 / (n + 1)): it begins as the mean of all weights
    so far, so that the random weights of the first iteration do not last.

    Sources: Tarvainen and Valpola, *Mean teachers are better role models*, 2017; Yang et al., *CoSA*, 2024, whose
    momentum is 0.9994.

    Args:
        momentum: Largest share that an average keeps in each step.
        start: First iteration whose CAMs are those of the averages.
    """

    def __init__(self, momentum: Share = 0.9994, start: Start = 0) -> None:
        nn.Module.__init__(self)
        Component.__init__(self, start)
        self.momentum, self.t = momentum, 0

    def bind(self, students: Students) -> None:
        """Copy the students."""
        self.nets = nn.ModuleList(frozen(deepcopy(net)) for net in students)
        self.followed = [students]  # in a list, so that they are not parts of this one

    def after_step(self) -> None:
        """Let the averages follow the students."""
        keep = min(self.momentum, 1 - 1 / (self.t + 1))
        for average, net in zip(self.nets, self.followed[0], strict=True):
            follow(average, net, keep)

    def forward(self, students: Students, outputs: Sequence[StudentOutput], clock: Clock) -> list[Source]:
        """Return the network that makes the CAMs of each student, with what it gave for the batch if it is known."""
        self.t = clock.t
        if not self.active(clock) or clock.t == 0:  # nothing is averaged yet
            return list(zip(students, outputs, strict=True))
        return [(net, None) for net in self.nets]  # type: ignore[misc]
