"""Masks, overlays and heat maps of any images, with and without tags."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dupl.cli import main
from dupl.data.files import read_image
from dupl.data.tag_table import read_tag_table
from dupl.engine.checkpoints import newest_valid
from dupl.engine.choose_student import choose_student
from dupl.engine.image_files import find_images, left_out
from dupl.engine.image_tags import read_tags
from dupl.engine.infer import infer
from dupl.engine.predict import Prediction, infer_image
from dupl.engine.restore import restore
from dupl.errors import UserError
from dupl.palette import colormap
from dupl.runs.run import Run

CLASSES = ("background", "cat", "traffic light", "dog")
# name -> mode, size (width, height) as stored
PHOTOS = {
    "colour.jpg": ("RGB", (50, 37)),
    "grey.png": ("L", (20, 64)),
    "clear.png": ("RGBA", (33, 33)),
    "print.jpg": ("CMYK", (41, 30)),
    "small.bmp": ("RGB", (3, 5)),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder of photos in many modes, one turned by its EXIF orientation, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, (mode, size) in PHOTOS.items():
        pixels = rng.integers(0, 255, (size[1], size[0], len(Image.new(mode, (1, 1)).getbands())), dtype=np.uint8)
        Image.fromarray(pixels.squeeze(), mode).save(folder / name)
    turned = Image.fromarray(rng.integers(0, 255, (24, 60, 3), dtype=np.uint8))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned.save(folder / "turned.jpg", exif=exif)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def restored(trained):
    return restore(str(trained), "last", [])


@pytest.fixture(scope="module")
def model(restored):
    return restored.model(restored.classes())


def table(out: Path) -> dict[str, dict[str, str]]:
    return {row["image"]: row for row in csv.DictReader((out / "tags.csv").read_text().splitlines())}


def better_student(run: Path) -> str:
    """The student with the higher mIoU on val at the end of a run."""
    last = [row for row in Run(run).scalars() if "seg/1/mIoU" in row][-1]
    return max("12", key=lambda s: last[f"seg/{s}/mIoU"])


def stems(folder: Path) -> list[str]:
    return sorted(f.stem for f in folder.iterdir())


class TestCommand:
    def test_without_tags_images_of_every_kind(self, trained, photos, tmp_path, capsys):
        out = tmp_path / "out"
        assert main(["infer", str(trained), str(photos), "--out", str(out)]) == 0
        assert f"6 of 6 images written to {out}" in capsys.readouterr().err
        sizes = {Path(name).stem: size for name, (_, size) in PHOTOS.items()} | {"turned": (24, 60)}
        assert stems(out / "masks") == stems(out / "overlays") == sorted(sizes)
        for stem, size in sizes.items():
            with (
                Image.open(out / "masks" / f"{stem}.png") as mask,
                Image.open(out / "overlays" / f"{stem}.jpg") as seen,
            ):
                assert mask.mode == "P"
                assert mask.size == seen.size == size
                assert np.asarray(mask).max() <= 6
                assert mask.getpalette()[:21] == colormap(7).ravel().tolist()
        listed = table(out)
        assert set(listed) == {*PHOTOS, "turned.jpg"}
        cams = {f"{Path(n).stem}_{c}" for n, row in listed.items() for c in row["tags"].split(";") if c}
        assert set(stems(out / "cams")) == cams
        for row in listed.values():
            chances = [float(s) for s in row["probabilities"].split(";") if s]
            assert len(chances) == len([c for c in row["tags"].split(";") if c])
            assert all(0.5 <= s <= 1 for s in chances), "predicted classes have a positive score"
        for file in (out / "cams").iterdir():
            with Image.open(file) as heat:
                assert heat.size == sizes[file.stem.rsplit("_", 1)[0]]

    def test_tags_for_all_images(self, trained, photos, restored, tmp_path):
        first, second = restored.classes()[1:3]
        argv = ["infer", str(trained), str(photos / "colour.jpg"), str(photos / "grey.png"), "--out", str(tmp_path)]
        assert main([*argv, "--tags", f"{first},{second}"]) == 0
        assert {row["tags"] for row in table(tmp_path).values()} == {f"{first};{second}"}
        assert len(stems(tmp_path / "cams")) == 4

    def test_tags_from_a_table_and_from_ones_own_output(self, trained, photos, restored, tmp_path):
        first, second = restored.classes()[1:3]
        sheet = tmp_path / "mine.csv"
        sheet.write_text(f"image,tags\ncolour.jpg,{first} {second}\ngrey,\nother.jpg,{first}\n")
        argv = ["infer", str(trained), str(photos / "colour.jpg"), str(photos / "grey.png"), "--out"]
        assert main([*argv, str(tmp_path / "a"), "--tags", str(sheet)]) == 0
        listed = table(tmp_path / "a")
        assert listed["colour.jpg"]["tags"] == f"{first};{second}"
        assert listed["grey.png"]["tags"] == ""
        assert stems(tmp_path / "a" / "cams") == sorted(f"colour_{c}" for c in (first, second))
        assert main([*argv, str(tmp_path / "b"), "--tags", str(tmp_path / "a" / "tags.csv")]) == 0
        assert table(tmp_path / "b") == listed

    def test_an_unreadable_image_is_passed_over(self, trained, photos, tmp_path, capsys):
        (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
        out = tmp_path / "out"
        images = [str(photos / "colour.jpg"), str(tmp_path / "broken.jpg"), str(photos / "grey.png")]
        assert main(["infer", str(trained), *images, "--out", str(out)]) == 2
        lines = capsys.readouterr().err.splitlines()
        passed = [line for line in lines if line.startswith("skipped: ")]
        assert len(passed) == 1
        assert "broken.jpg" in passed[0]
        assert not [line for line in lines if "Traceback" in line]
        assert any(line.startswith("2 of 3 images written") for line in lines)
        assert stems(out / "masks") == ["colour", "grey"]
        assert set(table(out)) == {"colour.jpg", "grey.png"}

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            (["--student", "3"], "student 3: this model has mean, best, 1, 2"),
            (["--crf"], "--crf: only with --voc-submission"),
            (["--no-crf", "--present-only"], "--crf, --present-only: only with --voc-submission"),
            (["--root", "VOC2012"], "--root: only with --voc-submission"),
            (["--root", "VOC2012", "--split", "val"], "neither images, --tags, --export, --root nor --crf"),
            (["--tags", "unicorn"], "tags: no class 'unicorn'; there are"),
            (["--tags", "nowhere.csv"], "nowhere.csv"),
            (["--checkpoint", "nowhere.pth"], "no checkpoint nowhere.pth"),
        ],
    )
    def test_a_mistake_is_one_line(self, trained, photos, tmp_path, capsys, changes, told):
        assert main(["infer", str(trained), str(photos), "--out", str(tmp_path / "out"), *changes]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
        assert not (tmp_path / "out").exists()

    def test_a_name_with_a_comma(self, trained, photos, tmp_path):
        odd = tmp_path / 'a, "b".png'
        odd.write_bytes((photos / "clear.png").read_bytes())
        assert main(["infer", str(trained), str(odd), "--out", str(tmp_path / "out")]) == 0
        assert set(table(tmp_path / "out")) == {odd.name}
        assert odd.stem in read_tag_table(tmp_path / "out" / "tags.csv").tags

    def test_what_is_not_its_own_is_not_written_over(self, trained, photos, tmp_path, capsys):
        (tmp_path / "tags.csv").write_text("image,tags,split\nclear.png,cat,train\n")
        argv = ["infer", str(trained), str(photos / "clear.png"), "--out", str(tmp_path)]
        assert main(argv) == 2
        assert "tags.csv was not written by dupl infer, which would overwrite it" in capsys.readouterr().err
        assert (tmp_path / "tags.csv").read_text().startswith("image,tags,split")
        (tmp_path / "tags.csv").unlink()
        assert main(argv) == main(argv) == 0, "its own are"
        note = json.loads((tmp_path / "infer.json").read_text())
        assert Path(note["weights"]).name == newest_valid(trained)[0].name, "the last weights"
        assert note["student"] == better_student(trained)

    def test_memory_that_runs_out(self, trained, photos, tmp_path, capsys, monkeypatch):
        whole = infer_image

        def greedy(model, image, *others):
            if image.shape[:2] == (30, 41):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 5.00 GiB")
            return whole(model, image, *others)

        monkeypatch.setattr("dupl.engine.infer.infer_image", greedy)
        argv = ["infer", str(trained), str(photos / "clear.png"), str(photos / "print.jpg"), "--out", str(tmp_path)]
        assert main(argv) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dupl: ")]
        assert "out of memory on the GPU" in line
        assert set(table(tmp_path)) == {"clear.png"}

    @pytest.mark.skipif(sys.platform == "darwin", reason="every name is UTF-8 there")
    def test_a_name_that_is_no_utf8(self, trained, photos, tmp_path):
        odd = tmp_path / os.fsdecode(b"caf\xe9") / os.fsdecode(b"\xe9t\xe9.png")
        odd.parent.mkdir()
        odd.write_bytes((photos / "clear.png").read_bytes())
        out = tmp_path / os.fsdecode(b"out\xe9")
        assert main(["infer", str(trained), str(odd.parent), "--out", str(out)]) == 0
        assert set(table(out)) == {r"\udce9t\udce9.png"}
        assert (out / "masks" / odd.name).is_file()


class TestImages:
    def test_folders_and_files(self, photos):
        names = sorted([*PHOTOS, "turned.jpg"])
        assert [f.name for f in find_images([photos])] == names
        assert [f.name for f in find_images([photos / "grey.png", photos / "clear.png"])] == ["grey.png", "clear.png"]

    def test_two_images_of_one_name_are_refused(self, photos, tmp_path):
        (tmp_path / "grey.jpg").write_bytes(b"")
        with pytest.raises(UserError, match=r"grey\.png and .*grey\.jpg would both be written as grey"):
            find_images([photos, tmp_path / "grey.jpg"])

    def test_nothing_there(self, photos, tmp_path):
        with pytest.raises(UserError, match="no image .*nowhere"):
            find_images([tmp_path / "nowhere.jpg"])
        with pytest.raises(UserError, match="holds no images"):
            find_images([tmp_path])

    def test_hidden_files_do_not_count_and_the_rest_is_named(self, tmp_path):
        for name in ("a.jpg", "b.jfif", "c.jp2", "._a.jpg", "d.heic", "e.AVIF", "notes.txt", "sub/f.jpg"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        assert [f.name for f in find_images([tmp_path])] == ["a.jpg", "b.jfif", "c.jp2"]
        assert left_out([tmp_path, tmp_path / "a.jpg"]) == [
            f"left out of {tmp_path}: d.heic, e.AVIF (convert them to JPEG or PNG) and the sub-folders sub "
            "(name them on the command line)"
        ]
        for file in tmp_path.glob("*.j*"):
            file.unlink()
        with pytest.raises(UserError, match="holds no images .*left out of .*d.heic, e.AVIF"):
            find_images([tmp_path])

    @pytest.mark.parametrize("form", ["JPEG", "JPEG2000"])
    def test_jfif_and_jp2_are_read(self, tmp_path, form):
        file = tmp_path / ("a.jfif" if form == "JPEG" else "a.jp2")
        Image.new("RGB", (9, 7), (10, 200, 30)).save(file, form)
        assert abs(read_image(file).astype(int) - (10, 200, 30)).max() < 9


class TestStudent:
    def test_the_better_one_on_val_at_these_weights(self, trained, restored, monkeypatch):
        rows = [{"iter": restored.iteration, "seg/1/mIoU": 40.0, "seg/2/mIoU": 45.0}]
        rows += [{"iter": restored.iteration + 1, "seg/1/mIoU": 90.0, "seg/2/mIoU": 0.0}]
        monkeypatch.setattr(Run, "scalars", lambda self: rows)
        for asked in (None, "best"):
            chosen = choose_student(restored, asked, 2)
            assert chosen.name == "2"
            reason = f"the better one on val at iteration {restored.iteration}: mIoU 45.0 against 40.0 of student 1"
            assert chosen.reason == reason
        assert choose_student(restored, "1", 2).name == "1"
        assert choose_student(restored, "mean", 2).name == "mean"

    def test_the_mean_where_nothing_was_scored(self, trained, restored, monkeypatch, tmp_path):
        copied = tmp_path / "copied.pth"
        copied.write_bytes(restored.checkpoint.read_bytes())
        elsewhere = restore(str(trained), str(copied), [])
        assert choose_student(elsewhere, None, 2).name == "mean"
        with pytest.raises(UserError, match=r"student best: no mIoU on val is recorded for .*copied\.pth"):
            choose_student(elsewhere, "best", 2)
        monkeypatch.setattr(Run, "scalars", lambda self: [{"iter": restored.iteration, "L_cls": 0.5}])
        assert choose_student(restored, None, 2).name == "mean"


class TestTags:
    FILES = (Path("x/a.jpg"), Path("b.png"))

    @pytest.mark.parametrize("text", ["cat,dog", "cat dog", "cat, dog", " dog cat".strip()])
    def test_a_list(self, text):
        assert {k: set(v) for k, v in read_tags(text, self.FILES, CLASSES).items()} == dict.fromkeys(
            "ab", {"cat", "dog"}
        )

    def test_a_class_with_a_space(self):
        assert read_tags("traffic light,cat", self.FILES, CLASSES)["a"] == ("traffic light", "cat")

    def test_background_is_no_tag(self):
        with pytest.raises(UserError, match="no class 'background'"):
            read_tags("background", self.FILES, CLASSES)

    def test_a_table_must_name_every_image(self, tmp_path):
        (tmp_path / "t.csv").write_text("image,tags\na.jpg,cat;traffic light\n")
        with pytest.raises(UserError, match=r"t\.csv has no row for b\.png$"):
            read_tags(str(tmp_path / "t.csv"), self.FILES, CLASSES)
        with pytest.raises(UserError, match=r"no row for b\.png and 1 more$"):
            read_tags(str(tmp_path / "t.csv"), [*self.FILES, Path("c.png")], CLASSES)
        assert read_tags(str(tmp_path / "t.csv"), self.FILES[:1], CLASSES) == {"a": ("cat", "traffic light")}


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 255, (40, 52, 3), dtype=np.uint8)


class TestModel:
    def test_students_and_their_mean(self, model, restored, image):
        classes = restored.classes()
        tags = classes[1:3]
        found = {s: infer_image(model, image, classes, 32, tags, s) for s in ("1", "2", "mean")}
        one, two, mean = found["1"], found["2"], found["mean"]
        assert not np.array_equal(one.scores, two.scores)
        np.testing.assert_allclose(mean.scores, (one.scores + two.scores) / 2, rtol=1e-5, atol=1e-6)
        for name in tags:
            np.testing.assert_allclose(mean.cams[name], (one.cams[name] + two.cams[name]) / 2, rtol=1e-5, atol=1e-6)
        for answer in found.values():
            assert list(answer.cams) == list(tags)
            assert answer.mask.shape == (40, 52)
            assert all(heat.min() >= 0 and heat.max() < 1 for heat in answer.cams.values())

    def test_predicted_tags_gate_the_cams(self, model, restored, image):
        classes = restored.classes()
        found = infer_image(model, image, classes, 32)
        assert list(found.cams) == [c for c, score in zip(classes[1:], found.scores, strict=True) if score > 0]

    def test_no_class_no_cam_but_a_mask(self, model, restored, image):
        found = infer_image(model, image, restored.classes(), 32, tags=())
        assert found.cams == {}
        assert found.mask.shape == (40, 52)

    def test_masks_by_tags_hold_nothing_else(self, model, restored, image):
        classes = restored.classes()
        free = infer_image(model, image, classes, 32, tags=())
        assert not infer_image(model, image, classes, 32, (), "mean", True).mask.any()
        for k in range(1, len(classes)):
            held = infer_image(model, image, classes, 32, classes[k : k + 1], "mean", True).mask
            assert set(np.unique(held)) <= {0, k}
            assert (held[free.mask == k] == k).all(), "the tagged class keeps its pixels"
            assert (held[free.mask == 0] == 0).all()
        everything = infer_image(model, image, classes, 32, classes[1:], "mean", True)
        assert np.array_equal(everything.mask, free.mask)

    def test_masks_beside_the_tags_are_told(self, tmp_path, monkeypatch):
        cams = {"a": np.zeros((8, 8), np.float32)}
        found = Prediction(np.full((8, 8), 2, np.uint8), np.array([1.0, -1.0]), cams, tuple("oab"))
        monkeypatch.setattr("dupl.engine.infer.infer_image", lambda *_: found)
        lines: list[str] = []
        Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
        infer(torch.nn.Identity(), [tmp_path / "photo.png"], "oab", 8, tmp_path / "out", tell=lines.append)
        assert lines == ["masks of 1 images hold classes that are not among their tags; --by-tags leaves these out"]
        assert table(tmp_path / "out")["photo.png"] == {"image": "photo.png", "tags": "a", "probabilities": "0.7311"}

    def test_it_says_what_the_evaluation_says(self, model, restored):
        from dupl.data.views import EvalView
        from dupl.engine import build
        from dupl.method.cam import Present

        source = build.build_dataset(restored.config, "val")
        sample = EvalView(source, 32)[0]
        ((_, logits, _), _) = model.predict(sample["image"][None], Present.of(sample["tags"][None]))
        labels = torch.nn.functional.interpolate(logits, (32, 32), mode="bilinear", align_corners=False).argmax(1)[0]
        found = infer_image(model, source.image(0), source.classes, 32, student="1")
        assert np.array_equal(found.mask, labels.numpy())
