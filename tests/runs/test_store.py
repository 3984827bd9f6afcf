import csv
import io
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from dupl import process
from dupl.config import catalogue
from dupl.errors import UserError
from dupl.lock import FILE, hold
from dupl.runs import ledger, workload
from dupl.runs.making import mixed
from dupl.runs.run import Run
from dupl.runs.store import TRASH, RunStore

HERE = socket.gethostname()
NOBODY = 2**22 + 1  # beyond what Linux gives
CONFIG = {
    "model": {
        "type": "Net",
        "network": {"depth": 2, "weights": None},
        "students": {"type": "Two"},
        "filter": {"type": "Mixture", "start": 5},
        "weights": {"dis": 0.1},
    },
    "data": {"train": {"type": "Toy"}, "augment": {"crop": 64}},
    "schedule": {"iterations": 100, "batch_size": 4, "lr": 1e-3},
    "evaluation": {"interval": 10},
    "runtime": {"seed": 0, "device": "auto"},
}


def make(root, name="a", config=None, evaluations=(), **status):
    """A run folder, finished unless told otherwise; status.json as `Run` writes it."""
    run = Run(root / name)
    run.write_text("config.py", catalogue.to_text(CONFIG if config is None else config))
    facts = {"state": "finished", "fingerprint": f"print-{name}", "command": ["dupl", "train", name], "seed": 0}
    facts |= {"created": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T01:00:00+00:00", "seconds": 200.0}
    facts |= {"iteration": 100, "iterations": 100, "host": HERE, "pid": NOBODY, "commit": "c" * 40, "dirty": False}
    run.write_json("status.json", {**facts, "versions": {"torch": "2.6.0", "timm": None}, **status})
    for iteration in evaluations:
        evaluate(run, f"iter_{iteration:06d}", {"iter": iteration, "data": {"split": "val"}}, {"seg/1/mIoU": iteration})
    return run


def evaluate(run, folder, facts, metrics):
    run.write_json(f"evaluation/{folder}/metrics.json", {"protocol": "single scale", **facts, "metrics": metrics})


def final(run, name="final-1", checkpoint="best", crf=True, metrics=None, **facts):
    known = {"name": name, "students": "all", "checkpoint": f"x/checkpoints/{checkpoint}.pth", "split": "val"}
    evaluate(
        run, f"val_{name}_{checkpoint}", known | ({"crf": {}} if crf else {}) | facts, metrics or {"seg/1/mIoU": 50.0}
    )


def snapshot(root):
    return {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in sorted(root.rglob("*"))}


class TestFinding:
    def test_at_any_depth_but_not_inside_runs_or_hidden_folders(self, tmp_path):
        for name in ("b", "x/y/a", "b/inner", ".hidden/c"):
            make(tmp_path, name)
        store = RunStore(tmp_path)
        assert [s.path for s in store.runs()] == [tmp_path / "b", tmp_path / "x/y/a"]
        assert store.skipped == []

    def test_through_links_even_round_in_circles(self, tmp_path):
        (tmp_path / "store").mkdir()
        make(tmp_path / "elsewhere")
        (tmp_path / "store" / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "store")
        (found,) = RunStore(tmp_path / "store").runs()
        assert found.path == tmp_path / "store/link/a"

    def test_a_missing_root_holds_none(self, tmp_path):
        store = RunStore(tmp_path / "none")
        assert store.runs() == []
        assert store.frame().empty
        assert store.counts().empty

    def test_the_finished_one_of_a_fingerprint_then_the_furthest(self, tmp_path):
        make(tmp_path, "a", fingerprint="x", state="failed", iteration=90)
        make(tmp_path, "b", fingerprint="x", state="failed", iteration=80)
        store = RunStore(tmp_path)
        assert store.find("x").path.name == "a"
        make(tmp_path, "c", fingerprint="x", state="finished", iteration=50)
        assert store.find("x").path.name == "c"
        assert store.find("y") is None
        assert len(store.runs()) == 3

    def test_the_recipe_is_the_folder_without_the_fingerprint(self, tmp_path):
        make(tmp_path, "voc-dupl-0123", fingerprint="0123")
        make(tmp_path, "mine", fingerprint="4567")
        assert [s.recipe for s in RunStore(tmp_path).runs()] == ["mine", "voc-dupl"]

    def test_config_and_size(self, tmp_path):
        run = make(tmp_path)
        (run.path / "big").write_bytes(b"x" * 10000)
        (stored,) = RunStore(tmp_path).runs()
        assert stored.config.schedule.batch_size == 4
        assert stored.size() == sum(p.stat().st_size for p in run.path.iterdir())


class TestState:
    def state(self, tmp_path, **status):
        make(tmp_path, state="running", **status)
        before = snapshot(tmp_path)
        (stored,) = RunStore(tmp_path).runs()
        assert snapshot(tmp_path) == before  # reading mends nothing
        return stored.state, stored.stale

    def test_a_live_process(self, tmp_path):
        assert self.state(tmp_path, pid=os.getpid()) == ("running", False)

    def test_a_dead_one(self, tmp_path):
        assert self.state(tmp_path, pid=NOBODY) == ("interrupted", True)

    def test_a_killed_one_that_nobody_buried(self, tmp_path):
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
            assert self.state(tmp_path, pid=child.pid)[0] == "running"
            child.send_signal(signal.SIGKILL)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert self.state(tmp_path, pid=child.pid) == ("interrupted", True)

    def test_killed_before_it_began(self, tmp_path):
        make(tmp_path, state="created")
        assert RunStore(tmp_path).runs()[0].state == "interrupted"

    def test_elsewhere_nobody_can_tell(self, tmp_path):
        assert self.state(tmp_path, host="another") == ("running", False)
        assert self.state(tmp_path, pid=None) == ("running", False)

    def test_another_process_with_the_same_number(self, tmp_path):
        run = make(tmp_path, state="running", pid=os.getpid())
        long_ago = process.start_of(os.getpid()) - 3600
        os.utime(run.path / "status.json", (long_ago, long_ago))
        assert RunStore(tmp_path).runs()[0].state == "interrupted"

    def test_the_same_process_after_the_clock_was_set(self, tmp_path):
        command = process.command_of(os.getpid())
        assert len(command) > 1
        run = make(tmp_path, state="running", pid=os.getpid(), command=["other-name", *command[1:]])
        os.utime(run.path / "status.json", (1.0, 1.0))
        assert RunStore(tmp_path).runs()[0].state == "running"

    def test_when_a_process_began(self):
        before = time.time()
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            assert before - 2 <= process.start_of(child.pid) <= time.time() + 2
            child.communicate(b"\n")


class TestDamage:
    @pytest.mark.parametrize(
        ("break_it", "reason"),
        [
            (lambda p: (p / "status.json").write_text((p / "status.json").read_text()[:100]), "status.json is corrupt"),
            (lambda p: (p / "status.json").write_text("[1, 2]"), "status.json is corrupt"),
            (lambda p: Run(p).write_json("status.json", {"state": "asleep"}), "status.json is corrupt"),
            (lambda p: p.joinpath("status.json").write_bytes(b"\xff\x00"), "status.json is corrupt"),
            (lambda p: (p / "config.py").unlink(), "config.py is missing"),
            (lambda p: (p / "status.json").unlink(), "status.json is missing"),
        ],
    )
    def test_a_run_is_passed_over(self, tmp_path, break_it, reason):
        make(tmp_path, "good", evaluations=[10])
        break_it(make(tmp_path, "bad", evaluations=[10]).path)
        store = RunStore(tmp_path)
        assert set(store.frame()["fingerprint"]) == {"print-good"}
        ((path, told),) = store.skipped
        assert path == tmp_path / "bad"
        assert told.startswith(reason)

    @pytest.mark.parametrize("field", ["iteration", "seconds", "seed", "fingerprint", "iterations", "versions"])
    def test_a_value_of_another_kind_in_the_status(self, tmp_path, field):
        make(tmp_path, **{field: ["x"]})
        store = RunStore(tmp_path)
        assert store.runs() == []
        assert f"{field} is ['x']" in store.skipped[0][1]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("seconds", float("nan")),
            ("seconds", 1e300),
            ("iteration", 2**60),
            ("command", [1]),
            ("versions", ["a"]),
            ("versions", {"torch": 2}),
            ("machine", 5),
        ],
    )
    def test_a_value_that_nothing_can_be_done_with(self, tmp_path, field, value):
        status = make(tmp_path).path / "status.json"
        status.write_text(json.dumps(json.loads(status.read_text()) | {field: value}))
        store = RunStore(tmp_path)
        assert store.runs() == []
        assert store.skipped[0][1].startswith(f"status.json is corrupt: {field} is ")

    def test_links_that_lead_nowhere(self, tmp_path):
        make(tmp_path, "good", evaluations=[10])
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / "gone").symlink_to("nowhere")
        bad = tmp_path / "bad"
        bad.mkdir()
        (bad / "status.json").symlink_to("status.json")
        store = RunStore(tmp_path)
        assert [run.path.name for run in store.runs()] == ["good"]
        assert {path.name for path, _ in store.skipped} == {"loop", "bad"}

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"iter": 20}', '{"iter": 20, "metrics": {"a": "b"}}', None])
    def test_no_earlier_evaluation_takes_the_place_of_a_damaged_last_one(self, tmp_path, text):
        run = make(tmp_path, evaluations=[10, 20])
        folder = run.path / "evaluation/iter_000020"
        (folder / "per_class.csv").write_text("map,class\n")
        (folder / "metrics.json").unlink() if text is None else (folder / "metrics.json").write_text(text)
        store = RunStore(tmp_path)
        frame = store.frame()
        assert frame["iteration"].tolist() == [10]
        assert not frame["last"].any()
        assert [path for path, _ in store.skipped] == [folder]

    def test_nor_of_a_damaged_final_one(self, tmp_path):
        run = make(tmp_path)
        final(run, checkpoint="iter_000010")
        final(run, name="final-1-crf-torch")
        (run.path / "evaluation/val_final-1-crf-torch_best/metrics.json").write_text("{")
        frame = RunStore(tmp_path).frame()
        assert frame["last"].tolist() == [False]

    def test_a_folder_without_an_evaluation_is_none(self, tmp_path):
        run = make(tmp_path, evaluations=[10])
        run.write_text("evaluation/iter_000020/quality.csv", "a\n")
        store = RunStore(tmp_path)
        assert store.frame()["last"].tolist() == [True]
        assert store.skipped == []

    def test_mended_files_are_read_again(self, tmp_path):
        run = make(tmp_path)
        text = (run.path / "status.json").read_text()
        (run.path / "status.json").write_text(text[:50])
        store = RunStore(tmp_path)
        assert store.runs() == []
        (run.path / "status.json").write_text(text)
        assert len(store.runs()) == 1
        assert store.skipped == []


