"""What happens beside training: means on disk, progress for people, the best weights, stop signals."""

from __future__ import annotations

import io
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from dupl.cli import main
from dupl.engine.training.checkpoint_hook import CheckpointHook
from dupl.engine.training.evaluate_hook import EvaluateHook, headline
from dupl.engine.training.progress_hook import ProgressHook, clock, figures
from dupl.engine.training.scalar_hook import ScalarHook
from dupl.engine.training.stop_hook import StopHook
from dupl.errors import UserError
from dupl.method.dupl import DuPL
from dupl.runs import layout
from dupl.runs.best_weights import BestWeights, recorded_best
from dupl.runs.evaluation import AS_IN_TRAINING
from dupl.runs.evaluation_files import write_evaluation
from dupl.runs.judged import Judged
from dupl.runs.run import Run


class FakeRunner:
    """As much of a Runner as hooks look at."""

    rank, distributed, max_iters = 0, False, 10

    def __init__(self, rate: float = 0.5) -> None:
        self.iter = 0
        self.train_loop = SimpleNamespace(
            stop_training=False,
            asked_to_stop=False,
            unfinished=False,
            spent=0.0,
            seconds=lambda: float(self.iter),
            require_finite=lambda: None,
        )
        self.optim_wrapper = SimpleNamespace(param_groups=[{"lr": rate}])
        self.shown = []
        self.visualizer = SimpleNamespace(add_scalars=lambda values, step: self.shown.append((step, dict(values))))
        self.model = torch.nn.Linear(1, 1)


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", "", "abc", [], 0)


class TestScalars:
    OUTPUTS = ({"loss": 1.0}, {"loss": 2.0}, {"loss": 6.0, "late": 4.0}, {"loss": 0.5, "late": 8.0})

    def feed(self, hook, runner, outputs):
        for values in outputs:
            tensors = {name: torch.tensor(v) for name, v in values.items()}
            hook.after_train_iter(runner, runner.iter, None, tensors)
            runner.iter += 1

    def test_means_over_the_interval(self, run):
        hook, runner = ScalarHook(run, 3), FakeRunner()
        self.feed(hook, runner, self.OUTPUTS[:3])
        (row,) = run.scalars()
        assert (row["iter"], row["loss"], row["lr"]) == (3, 3.0, 0.5)
        assert row["late"] == 4.0, "a mean over the iterations that had it"
        assert [step for step, _ in runner.shown] == [3]

    def test_the_end_of_the_run_ends_an_interval(self, run):
        hook, runner = ScalarHook(run, 100), FakeRunner()
        self.feed(hook, runner, [{"loss": float(i)} for i in range(10)])
        assert [(row["iter"], row["loss"]) for row in run.scalars()] == [(10, 4.5)]

    def test_an_unfinished_interval_travels_in_the_checkpoint(self, run):
        first, runner, checkpoint = ScalarHook(run, 4), FakeRunner(), {}
        self.feed(first, runner, self.OUTPUTS[:3])
        first.before_save_checkpoint(runner, checkpoint)
        assert checkpoint["scalars"] == {"sums": {"loss": 9.0, "late": 4.0}, "count": {"loss": 3, "late": 1}}
        second = ScalarHook(run, 4)
        second.after_load_checkpoint(runner, checkpoint)
        self.feed(second, runner, self.OUTPUTS[3:])
        (row,) = run.scalars()
        assert (row["loss"], row["late"]) == (9.5 / 4, 6.0)

    def test_a_backend_that_does_not_close_ends_nothing(self, run):
        hook, runner, told = ScalarHook(run, 4), FakeRunner(), []
        runner.visualizer.close, runner.logger = lambda: 1 / 0, SimpleNamespace(error=told.append)
        hook.after_train(runner)
        assert "ZeroDivisionError" in told[0]


class TestFigures:
    def test_what_has_not_started_is_left_out(self):
        scalars = {"loss": 1.23456, "L_seg": 0.0, "tau_h": 0.7, "pixels/supervised": 0.256, "seconds": 0.5, "lr": 1e-3}
        assert figures(scalars) == "loss 1.235  tau_h 0.700  sup 26%  0.50 s/it"

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0, "0:00:00"), (59.6, "0:01:00"), (3661, "1:01:01"), (90000, "25:00:00")]
    )
    def test_clock(self, seconds, text):
        assert clock(seconds) == text

    def test_headline_prefers_the_subset(self):
        metrics = {
            f"{k}/{s}/mIoU": v for k, s, v in (("cam", 1, 1.0), ("cam", 2, 2.0), ("seg", 1, 3.0), ("seg", 2, 4.04))
        }
        judged = Judged(4, 6, 3, 4)
        words = "(4 of 6 images and 3 of 4 classes judged)"
        assert headline(metrics, judged) == f"mIoU: CAM 1.0 / 2.0, Seg 3.0 / 4.0 {words}"
        metrics |= {name + "-7": 10 * value for name, value in metrics.items()}
        assert headline(metrics, judged) == f"mIoU-7: CAM 10.0 / 20.0, Seg 30.0 / 40.4 {words}"

    def test_headline_of_tags_alone(self):
        metrics = {f"cls/{s}/{name}": 10.0 * s for s in (1, 2) for name in ("mAP", "F1")} | {"cls/mean/mAP": 5.0}
        expected = "mAP 10.0 / 20.0, F1 10.0 / 20.0 (no mask of 6 images, judged by tags)"
        assert headline(metrics, Judged(0, 6, 0, 4)) == expected


