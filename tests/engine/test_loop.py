"""Batches by position, micro-batches, and how the effective batch comes about."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from dupl.cli import main
from dupl.config import catalogue, overrides
from dupl.engine.training.batch import Batch, plan_batch
from dupl.engine.training.loop import PositionSampler, split
from dupl.engine.training.validate import check_config
from dupl.errors import UserError


def batches(sampler: PositionSampler, count: int) -> list[list[tuple[int, int]]]:
    """What the next iterations of a process get."""
    part, stream = sampler.batch // sampler.world, iter(sampler)
    return [list(islice(stream, part)) for _ in range(count)]


class TestPositionSampler:
    @pytest.mark.parametrize(("size", "batch"), [(24, 4), (10, 4), (3, 8), (7, 7), (1, 2)])
    def test_each_epoch_is_a_permutation(self, size, batch):
        drawn = list(islice(PositionSampler(size, batch, seed=3), 6 * size))
        epochs = [drawn[i * size : (i + 1) * size] for i in range(6)]
        for epoch, pairs in enumerate(epochs):
            assert {e for e, _ in pairs} == {epoch}
            assert sorted(i for _, i in pairs) == list(range(size))
        if size > 3:
            assert len({tuple(i for _, i in pairs) for pairs in epochs}) == 6, "each has its own order"

    @pytest.mark.parametrize(("world", "batch"), [(2, 4), (2, 8), (4, 8)])
    def test_processes_share_the_batch_that_one_would_have(self, world, batch):
        alone = batches(PositionSampler(10, batch, seed=1), 9)
        ranks = [batches(PositionSampler(10, batch, 1, rank, world), 9) for rank in range(world)]
        shared = [[pair for rank in ranks for pair in rank[it]] for it in range(9)]
        assert shared == alone

    @pytest.mark.parametrize("world", [1, 2])
    @pytest.mark.parametrize("start", [0, 1, 5, 23])
    def test_starting_late_is_skipping(self, start, world):
        for rank in range(world):
            whole = batches(PositionSampler(10, 4, 0, rank, world), start + 5)
            late = PositionSampler(10, 4, 0, rank, world)
            late.start_at(start)
            assert batches(late, 5) == whole[start:]

    def test_another_seed_another_order(self):
        one, other = (list(islice(PositionSampler(30, 4, seed), 30)) for seed in (0, 1))
        assert one != other


def test_split_is_consecutive_and_whole():
    batch = {"image": torch.arange(12).view(6, 2), "name": list("abcdef")}
    parts = split(batch, 3)
    assert [p["name"] for p in parts] == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert torch.equal(torch.cat([p["image"] for p in parts]), batch["image"])
    assert split(batch, 1) == [batch]


class TestPlanBatch:
    SCHEDULE = dict(batch_size=8, accumulate=1, per_gpu=None, allow_other_batch=False)

    @pytest.mark.parametrize(("gpus", "accumulate", "per_gpu"), [(1, 1, 8), (2, 1, 4), (8, 1, 1), (1, 4, 2), (2, 2, 2)])
    def test_the_share_of_a_process_is_derived(self, gpus, accumulate, per_gpu):
        batch = plan_batch({**self.SCHEDULE, "accumulate": accumulate}, gpus)
        assert batch == Batch(gpus, per_gpu, accumulate)
        assert batch.effective == 8
        assert str(batch) == f"effective batch 8 = {gpus} process(es) x {per_gpu} x {accumulate} accumulated"

    @pytest.mark.parametrize(
        ("gpus", "changes"), [(3, {}), (16, {}), (1, dict(accumulate=3)), (2, dict(per_gpu=8)), (1, dict(per_gpu=1))]
    )
    def test_another_batch_is_refused_with_the_remedy_unless_allowed(self, gpus, changes):
        schedule = {**self.SCHEDULE, **changes}
        with pytest.raises(UserError) as caught:
            plan_batch(schedule, gpus)
        message = str(caught.value)
        assert "\n" not in message
        for word in ("effective batch", "batch_size is 8", "schedule.accumulate", "schedule.allow_other_batch=True"):
            assert word in message
        assert plan_batch({**schedule, "allow_other_batch": True}, gpus).effective != 8

    @pytest.mark.parametrize("changes", [dict(accumulate=0), dict(per_gpu=-1), dict(batch_size=0), dict(iterations=-5)])
    def test_what_is_no_count_is_refused_before_training(self, tiny, changes):
        config = catalogue.load(tiny)
        config.schedule.update(changes)
        with pytest.raises(UserError, match=f"schedule.{next(iter(changes))} is"):
            check_config(config)


def only_classification(sets: list[str]) -> list[str]:
    """Overrides that leave L_cls alone, of one student, for 3 iterations."""
    off = {
        "model.students.type": "SingleStudent",
        "model.discrepancy": '{"type": "NoDiscrepancy"}',
        "model.weights": '{"ptc": 0, "dis": 0, "seg": 0, "reg": 0}',
        "schedule.iterations": "3",
        "evaluation.interval": "100",
        "data.val": "None",
        "runtime.checkpoint_interval": "100",
    }
    return [f"{path}={value}" for path, value in off.items()] + sets


def test_accumulated_gradients_are_those_of_the_whole_batch(tiny, tmp_path):
    weights = {}
    for accumulate in (1, 2):
        folder = tmp_path / f"accumulate{accumulate}"
        sets = only_classification([f"schedule.accumulate={accumulate}"])
        assert main(["train", tiny, "--work-dir", str(folder), "--set", *sets]) == 0
        file = folder / "checkpoints" / "iter_000003.pth"
        weights[accumulate] = torch.load(file, weights_only=True)["state_dict"]
    config = overrides.apply(catalogue.load(tiny), overrides.parse(only_classification([])))
    lr = config.schedule.lr
    for name, whole in weights[1].items():
        # Adam divides by the gradient's size: where that is near zero, rounding moves a weight by part of a step
        moved = (weights[2][name] - whole).abs()
        assert moved.max() < lr, name
        assert moved.mean() < 1e-3 * lr, name


def test_an_unreadable_photo_in_a_worker_is_told_in_one_line(tiny, tmp_path, capsys):
    from PIL import Image

    root = tmp_path / "photos"
    (root / "images").mkdir(parents=True)
    for name in "abcd":
        Image.new("RGB", (40, 32), "red").save(root / "images" / f"{name}.png")
    (root / "images" / "c.png").write_bytes(b"no image")
    (root / "tags.csv").write_text("image,tags\na,cat\nb,dog\nc,cat dog\nd,cat\n")
    data = f'data.train={{"type": "TaggedFolder", "root": "{root}"}}'
    for workers in (0, 1):
        folder = tmp_path / f"run{workers}"
        argv = ["train", tiny, "--work-dir", str(folder), "--set", data, "data.val=None", f"runtime.workers={workers}"]
        assert main(argv) == 2
        *_, last = capsys.readouterr().err.splitlines()
        assert last.startswith(f"dupl: image cannot be read: {root}/images/c.png")