class TestFrame:
    def test_one_row_for_each_metric(self, tmp_path):
        run = make(tmp_path, "a", seed=3, dirty=True, evaluations=[10])
        run.write_text("git.diff", "patch")
        evaluate(run, "iter_000009", {"iter": 9, "data": {"split": "val100"}}, {"cam/1/mIoU": 12.5, "cam/1/OA": None})
        frame = RunStore(tmp_path).frame()
        assert len(frame) == 3
        row = frame[frame["metric"] == "cam/1/mIoU"].iloc[0]
        assert (row["value"], row["iteration"], row["split"], row["seed"]) == (12.5, 9, "val-val100", 3)
        assert (row["protocol"], row["checkpoint"], row["title"]) == ("train", "", "single scale")
        assert (row["commit"], row["dirty"], row["torch"], row["state"]) == ("c" * 40, True, "2.6.0", "finished")
        assert len(row["changes"]) == 8
        assert frame["timm"].isna().all()
        assert math.isnan(frame.loc[frame["metric"] == "cam/1/OA", "value"].item())

    def test_the_last_is_the_latest_by_number(self, tmp_path):
        make(tmp_path, evaluations=[9, 10, 100, 999999, 1000000])
        frame = RunStore(tmp_path).frame()
        assert frame.loc[frame["last"], "iteration"].tolist() == [1000000]

    def test_protocols_are_kept_apart_and_one_of_each_speaks_for_the_run(self, tmp_path):
        run = make(tmp_path, evaluations=[10])
        final(run, "final-1", crf=False, metrics={"m": 1.0})
        final(run, "final-1-crf-torch", metrics={"m": 2.0})
        final(run, "final-1-crf-torch", checkpoint="iter_000010", metrics={"m": 3.0})
        final(run, "final-1-student-1-crf-torch", students=["1"], metrics={"m": 4.0})
        final(run, "final-1-crf-torch-present", present_only=True, metrics={"m": 5.0})
        final(run, "cam-64-t0.5", crf=False, metrics={"m": 6.0})
        final(run, "train-64-t0.5", crf=False, metrics={"m": 7.0})
        other = run.path / "evaluation" / "val_final-1-crf-torch_best-2"  # of a file of the same name, and later
        shutil.copytree(run.path / "evaluation" / "val_final-1-crf-torch_best", other)
        metrics = json.loads((other / "metrics.json").read_text()) | {"metrics": {"m": 8.0}}
        (other / "metrics.json").write_text(json.dumps(metrics))
        frame = RunStore(tmp_path).frame()
        last = frame[frame["last"]].set_index("protocol")["value"].to_dict()
        assert last == {"train": 10.0, "final-no-crf": 1.0, "final": 3.0, "final-present": 5.0, "cam": 6.0}
        assert frame.set_index("value")["iteration"].astype("float").to_dict()[3.0] == 10
        assert len(frame) == 9
        (other / "metrics.json").write_text("{")
        assert RunStore(tmp_path).frame().query("last and protocol == 'final'")["value"].tolist() == [3.0]

    def test_the_last_weights_speak_for_the_run_before_the_selected_best_of_the_same_iteration(self, tmp_path):
        run = make(tmp_path)
        final(run, checkpoint="iter_000020", metrics={"m": 1.0}, iter=20)
        final(run, checkpoint="best", metrics={"m": 1.0}, iter=20)
        frame = RunStore(tmp_path).frame()
        assert frame.loc[frame["last"], "checkpoint"].tolist() == ["iter_000020"]

    def test_titles_of_earlier_versions_are_those_of_today(self, tmp_path):
        run = make(tmp_path)
        facts = {"protocol": "single scale, squashed", "iter": 9, "data": {"split": "val"}}
        run.write_json("evaluation/iter_000009/metrics.json", {**facts, "metrics": {"m": 1.0}})
        assert RunStore(tmp_path).frame()["title"].tolist() == ["squashed, no CRF"]

    def test_of_two_settings_the_newer_one(self, tmp_path):
        run = make(tmp_path)
        for name, when in (("cam-64-t0.4", 200), ("cam-64-t0.5", 100)):
            final(run, name, crf=False)
            os.utime(run.path / f"evaluation/val_{name}_best/metrics.json", (when, when))
        frame = RunStore(tmp_path).frame()
        assert frame.loc[frame["last"], "name"].tolist() == ["cam-64-t0.4"]

    def test_a_run_that_is_there_twice_counts_once(self, tmp_path):
        make(tmp_path, "a", fingerprint="x", state="interrupted", iteration=50, evaluations=[10])
        make(tmp_path, "b", fingerprint="x", evaluations=[10, 20])
        store = RunStore(tmp_path)
        assert store.frame()["run"].unique().tolist() == [str(tmp_path / "b")]
        assert len(store.frame(store.runs())) == 3

    def test_runs_without_evaluations_give_an_empty_table_with_its_columns(self, tmp_path):
        make(tmp_path)
        frame = RunStore(tmp_path).frame()
        assert frame.empty
        assert {"run", "seed", "last", "metric", "value", "torch"} <= set(frame.columns)


