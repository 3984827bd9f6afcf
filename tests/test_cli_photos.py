"""One's own photos in one line: ``dupl train FOLDER``, ``dupl data tags``, and ``dupl infer`` with the newest run."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl import api
from dupl.cli import main
from dupl.data.photo_folder import open_photos
from dupl.engine import suggest
from dupl.registry import DATASETS

SHORT = [
    "schedule.iterations=4",
    "schedule.warmup=1",
    "schedule.batch_size=2",
    "schedule.images_per_loss=2",
    "evaluation.interval=2",
    "model.segmentation.start=1",
    "model.patch_contrast.start=1",
    "model.noise_filter.start=2",
    "model.consistency.start=2",
]


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """Ten photos of a bright square (cat) or a dark one (dog), and ``tags.csv`` beside their folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = ["image,tags"]
    for i in range(10):
        pixels = np.random.default_rng(i).integers(90, 110, (48, 64, 3)).astype(np.uint8)
        pixels[8:24, 8:24] = (230, 20)[i % 2]
        Image.fromarray(pixels).save(folder / f"{i}.jpg")
        rows.append(f"{i}.jpg,{('cat', 'dog')[i % 2]}")
    Path("tags.csv").write_text("\n".join(rows) + "\n")
    return folder


def refused(capsys, *words: object) -> str:
    """The one line by which a command is refused."""
    assert main([*map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = (one for one in err.splitlines() if one.startswith("dupl: "))
    return line


def into_class_folders(folder: Path) -> None:
    for row in csv.DictReader(Path("tags.csv").read_text().splitlines()):
        (folder / row["tags"]).mkdir(exist_ok=True)
        shutil.move(folder / row["image"], folder / row["tags"] / row["image"])


def test_trains_and_ends_with_a_page_of_masks(photos, capsys):
    words = ["train", "photos/", "--tags", "tags.csv", "--base", "demo/ablation", "--set", *SHORT]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "10 photos, 2 classes by tags.csv: cat 5, dog 5" in err
    assert "2 of them are held out of training" in err
    assert "wrote photos.py" in err
    page = Path(out.strip().removeprefix("masks of your photos: "))
    text = page.read_text()
    assert text.count("<figure") == 10 and "student 2" in text and ">cat<" in text
    run = page.parent.parent
    assert sorted(path.stem for path in (run / "masks" / "masks").iterdir()) == sorted(map(str, range(10)))
    config = api.load_recipe("photos.py")
    assert config.data.train.of.to_dict() == {
        "type": "TaggedFolder",
        "root": "photos",
        "images": ".",
        "masks": None,
        "tags": "../tags.csv",
        "classes": ["cat", "dog"],
    }

    # repeated, nothing is written or trained again; infer takes the run
    assert main(words) == 0
    assert "wrote" not in (err := capsys.readouterr().err) and f"{run} is trained already" in err
    assert main(["infer", "photos", "--out", "out", "--export", "coco", "labelme"]) == 0
    err = capsys.readouterr().err
    assert f"run {run}: the newest finished one" in err and "out/index.html" in err
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 10
    assert Path("out/labelme/0.json").is_file()
    assert main(["infer", str(run), "photos/0.jpg", "--out", "one"]) == 0


def test_folders_named_by_class_need_no_table(photos, capsys):
    into_class_folders(photos)
    assert main(["train", "photos", "--base", "demo/ablation", "--set", *SHORT]) == 0
    out, err = capsys.readouterr()
    assert "by the folders of photos: cat 5, dog 5" in err
    page = Path(out.strip().removeprefix("masks of your photos: "))
    assert (page.parent / "masks" / "cat" / "0.png").is_file()
    assert (page.parent / "overlays" / "dog" / "1.jpg").is_file()


def test_both_parts_have_every_class(photos):
    for part in open_photos(photos, "tags.csv").parts().values():
        built = DATASETS.build(dict(part))
        assert np.stack([built.tags(i) for i in range(len(built))]).max(0).tolist() == [1, 1]


def test_what_is_chosen_for_the_machine(photos, monkeypatch, capsys):
    assert main(["new", "mine", "--data", "photos", "--tags", "tags.csv", "--base", "auto"]) == 0
    config = api.load_recipe("mine.py")
    assert config.model.network.backbone.name.startswith("deit_tiny")
    assert config.schedule.iterations == 300 and config.model.noise_filter.start == 180
    assert config.evaluation.size == config.data.augment.crop == 160
    assert "DeiT-tiny at 160 px, because torch sees no GPU" in capsys.readouterr().err

    class Card:
        name, total_memory = "a GPU", 24 << 30

    monkeypatch.setattr(suggest.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(suggest.torch.cuda, "get_device_properties", lambda _: Card)
    assert suggest.suggest_network().base == "voc/dupl" and "24 GiB" in suggest.suggest_network().reason
    Card.total_memory = 8 << 30
    assert main(["new", "small", "--data", "photos", "--tags", "tags.csv", "--base", "auto"]) == 0
    assert api.load_recipe("small.py").evaluation.size == 320


@pytest.mark.parametrize(
    ("photos_", "iterations"), [(8, 300), (32, 300), (100, 800), (1785, 1000)], ids=["few", "32", "100", "many"]
)
def test_iterations_follow_the_number_of_photos(photos_, iterations):
    assert suggest.suggest_iterations(photos_, 4, 1000) == iterations


def test_a_table_to_fill_in(photos, capsys):
    Path("tags.csv").unlink()
    assert "`dupl data tags photos` writes one" in refused(capsys, "train", "photos")
    assert main(["data", "tags", "photos"]) == 0
    assert capsys.readouterr().out.splitlines() == ["    10  without a tag yet", "wrote tags.csv"]
    assert Path("tags.csv").read_text().splitlines()[:2] == ["image,tags", "0.jpg,?"]
    assert "tags.csv, line 2: '?' is not filled in" in refused(capsys, "train", "photos", "--tags", "tags.csv")
    assert "tags.csv exists" in refused(capsys, "data", "tags", "photos")
    into = Path("filled.csv")
    into.write_text(Path("tags.csv").read_text().replace("?", "cat", 3).replace("?", ""))
    assert open_photos(photos, into).counts == {"cat": 3}, "photos without the only class tell it apart"


def test_a_table_of_class_folders_is_filled_in(photos, capsys):
    into_class_folders(photos)
    Path("tags.csv").unlink()
    assert main(["data", "tags", "photos", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": "tags.csv", "photos": {"cat": 5, "dog": 5}}
    assert open_photos(photos, "tags.csv").counts == {"cat": 5, "dog": 5}


class TestBadInput:
    """Each is one line that names the file and what to do."""

    def refuse(self, capsys, text: str | None = None) -> str:
        if text is not None:
            Path("tags.csv").write_text(text)
        line = refused(capsys, "train", "photos", "--tags", "tags.csv")
        assert not list(Path().glob("*.py")), "no recipe is left behind"
        return line

    def test_a_photo_without_a_line(self, photos, capsys):
        line = self.refuse(capsys, Path("tags.csv").read_text().replace("9.jpg,dog\n", "").replace("8.jpg,cat\n", ""))
        assert line == "dupl: photos/8.jpg and 1 more: no line in tags.csv; add one per photo, or move the photo away"

    def test_a_line_without_a_photo(self, photos, capsys):
        assert "there is no photo photos/x.jpg" in self.refuse(capsys, Path("tags.csv").read_text() + "x.jpg,cat\n")

    def test_mixed_case(self, photos, capsys):
        text = Path("tags.csv").read_text().replace("0.jpg,cat", "0.jpg,Cat")
        assert "tags.csv, line 4: class 'cat' beside 'Cat' (tags.csv, line 2)" in self.refuse(capsys, text)

    def test_mixed_case_of_folders(self, photos, capsys):
        into_class_folders(photos)
        (photos / "Cat").mkdir()
        shutil.move(photos / "cat" / "0.jpg", photos / "Cat" / "0.jpg")
        assert "class 'cat' beside 'Cat'" in refused(capsys, "train", "photos")

    def test_a_photo_beside_the_folders_of_classes(self, photos, capsys):
        into_class_folders(photos)
        shutil.copy(photos / "cat" / "0.jpg", photos / "z.jpg")
        assert "nothing says what the photos show" in refused(capsys, "train", "photos")

    def test_one_class_only(self, photos, capsys):
        text = Path("tags.csv").read_text().replace("dog", "cat")
        assert "tags.csv: every photo shows cat, the only class" in self.refuse(capsys, text)

    def test_no_photo(self, photos, capsys):
        for photo in photos.iterdir():
            photo.unlink()
        assert self.refuse(capsys).startswith("dupl: photos holds no photos (.bmp, ")

    def test_an_unreadable_photo(self, photos, capsys):
        (photos / "3.jpg").write_bytes(b"no photo")
        words = ["train", "photos", "--tags", "tags.csv", "--base", "demo/ablation", "--set", *SHORT]
        line = refused(capsys, *words)
        assert "photos/3.jpg" in line and line.endswith("replace the file")
        (photos / "4.jpg").write_bytes(b"no photo")
        assert "1 more are listed by: dupl data check photos.py" in refused(capsys, *words)

    def test_another_recipe_of_that_name(self, photos, capsys):
        Path("photos.py").write_text('"""Mine."""\n')
        line = refused(capsys, "train", "photos", "--tags", "tags.csv")
        assert "photos.py exists and says something else" in line and Path("photos.py").read_text() == '"""Mine."""\n'

    def test_a_folder_that_is_not_there(self, photos, capsys):
        assert "no recipe nowhere" in refused(capsys, "train", "nowhere")
        assert "nowhere is none" in refused(capsys, "train", "nowhere", "--tags", "tags.csv")
        assert "there is no such folder" in refused(capsys, "data", "tags", "nowhere")

    def test_a_table_that_is_not_there(self, photos, capsys):
        assert "table of tags not found: no.csv" in refused(capsys, "train", "photos", "--tags", "no.csv")

    @pytest.mark.parametrize(
        ("old", "new", "encoding"), [(",", ";", "utf-8-sig"), (",", "\t", "utf-8")], ids=["BOM and semicolons", "tabs"]
    )
    def test_what_a_spreadsheet_writes_is_read(self, photos, old, new, encoding):
        Path("tags.csv").write_text(Path("tags.csv").read_text().replace(old, new), encoding=encoding)
        assert open_photos(photos, "tags.csv").counts == {"cat": 5, "dog": 5}

    def test_infer_without_a_run(self, photos, capsys):
        line = refused(capsys, "infer", "photos", "--out", "out")
        assert line == "dupl: runs holds no finished run: name one, or train one first (dupl train)"
        assert "is neither a run's folder nor a recipe" in refused(capsys, "infer", "nowhere", "photos", "--out", "out")

    def test_no_such_class(self, photos, capsys, trained):
        os.mkdir("runs")
        shutil.copytree(trained, "runs/trained")
        line = refused(capsys, "infer", "photos", "--out", "out", "--tags", "unicorn")
        assert "no class 'unicorn'; there are" in line