class TestProgress:
    def show(self, terminal: bool) -> str:
        text = io.StringIO()
        console = Console(file=text, force_terminal=terminal, width=160)
        scalars = SimpleNamespace(interval=5, last={"loss": 1.5, "tau_h": 0.65, "pixels/filtered": 0.1})
        hook, runner = ProgressHook(scalars, console), FakeRunner()
        hook.before_train(runner)
        for runner.iter in range(1, 11):
            hook.after_iteration(runner)
        hook.after_train(runner)
        assert hook.bar is None
        return text.getvalue()

    def test_a_bar_on_a_terminal(self):
        text = self.show(terminal=True)
        for word in ("10/10", "eta", "loss 1.500", "tau_h 0.650", "noise 10%"):
            assert word in text

    def test_a_line_per_interval_elsewhere(self):
        lines = self.show(terminal=False).splitlines()
        assert [line.split()[0] for line in lines] == ["5/10", "10/10"]
        assert lines[0].endswith("loss 1.500  tau_h 0.650  noise 10%")


class TestBest:
    def evaluate(self, hook, runner, at, value):
        metrics = {f"{k}/{s}/mIoU": value for k in ("cam", "seg") for s in (1, 2)}
        found = SimpleNamespace(metrics=metrics, classes=("background", "cat"), judged=Judged(4, 4, 2, 2))
        found.save = lambda folder, facts: self.saved.append((folder, facts["iter"]))
        hook.evaluate = lambda: found
        runner.iter = at
        hook.after_checkpoint(runner)

    def test_the_best_weights_are_kept(self, run):
        self.saved = []
        hook = EvaluateHook(run, 2, None, "seg/1/mIoU", Console(quiet=True), {})
        runner = FakeRunner()
        for at, value in ((2, 10.0), (3, 90.0), (4, 30.0), (6, 20.0), (8, float("nan")), (10, 30.0)):
            with torch.no_grad():
                runner.model.weight.fill_(at)
            self.evaluate(hook, runner, at, value)
        assert self.saved == [(run.path / f"evaluation/iter_{i:06d}", i) for i in (2, 4, 6, 8, 10)]
        best = torch.load(run.path / "checkpoints" / "best.pth", weights_only=True)
        assert best["meta"] == {"iter": 4, "fingerprint": "abc", "seg/1/mIoU": 30.0, "classes": ["background", "cat"]}
        assert best["state_dict"]["weight"].item() == 4
        assert recorded_best(run.path) == BestWeights(4, "seg/1/mIoU", 30.0)
        again = EvaluateHook(run, 2, None, "seg/1/mIoU", Console(quiet=True), {})
        again.before_train(runner)
        assert again.top == 30.0
        run.truncate_scalars(2)
        again.before_train(runner)
        assert again.top == 10.0

    def test_values_on_other_data_do_not_count(self, run, capsys):
        """After a correction of the masks between two attempts, the next evaluation has the best weights."""

        def resumed(read):
            hook = EvaluateHook(run, 2, None, "seg/1/mIoU", Console(width=200), {"read": read})
            hook.before_train(FakeRunner())
            return hook.top, capsys.readouterr().out

        for at, value, read in ((2, 90.0, "old"), (4, 30.0, "new"), (6, 20.0, None)):
            facts = {"read": read, "iter": at, "protocol": AS_IN_TRAINING, "data": {"type": "Toy", "split": "val"}}
            write_evaluation(run.path / layout.evaluation(at), facts, {"seg/1/mIoU": value}, {}, ("background",), [])
            run.append_scalars({"iter": at, "seg/1/mIoU": value})
        line = "the best weights are chosen among evaluations of the present data.val, "
        line += "1 evaluation of other data left out\n"
        assert resumed("new") == (30.0, line)
        assert resumed("old") == (90.0, line)
        assert resumed(None) == (90.0, ""), "what is not known is not other data"
        run.truncate_scalars(2)
        assert resumed("new") == (float("-inf"), line)

    def test_a_resumed_run_evaluates_what_an_earlier_attempt_did_not(self, run):
        self.saved = []
        hook, runner = EvaluateHook(run, 4, None, "seg/1/mIoU", Console(quiet=True), {}), FakeRunner()
        self.evaluate(hook, runner, 4, 10.0)
        for at, expected in ((4, 1), (6, 1), (8, 2), (8, 2)):
            runner.iter = at
            hook.after_resume(runner)
            assert len(self.saved) == expected, at

    def test_an_evaluation_that_fails_says_what_is_saved(self, run):
        def evaluate():
            raise UserError("mask of image a: 3x3 pixels")

        hook, runner = EvaluateHook(run, 2, evaluate, "seg/1/mIoU", Console(quiet=True), {}), FakeRunner()
        runner.iter = 4
        with pytest.raises(UserError, match="3x3 pixels; the weights of iteration 4 are saved: .* with --resume"):
            hook.after_checkpoint(runner)