def counted(run, folder="iter_000010"):
    """Files of an evaluation of three classes, as the engine counts and writes them; also its confusion matrices."""
    from dupl.engine.evaluation.result import ClassScores, EvaluationResult
    from dupl.runs.tallies import Tally

    draw = np.random.default_rng(0)
    tallies = {name: Tally(4) for name in ("cam/1", "seg/1")}
    for tally in tallies.values():
        for image in range(5):
            tally.add(image, draw.choice([0, 1, 255], (6, 7)), draw.integers(0, 3, (6, 7)))
    nothing = ClassScores(np.zeros(0, np.int64), np.zeros((0, 3), np.float32), np.zeros((1, 0, 3), np.float32))
    names = [f"{i:04d}" for i in range(5)]
    found = EvaluationResult({"seg/1/mIoU": 1.0}, tallies, nothing, ("background", "NA", "cat", "dog"), names, 1.5)
    found.save(run.path / f"evaluation/{folder}", {"protocol": "single scale", "iter": 10})
    return tallies


class TestCounts:
    def test_by_hand(self, tmp_path):
        run = make(tmp_path, evaluations=[10])
        rows = [("seg/1", "background", 6, 2, 0), ("seg/1", "cat", 1, 3, 0), ("seg/1", "dog", 0, 0, 0)]
        run.write_csv("evaluation/iter_000010/confusion.csv", ["map", "truth", "background", "cat", "dog"], rows)
        counts = RunStore(tmp_path).counts().set_index("class")
        assert counts.loc["background", ["TP", "FP", "FN"]].tolist() == [6, 1, 2]
        assert counts.loc["cat", ["TP", "FP", "FN"]].tolist() == [3, 2, 1]
        assert counts.loc["cat", ["IoU", "precision", "recall", "OA"]].tolist() == [50.0, 60.0, 75.0, 40.0]
        assert counts.loc["dog", ["IoU", "precision", "recall", "OA"]].isna().all()

    def test_what_the_engine_writes_is_what_it_counted(self, tmp_path):
        from dupl.runs.metrics import ClassTable

        tallies = counted(make(tmp_path))
        store = RunStore(tmp_path)
        counts, images = store.counts(), store.per_image()
        assert store.skipped == []
        for name, tally in tallies.items():
            mine, truth = counts[counts["map"] == name], ClassTable.of(tally.matrix)
            for column, values in (("IoU", truth.iou), ("recall", truth.recall), ("OA", truth.oa_rate)):
                np.testing.assert_allclose(mine[column], values)
        assert math.isnan(counts.loc[counts["class"] == "cat", "IoU"].iloc[0])  # predicted, but nowhere true
        sums = images.groupby(["map", "class"])[["TP", "FP", "FN"]].sum()
        whole = counts.set_index(["map", "class"])[["TP", "FP", "FN"]]
        assert whole[whole.any(axis=1)].to_dict("index") == sums.to_dict("index")
        assert images["image"].iloc[0] == "0000"
        assert "NA" in set(images["class"])

    def test_runs_protocols_and_evaluations_are_chosen(self, tmp_path):
        for name in "ab":
            run = make(tmp_path, name)
            counted(run)
            counted(run, "iter_000011")
        store = RunStore(tmp_path)
        assert set(store.per_image(["print-a"])["run"]) == {str(tmp_path / "a")}
        every = store.counts(last=False)
        assert len(every) == 2 * len(store.counts()) > 0
        assert store.counts(protocol="final").empty
        assert "TP" in store.per_image(protocol="final").columns

    @pytest.mark.parametrize("name", ["per_image.csv", "confusion.csv"])
    @pytest.mark.parametrize("how", ["in a line", "at a line", "a word", "nothing", "missing", "a column"])
    def test_a_damaged_table_is_told_and_left_out(self, tmp_path, name, how):
        counted(make(tmp_path, "good"))
        file = make(tmp_path, "bad").path / "evaluation/iter_000010" / name
        counted(Run(tmp_path / "bad"))
        text = file.read_text()
        lines = text.splitlines(keepends=True)
        broken = {
            "in a line": text[:-3],
            "at a line": "".join(lines[:-1]),
            "a word": text.rstrip("\n").rpartition(",")[0] + ",many\n",
            "nothing": "",
            "a column": "".join(line.partition(",")[2] for line in lines),
        }
        file.unlink() if how == "missing" else file.write_text(broken[how])
        store = RunStore(tmp_path)
        assert set(store.per_image()["fingerprint"]) == {"print-good"}
        ((path, reason),) = store.skipped
        assert tmp_path / "bad" in path.parents
        assert name in reason or path.name == name


