"""Batches by position, and how processes share the losses of a step."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from dupl.cli import main
from dupl.config import catalogue, overrides
from dupl.config.batch import Batch, plan_batch
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
    @pytest.mark.parametrize(
        ("processes", "images", "losses"), [(1, 8, 1), (1, 2, 4), (2, 4, 1), (2, 2, 2), (4, 2, 1), (8, 1, 1)]
    )
    def test_the_losses_of_a_process_are_derived(self, processes, images, losses):
        batch = plan_batch(dict(batch_size=8, images_per_loss=images), processes)
        assert batch == Batch(processes, losses, images)
        assert batch.images == 8 and batch.images_of_process == 8 // processes

    def test_it_describes_itself(self):
        texts = [str(plan_batch(dict(batch_size=8, images_per_loss=2), n)) for n in (1, 4)]
        assert texts[0] == "batch 8 = 1 process x 4 losses x 2 images per loss"
        assert texts[1] == "batch 8 = 4 processes x 1 loss x 2 images per loss"

    @pytest.mark.parametrize(("processes", "images", "start"), [(3, 2, "1, 2 or 4"), (8, 2, "1, 2 or 4"), (2, 8, "1")])
    def test_processes_that_cannot_share_the_losses_are_refused(self, processes, images, start):
        with pytest.raises(UserError) as caught:
            plan_batch(dict(batch_size=8, images_per_loss=images), processes)
        message = str(caught.value)
        assert message.startswith(f"{processes} processes cannot share a step of {8 // images} loss")
        assert message.endswith(f"(schedule.batch_size=8 / schedule.images_per_loss={images}): start {start}")

    @pytest.mark.parametrize("images", [3, 16])
    def test_images_that_do_not_divide_the_batch_are_refused(self, images):
        with pytest.raises(UserError) as caught:
            plan_batch(dict(batch_size=8, images_per_loss=images))
        assert str(caught.value) == (
            f"schedule.batch_size is 8 and schedule.images_per_loss {images}: the batch must be a multiple; "
            "set images_per_loss to 1, 2, 4 or 8, or another batch_size"
        )

    @pytest.mark.parametrize("changes", [dict(images_per_loss=0), dict(batch_size=0), dict(iterations=-5)])
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
    for losses in (1, 2):
        folder = tmp_path / f"losses{losses}"
        sets = only_classification([f"schedule.images_per_loss={4 // losses}"])
        assert main(["train", tiny, "--work-dir", str(folder), "--set", *sets]) == 0
        file = folder / "checkpoints" / "iter_000003.pth"
        weights[losses] = torch.load(file, weights_only=True)["state_dict"]
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