def test_what_a_killed_attempt_began_to_write_is_cleared_away(run):
    folder = run.path / "checkpoints"
    folder.mkdir()
    for name in (".iter_000005.pth.part", ".best.pth.part", "iter_000003.pth"):
        (folder / name).write_bytes(b"")
    CheckpointHook(run, 5).before_train(FakeRunner())
    assert [f.name for f in folder.iterdir()] == ["iter_000003.pth"]


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_the_first_signal_asks_the_second_acts_as_before(self, number, monkeypatch):
        monkeypatch.setattr("dupl.engine.training.stop_hook.leave_terminal", lambda: None)
        before, hook, runner = signal.getsignal(number), StopHook(), FakeRunner()
        hook.before_train(runner)
        hook.after_iteration(runner)
        assert not runner.train_loop.stop_training
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) is before
        hook.after_iteration(runner)
        assert runner.train_loop.stop_training

    def test_somebody_elses_stop_stays(self):
        hook, runner = StopHook(), FakeRunner()
        runner.train_loop.stop_training = True
        hook.after_iteration(runner)
        assert runner.train_loop.stop_training

    def interrupt(self, monkeypatch, number, at):
        forward = DuPL.loss

        def loss(self, **batch):
            if batch["clock"].t == at:
                os.kill(os.getpid(), number)
            return forward(self, **batch)

        monkeypatch.setattr(DuPL, "loss", loss)
        monkeypatch.setattr("dupl.engine.training.train.take_trial_steps", lambda *_: None)  # it calls the loss too

    def test_ctrl_c_is_an_interruption(self, tiny, tmp_path, monkeypatch, capsys):
        self.interrupt(monkeypatch, signal.SIGINT, at=2)
        before = signal.getsignal(signal.SIGINT)
        assert main(["train", tiny, "--work-dir", str(tmp_path / "run")]) == 1
        *_, last = capsys.readouterr().err.splitlines()
        assert last == "dupl: stopped at iteration 3, which is saved: continue with --resume"
        assert Run(tmp_path / "run").status.state == "interrupted"
        assert signal.getsignal(signal.SIGINT) is before

    def test_in_the_last_iteration_the_evaluation_is_left_to_a_resumed_run(self, tiny, tmp_path, monkeypatch, capsys):
        self.interrupt(monkeypatch, signal.SIGTERM, at=3)
        sets, folder = ["--set", "schedule.iterations=4"], tmp_path / "last"
        assert main(["train", tiny, "--work-dir", str(folder), *sets]) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith("dupl: stopped at iteration 4, which is saved")
        assert (Run(folder).status.state, Run(folder).status.iteration) == ("interrupted", 4)
        assert not (folder / "evaluation").exists()
        assert main(["train", tiny, "--work-dir", str(folder), "--resume", *sets]) == 0
        assert (Run(folder).status.state, Run(folder).status.iteration) == ("finished", 4)
        assert (folder / "evaluation" / "iter_000004" / "metrics.json").is_file()

    def test_an_evaluation_is_given_up_at_the_next_image(self, tiny, tmp_path, monkeypatch, capsys, trained, helpers):
        seen, folder = [], tmp_path / "given_up"
        look = StopHook.look

        def hang_up(self, done, total):
            seen.append((done, total))
            if len(seen) == 3:
                os.kill(os.getpid(), signal.SIGHUP)
            look(self, done, total)

        monkeypatch.setattr(StopHook, "look", hang_up)
        monkeypatch.setattr("dupl.engine.training.stop_hook.leave_terminal", lambda: None)
        assert main(["train", tiny, "--work-dir", str(folder)]) == 1
        assert seen == [(1, 8), (2, 8), (3, 8)]
        assert (Run(folder).status.state, Run(folder).status.iteration) == ("interrupted", 8)
        assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
        helpers.assert_same_run(folder, trained)

    def test_hanging_up_means_nothing_under_nohup(self):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            hook = StopHook()
            hook.before_train(FakeRunner())
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            hook.restore_handlers()
        finally:
            signal.signal(signal.SIGHUP, before)

    def test_an_error_gives_the_signals_back(self, tiny, tmp_path, monkeypatch):
        before = signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr(DuPL, "loss", lambda self, **batch: 1 / 0)
        monkeypatch.setattr("dupl.engine.training.train.take_trial_steps", lambda *_: None)
        with pytest.raises(ZeroDivisionError):
            main(["train", tiny, "--work-dir", str(tmp_path / "error")])
        assert signal.getsignal(signal.SIGTERM) is before
        status = Run(tmp_path / "error").status
        assert (status.state, status.error) == ("failed", "ZeroDivisionError: division by zero")