class TestMixed:
    def lines(self, tmp_path):
        return mixed(RunStore(tmp_path).frame())

    def test_nothing_to_tell(self, tmp_path):
        for name in "ab":
            make(tmp_path, name, evaluations=[10, 20])
        assert self.lines(tmp_path) == []

    def test_commits_and_versions(self, tmp_path):
        for name, commit, torch in (("a", "1" * 40, "2.6.0"), ("b", "1" * 40, "2.7.0"), ("c", None, "2.6.0")):
            make(tmp_path, name, commit=commit, dirty=None, versions={"torch": torch}, evaluations=[10])
        commits, versions = self.lines(tmp_path)
        assert commits == "different commits: 1111111 (2 runs), no checkout (1 run)"
        assert versions == "different versions of torch: 2.6.0 (2 runs), 2.7.0 (1 run)"

    @pytest.mark.parametrize(("one", "other", "told"), [("x", "x", 0), ("x", "y", 1), ("x", None, 1)])
    def test_changes_that_were_not_committed(self, tmp_path, one, other, told):
        for name, patch in (("a", one), ("b", other)):
            run = make(tmp_path, name, dirty=patch is not None, evaluations=[10])
            if patch is not None:
                run.write_text("git.diff", patch)
        assert len([line for line in self.lines(tmp_path) if "uncommitted" in line]) == told

    def test_different_code_is_told_by_the_packages_files(self, tmp_path):
        """Commits do not matter where the files are the same, as for two commits of documents."""
        for name, commit, package in (("a", "1" * 40, "aaaa"), ("b", "2" * 40, "aaaa")):
            one = dict(end=100, commit=commit, dirty=False, changes="", package=package)
            make(tmp_path, name, commit=commit, stretches=[one], versions={}, evaluations=[10])
        assert self.lines(tmp_path) == []
        make(tmp_path, "c", commit=None, stretches=[dict(end=100, package="bbbb")], versions={}, evaluations=[10])
        commits, code = self.lines(tmp_path)
        assert commits.startswith("different commits: ")
        assert code == "different code, by the digest of the package's files: aaaa (2 runs), bbbb (1 run)"

    def test_a_run_that_went_on_elsewhere(self, tmp_path):
        two = [dict(end=40, commit="1" * 40, versions={"torch": "2.6.0"}, threads=1)]
        two += [dict(start=40, end=100, commit="2" * 40, dirty=True, versions={"torch": "2.7.1"}, threads=2)]
        make(tmp_path, "a", stretches=two, evaluations=[10])
        make(tmp_path, "b", stretches=[{**two[0], "end": 100}], commit="1" * 40, evaluations=[10])
        frame = RunStore(tmp_path).frame().drop_duplicates("run")
        assert list(frame["commits"]) == ["111111111111 222222222222+", "111111111111"]
        assert list(frame["torch"]) == ["2.6.0 -> 2.7.1", "2.6.0"] and list(frame["threads"]) == ["1 -> 2", "1"]
        told = " | ".join(self.lines(tmp_path))
        turn = "from iteration 40 on: commit 111111111111 -> 222222222222, torch 2.6.0 -> 2.7.1, threads 1 -> 2"
        assert f"1 run went on in another way than begun: {tmp_path / 'a'} ({turn})" in told
        assert "different versions of torch: 2.6.0 -> 2.7.1 (1 run), 2.6.0 (1 run)" in told

    def test_different_machines(self, tmp_path):
        for name, processor, threads in (("a", "A", 1), ("b", "A", 1), ("c", "B", 2)):
            make(tmp_path, name, stretches=[dict(end=100, processor=processor, threads=threads)], evaluations=[10])
        make(tmp_path, "d", evaluations=[10])  # of an earlier version
        (line,) = [line for line in self.lines(tmp_path) if "processors" in line]
        assert line == (
            "different processors: A (2 runs), B (1 run), not recorded (1 run); numbers of threads: 1 (2 runs), "
            "2 (1 run), not recorded (1 run); equality to the bit cannot be expected between them"
        )

    def test_what_was_evaluated(self, tmp_path):
        final(make(tmp_path, "a", evaluations=[10]), name="final-1")
        final(make(tmp_path, "b", evaluations=[20]), name="final-2", checkpoint="iter_000020")
        told = " ".join(self.lines(tmp_path))
        assert "settings evaluated by final on val: final-1 (1 run), final-2 (1 run)" in told
        assert "weights evaluated by final" in told
        assert "iterations evaluated by train" in told

    def test_how_much_truth_was_judged(self, tmp_path):
        for name, images in (("a", 4), ("b", 6)):
            judged = {"images": images, "of_images": 6, "classes": 3, "of_classes": 3}
            final(make(tmp_path, name), judged=judged)
        (told,) = (line for line in self.lines(tmp_path) if "truth" in line)
        assert told == (
            "different truth evaluated by final on val: 4 of 6 images and 3 of 3 classes judged (1 run), "
            "6 of 6 images and 3 of 3 classes judged (1 run)"
        )

    def test_an_empty_table(self, tmp_path):
        assert self.lines(tmp_path) == []


