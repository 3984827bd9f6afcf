"""The hook that logs the detector of misled students, and warns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmengine.hooks import Hook

from dupl.method.base import Method
from dupl.method.detector import Detector
from dupl.runs.run import Run


class DetectorHook(Hook):
    """Write the detector's running means at the end of each logging interval, and say when a class becomes misled.

    The scalars are ``detector/STUDENT/CLASS``, of the classes that are measured often enough.

    Args:
        run: The run's folder.
        interval: Length of an interval in iterations.
        detector: The detector in training.
        classes: Names of the foreground classes.
        say: Receives one line for each student and class that becomes misled.
    """

    priority = "NORMAL"

    def __init__(
        self,
        run: Run,
        interval: int,
        detector: Detector,
        classes: Sequence[str],
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.run, self.interval, self.detector, self.classes, self.say = run, interval, detector, classes, say
        self.told: set[tuple[int, int]] = set()

    def before_train(self, runner: Any) -> None:
        """Take what a resumed run has said already."""
        self.told = self._misled()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write a row and warn at the end of an interval."""
        done = runner.iter + 1
        if runner.rank != 0 or (done % self.interval and done != runner.max_iters):
            return
        row = {
            f"detector/{student + 1}/{self.classes[c]}": self.detector.mean[student, c].item()
            for student, c in self.detector.known().nonzero().tolist()
        }
        if row:
            self.run.append_scalars({"iter": done, **row})
            runner.visualizer.add_scalars(row, step=done)
        misled = self._misled()
        for student, c in sorted(misled - self.told):
            value = row[f"detector/{student + 1}/{self.classes[c]}"]
            self.say(
                f"iteration {done}: student {student + 1} is misled on {self.classes[c]}: "
                f"its CAM {self.detector.reason} ({value:.2f}, misled below {self.detector.misled})"
            )
        self.told = misled

    def _misled(self) -> set[tuple[int, int]]:
        """Return the pairs of student and class that are misled now."""
        return {(student, c) for student, c in self.detector.misled_on().nonzero().tolist()}


def detector_hook(
    run: Run, interval: int, model: Method, classes: Sequence[str], say: Callable[[str], object]
) -> DetectorHook | None:
    """Return the hook if the model has a detector; ``classes`` has the background first."""
    detector = getattr(model, "detector", None)
    return DetectorHook(run, interval, detector, classes[1:], say) if isinstance(detector, Detector) else None
