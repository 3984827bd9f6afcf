"""What a run is identified by: the content that its training reads, wherever that lies."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from dupl.config import aliases
from dupl.config.fingerprint import config_id
from dupl.data import TaggedFolder, Toy
from dupl.data.file_digests import MISSING, file_digest, file_digests
from dupl.data.identity import Memo, identify
from dupl.data.reads import old_record, read_record

TOY = {"type": "Toy", "split": "train", "size": 32, "count": 4}
LONG_AGO = 1_000_000_000


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DUPL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """Two photos with tags, one with a mask."""
    root = tmp_path / "set"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for name, shade in (("a", 1), ("b", 2)):
        Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(root / "images" / f"{name}.png")
    Image.fromarray(np.ones((8, 8), np.uint8)).save(root / "masks" / "a.png")
    (root / "tags.csv").write_text("image,tags\na.png,cat\nb.png,dog\n")
    return root


def config(root, model=None, **more):
    train = {"type": "TaggedFolder", "root": str(root), **more}
    return {"model": model or {"type": "DuPL"}, "data": {"train": train, "val": {**train, "split": "val"}}}


def changed(folder, change) -> set[str]:
    """The parts of the record that another state of the folder changes."""
    before = read_record(TaggedFolder(str(folder)), {}, masks=True)
    change()
    after = read_record(TaggedFolder(str(folder)), {}, masks=True)
    assert (before["id"] == after["id"]) == (before == after)
    return {key for key in before if before[key] != after[key]} - {"id"}


class TestRecord:
    def test_it_keeps_the_names_of_classes(self, folder):
        record = read_record(TaggedFolder(str(folder)), {}, masks=False)
        assert record["classes"] == ["background", "cat", "dog"]
        assert (record["images"], record["masks"]) == (2, None)

    def test_a_tag(self, folder):
        assert changed(folder, lambda: (folder / "tags.csv").write_text("image,tags\na.png,cat\nb.png,cat dog\n")) == {
            "tags"
        }

    def test_bytes_of_a_photo_of_the_same_size(self, folder):
        photo = folder / "images" / "b.png"
        data = photo.read_bytes()
        assert changed(folder, lambda: photo.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))) == {"photos"}

    def test_a_mask(self, folder):
        mask = Image.fromarray(np.zeros((8, 8), np.uint8))
        assert changed(folder, lambda: mask.save(folder / "masks" / "a.png")) == {"masks"}
        assert changed(folder, lambda: mask.save(folder / "masks" / "b.png")) == {"masks"}

    def test_an_image_more(self, folder):
        def change():
            shutil.copy(folder / "images" / "a.png", folder / "images" / "c.png")
            (folder / "tags.csv").write_text("image,tags\na.png,cat\nb.png,dog\nc.png,cat\n")

        assert changed(folder, change) == {"images", "names", "tags", "photos", "masks"}

    def test_a_photo_that_is_gone(self, folder):
        assert changed(folder, (folder / "images" / "b.png").unlink) == {"photos"}

    def test_the_order_of_classes(self, folder):
        one, other = (
            read_record(TaggedFolder(str(folder), classes=list(names)), {}, masks=False)
            for names in (("cat", "dog"), ("dog", "cat"))
        )
        assert one["classes"] != other["classes"] and one["id"] != other["id"]

    def test_a_set_made_by_code_is_its_settings(self):
        one, same, other = (
            read_record(Toy(split="train", size=32, count=4), {**TOY, **more}, masks=True)
            for more in ({}, {}, {"seed": 1})
        )
        assert one == same and one["photos"] is None and one["id"] != other["id"]


class TestRun:
    def test_the_same_data_elsewhere_is_the_same_run(self, folder, tmp_path, monkeypatch):
        other = tmp_path / "other"
        shutil.copytree(folder, other)
        monkeypatch.chdir(tmp_path)
        ids = {identify(config(root)).run for root in (folder, other, "other", "./set")}
        assert len(ids) == 1 and len(ids.pop()) == 12 + 1 + 8

    def test_places_of_files_do_not_count_and_settings_do(self, folder):
        before = identify(config(folder))
        shutil.move(folder / "tags.csv", folder / "labels.csv")
        assert identify(config(folder, tags="labels.csv")) == before
        assert config_id(config(folder, upright=True)) != before.config

    def test_a_corrected_tag_is_another_run_of_the_same_config(self, folder):
        before = identify(config(folder))
        (folder / "tags.csv").write_text("image,tags\na.png,cat\nb.png,cat dog\n")
        after = identify(config(folder))
        assert (after.config == before.config, after.data == before.data) == (True, False)

    def test_masks_count_only_where_the_method_learns_from_them(self, folder):
        before = {kind: identify(config(folder, {"type": kind})).data for kind in ("DuPL", "Supervised")}
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "masks" / "a.png")
        after = {kind: identify(config(folder, {"type": kind})).data for kind in ("DuPL", "Supervised")}
        assert {kind: after[kind] == before[kind] for kind in after} == {"DuPL": True, "Supervised": False}

    def test_weights_count_by_content(self, folder, tmp_path):
        def of(path, name="b.bin"):
            path.mkdir(exist_ok=True)
            (path / name).write_bytes(of.content)
            return identify({"model": {"type": "DuPL", "network": {"backbone": {"weights": str(path / name)}}}})

        of.content = b"1"
        one, moved = of(tmp_path / "w"), of(tmp_path / "v", "c.bin")
        of.content = b"2"
        assert one == moved and of(tmp_path / "w").data != one.data
        none = identify({"model": {"type": "DuPL", "network": {"backbone": {"weights": None}}}})
        assert none.data is None and none.config != one.config, "no weights are other weights"

    def test_a_set_made_by_code_adds_nothing(self):
        values = {"model": {"type": "DuPL"}, "data": {"train": TOY}}
        assert identify(values).run == config_id(values)

    def test_data_that_are_not_here(self, folder, tmp_path):
        found = identify(config(tmp_path / "gone"))
        assert found.run == found.config == identify(config(folder)).config
        assert found.absent == f"there is no folder {tmp_path / 'gone'}"

    @pytest.mark.parametrize("part", ["data", "model"])
    def test_classes_of_modules_that_are_not_imported(self, folder, part):
        values = config(folder, {"type": "Mine"}) if part == "model" else {"data": {"train": {"type": "Mine"}}}
        assert "of a module that is not imported" in identify(values).absent

    def test_a_command_reads_data_once(self, folder):
        memo = Memo()
        before = identify(config(folder), memo=memo)
        (folder / "tags.csv").write_text("image,tags\na.png,cat\nb.png,cat dog\n")
        assert identify(config(folder), memo=memo) == before != identify(config(folder))

    def test_what_an_earlier_version_recorded_of_it_leads_to_it(self, folder):
        source = TaggedFolder(str(folder))
        old = old_record(source, read_record(source, {}, masks=False))
        assert aliases.data_of_today(aliases.old_data_id(old, [])) is None
        data = identify(config(folder)).data
        assert aliases.data_of_today(aliases.old_data_id(old, [])) == data


class TestCache:
    def aged(self, file):
        os.utime(file, (LONG_AGO, LONG_AGO))
        return file

    def test_a_file_is_read_once(self, folder, tmp_path):
        photo = self.aged(folder / "images" / "a.png")
        before = file_digest(photo)
        (cache,) = (tmp_path / "cache" / "digests").iterdir()
        assert json.loads(cache.read_text())["a.png"] == [photo.stat().st_size, LONG_AGO * 10**9, before]
        data = photo.read_bytes()
        photo.write_bytes(data[:-1] + b"x")
        self.aged(photo)
        assert file_digest(photo) == before, "same size and time: not read again"
        os.utime(photo, (LONG_AGO + 1, LONG_AGO + 1))
        assert file_digest(photo) != before

    def test_a_file_that_was_just_written_is_not_kept(self, folder, tmp_path):
        file_digest(folder / "images" / "a.png")
        assert not (tmp_path / "cache" / "digests").exists()

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"a.png": 3}', '{"a.png": [1, 2, 3, 4]}'])
    def test_a_broken_cache_is_made_again(self, folder, tmp_path, text):
        photo = self.aged(folder / "images" / "a.png")
        before = file_digest(photo)
        (cache,) = (tmp_path / "cache" / "digests").iterdir()
        cache.write_text(text)
        assert file_digest(photo) == before
        assert json.loads(cache.read_text())["a.png"][2] == before

    def test_no_place_for_it(self, folder, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("DUPL_CACHE", str(tmp_path / "file"))
        assert file_digest(self.aged(folder / "images" / "a.png")) != MISSING

    def test_many_files_in_their_order(self, tmp_path):
        files = [tmp_path / f"{i}.bin" for i in range(50)]
        for i, file in enumerate(files):
            file.write_bytes(bytes([i % 7]))
        files[3].unlink()
        found = file_digests(files)
        assert found[3] == MISSING and found[10] == found[17] == file_digest(files[10]) and len(set(found)) == 8