def changed(**changes):
    config = json.loads(json.dumps(CONFIG))
    for path, value in changes.items():
        section, key = path.split("__")
        config[section][key] = value
    return config


class TestPace:
    def test_seed_rate_and_weights_make_no_difference(self, tmp_path):
        make(tmp_path, seconds=200.0, iteration=100)
        other = changed(runtime__seed=7, schedule__lr=1.0, model__weights={"dis": 0.0}, evaluation__workers=3)
        other["model"]["network"]["weights"] = "some.safetensors"
        store = RunStore(tmp_path)
        assert store.seconds_per_iteration(other) == 2.0
        assert store.pace(other).exact

    @pytest.mark.parametrize(
        "other",
        [
            changed(data__augment={"crop": 32}),
            changed(schedule__batch_size=8),
            changed(model__network={"depth": 3, "weights": None}),
            changed(runtime__device="cuda"),
            changed(model__type="Other"),
        ],
    )
    def test_a_run_of_another_size_says_nothing(self, tmp_path, other):
        make(tmp_path, config=other)
        assert RunStore(tmp_path).seconds_per_iteration(CONFIG) is None

    def test_the_nearest_runs_count_and_their_median(self, tmp_path):
        off = {"type": "TrustAll"}
        make(tmp_path, "one type away", changed(model__filter=off), seconds=100.0)
        store = RunStore(tmp_path)
        assert store.pace(CONFIG) == ledger.Pace(1.0, 0.0, 1, exact=False)
        make(tmp_path, "two types", changed(model__filter=off, model__students={"type": "One"}), seconds=900.0)
        assert store.seconds_per_iteration(CONFIG) == 1.0
        make(tmp_path, "a number", changed(model__filter={"type": "Mixture", "start": 6}), seconds=300.0)
        assert store.seconds_per_iteration(CONFIG) == 3.0
        for k, seconds in enumerate((400.0, 500.0, 9000.0)):
            make(tmp_path, f"same {k}", changed(runtime__seed=k), seconds=seconds)
        assert store.pace(CONFIG) == ledger.Pace(5.0, 0.0, 3, exact=True)

    def test_runs_of_this_host_come_first(self, tmp_path):
        make(tmp_path, "there", host="another", seconds=100.0)
        store = RunStore(tmp_path)
        assert store.seconds_per_iteration(CONFIG) == 1.0
        make(tmp_path, "here", changed(model__filter={"type": "TrustAll"}), seconds=500.0)
        assert store.seconds_per_iteration(CONFIG) == 5.0

    @pytest.mark.parametrize(("iteration", "expected"), [(49, None), (50, 4.0)])
    def test_an_unfinished_run_counts_from_half_way(self, tmp_path, iteration, expected):
        make(tmp_path, state="interrupted", iteration=iteration, seconds=200.0)
        assert RunStore(tmp_path).seconds_per_iteration(CONFIG) == expected

    def test_a_finished_run_that_says_no_time_is_none(self, tmp_path):
        make(tmp_path, iteration=0, seconds=0.0)
        assert RunStore(tmp_path).pace(CONFIG) is None

    def test_evaluations_on_the_way_are_part_of_the_time(self, tmp_path):
        run = make(tmp_path)
        for iteration, seconds in ((50, 3.0), (100, 5.0)):
            evaluate(run, f"iter_{iteration:06d}", {"iter": iteration, "seconds": seconds}, {})
        final(run, seconds=1000.0)
        found = RunStore(tmp_path).pace(CONFIG)
        assert (found.iteration, found.evaluation) == (2.0, 4.0)
        assert found.seconds(100) == 200.0
        assert found.seconds(100, 30) == 200.0 + 4 * 4.0  # at 30, 60, 90 and 100
        assert found.seconds(100, 30, done=60) == 80.0 + 2 * 4.0
        assert found.seconds(100, 50, done=100) == 0.0

    def test_a_config_is_read_as_it_loads(self, tmp_path):
        for name in catalogue.names():
            config = catalogue.load(name)
            (tmp_path / "config.py").write_text(catalogue.to_text(config))
            assert workload.workload_of_file(tmp_path / "config.py") == workload.workload_of(config)

    @pytest.mark.parametrize("text", ["model = dict(", "model = open('x')", "\0", "a = 1\nb = c\n"])
    def test_a_damaged_config_is_passed_over_and_never_executed(self, tmp_path, text):
        (make(tmp_path).path / "config.py").write_text(text)
        assert RunStore(tmp_path).pace(CONFIG) is None

    def test_configs_of_any_trainer(self, tmp_path):
        make(tmp_path, config={"steps": 5, "name": "toy"}, seconds=50.0)
        assert RunStore(tmp_path).seconds_per_iteration({"steps": 5, "name": "toy"}) == 0.5


