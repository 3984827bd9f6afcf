"""An evaluation that fails or is killed during training: nothing is lost, and the resumed run is the same run."""

from __future__ import annotations

import pytest

import dupl
from dupl.cli import main
from dupl.engine.evaluation.result import EvaluationResult
from dupl.engine.training import trainer
from dupl.engine.training.evaluate_hook import EvaluateHook
from dupl.errors import UserError
from dupl.runs.run import Run


class Killed(BaseException):
    """Ends a process in the middle of something, as a kill does."""


@pytest.mark.parametrize("failing", [2, 3], ids=["in the middle", "at the last iteration"])
def test_a_failing_evaluation_loses_no_training(tiny, trained, tmp_path, helpers, monkeypatch, failing):
    folder, evaluate, calls = tmp_path / "run", trainer.evaluate, []

    def fails(*arguments, **options):
        calls.append(None)
        if len(calls) == failing:
            raise UserError("data.val, mask of image 3: 4x4 pixels")
        return evaluate(*arguments, **options)

    monkeypatch.setattr(trainer, "evaluate", fails)
    with pytest.raises(UserError, match=f"the weights of iteration {8 * failing} are saved: .* with --resume"):
        dupl.train(tiny, folder)
    assert (Run(folder).status.state, Run(folder).status.iteration) == ("failed", 8 * failing)
    assert (folder / "checkpoints" / f"iter_{8 * failing:06d}.pth").is_file()
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
    assert len(calls) == 4
    helpers.assert_same_run(folder, trained)


@pytest.mark.parametrize(
    ("owner", "name", "at"),
    [
        (EvaluationResult, "save", 1),
        (EvaluateHook, "save_best", 1),
        (Run, "append_scalars", 5),
        (Run, "append_scalars", 6),
    ],
)
def test_killed_within_an_evaluation(tiny, trained, tmp_path, helpers, monkeypatch, owner, name, at):
    folder, whole, calls = tmp_path / "run", getattr(owner, name), []

    def dies(self, *arguments, **options):
        calls.append(None)
        if len(calls) == at:
            raise Killed
        return whole(self, *arguments, **options)

    monkeypatch.setattr(owner, name, dies)
    with pytest.raises(Killed):
        dupl.train(tiny, folder)
    assert Run(folder).status.iteration in (5, 8)
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
    helpers.assert_same_run(folder, trained)
    assert sorted(f.name for f in (folder / "checkpoints").iterdir()) == sorted(
        f.name for f in (trained / "checkpoints").iterdir()
    )