class TestRemoval:
    def refused(self, store):
        (stored,) = store.runs()
        with pytest.raises(UserError) as error:
            store.remove(stored)
        assert stored.path.exists()
        return str(error.value)

    def test_the_folder_goes_and_nothing_else(self, tmp_path):
        make(tmp_path, "a", evaluations=[10])
        other = make(tmp_path, "b")
        (tmp_path / TRASH / "left-by-a-killed-removal").mkdir(parents=True)
        store = RunStore(tmp_path)
        store.remove(store.find("print-a"))
        assert sorted(tmp_path.iterdir()) == [other.path]

    def test_what_a_link_inside_points_at_stays(self, tmp_path):
        outside = tmp_path / "precious"
        outside.mkdir()
        (outside / "file").write_text("x")
        run = make(tmp_path / "store")
        (run.path / "link").symlink_to(outside)
        store = RunStore(tmp_path / "store")
        store.remove(*store.runs())
        assert not run.path.exists()
        assert (outside / "file").exists()

    def test_not_one_that_is_at_work(self, tmp_path):
        make(tmp_path, state="running", pid=os.getpid())
        assert f"process {os.getpid()} is at work" in self.refused(RunStore(tmp_path))

    def test_not_one_that_began_since_it_was_listed(self, tmp_path):
        make(tmp_path, state="failed")
        store = RunStore(tmp_path)
        (stored,) = store.runs()
        make(tmp_path, state="running", pid=os.getpid())
        with pytest.raises(UserError, match="at work"):
            store.remove(stored)
        assert stored.path.exists()

    def test_not_one_on_another_host(self, tmp_path):
        make(tmp_path, state="running", host="another")
        assert "cannot be seen from here" in self.refused(RunStore(tmp_path))

    def test_one_that_died_may_go(self, tmp_path):
        run = make(tmp_path, state="running")
        store = RunStore(tmp_path)
        store.remove(*store.runs())
        assert not run.path.exists()

    @pytest.mark.parametrize("root", [".", "sub"])
    def test_not_one_that_a_training_holds(self, tmp_path, root):
        run = make(tmp_path, "sub/a", state="interrupted")
        with hold(run.path):
            assert "holds it" in self.refused(RunStore(tmp_path / root))
        store = RunStore(tmp_path / root)
        store.remove(*store.runs())
        assert not run.path.exists()

    def test_a_dead_trainings_run_may_go(self, tmp_path):
        run = make(tmp_path, state="interrupted")
        note = {"host": process.host(), "pid": NOBODY, "since": "", "beat": 3}
        (run.path / FILE).write_text(json.dumps(note))
        store = RunStore(tmp_path)
        store.remove(*store.runs())
        assert not run.path.exists()

    def test_nothing_outside_the_store(self, tmp_path):
        run = make(tmp_path / "elsewhere")
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "link").symlink_to(run.path)
        assert "outside" in self.refused(RunStore(tmp_path / "store"))
        assert "outside" in self.refused(RunStore(run.path))  # nor the store itself

    def test_not_another_run_in_its_place(self, tmp_path):
        make(tmp_path)
        store = RunStore(tmp_path)
        (stored,) = store.runs()
        make(tmp_path, fingerprint="new")
        with pytest.raises(UserError, match="another run"):
            store.remove(stored)
        assert stored.path.exists()


def test_a_thousand_runs_are_read_in_seconds(tmp_path):
    """The figure (benchmarks/store.py) with room for a busy machine: processor time of this process alone."""
    first = make(tmp_path, ".first", evaluations=range(10, 80, 10))
    status = json.loads((first.path / "status.json").read_text())
    for k in range(1000):
        folder = tmp_path / f"run-{k:04d}"
        (folder / "evaluation").mkdir(parents=True)
        os.link(first.config_path, folder / "config.py")
        (folder / "status.json").write_text(json.dumps({**status, "fingerprint": f"{k:04d}"}))
        for each in (first.path / "evaluation").iterdir():
            (folder / "evaluation" / each.name).mkdir()
            os.link(each / "metrics.json", folder / "evaluation" / each.name / "metrics.json")
    store = RunStore(tmp_path)
    start = time.process_time()
    frame = store.frame()
    assert time.process_time() - start < 2
    assert len(frame) == 7000
    assert frame["last"].sum() == 1000


def test_frames_survive_a_csv(tmp_path):
    make(tmp_path, evaluations=[10, 20])
    frame = RunStore(tmp_path).frame()
    rows = list(csv.DictReader(io.StringIO(frame.to_csv(index=False))))
    assert [float(row["value"]) for row in rows] == [10.0, 20.0]
    assert [row["last"] for row in rows] == ["False", "True"]
