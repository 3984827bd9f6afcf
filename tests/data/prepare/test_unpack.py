from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from dupl.data.prepare import disk
from dupl.data.prepare.archives import Archive
from dupl.data.prepare.unpack import unpack
from dupl.errors import UserError

FILES = {f"set/data/photos/{n}.jpg": bytes([n]) * 3000 for n in range(5)} | {"set/data/list.txt": b"0\n1\n"}
ARCHIVE = Archive("set", "", inside="set/data", take=("photos", "list.txt"), to="here", unpacked=15_004)


def packed(path: Path, files: dict[str, bytes], *more: tarfile.TarInfo | zipfile.ZipInfo) -> Path:
    """Pack as the name's extension says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for name, content in files.items():
                target.writestr(name, content)
            for entry in more:
                target.writestr(entry, b"/etc/passwd")
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as target:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                target.addfile(entry, io.BytesIO(content))
            for entry in more:
                target.addfile(entry)
    return path


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".zip"])
def test_takes_what_is_wanted(tmp_path: Path, suffix: str) -> None:
    extra = {"set/data/other/x": b"x", "set/photos/y": b"y", "readme": b"z"}
    path = packed(tmp_path / f"set{suffix}", FILES | extra)
    seen: list[tuple[str, int, int | None]] = []
    unpack(path, ARCHIVE, tmp_path / "root", lambda *facts: seen.append(facts))
    assert tree(tmp_path / "root") == {f"here/{name.removeprefix('set/data/')}": FILES[name] for name in FILES}
    assert seen[-1] == ("unpack set", path.stat().st_size, path.stat().st_size)


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_goes_on_where_it_stopped(tmp_path: Path, suffix: str, full_disk) -> None:
    path, photos = packed(tmp_path / f"set{suffix}", FILES), tmp_path / "root/here/photos"
    full_disk(7_500)
    with pytest.raises(UserError, match=r"disk full: no space for set in \S+here .*continues where it stopped"):
        unpack(path, ARCHIVE, tmp_path / "root", lambda *_: None)
    assert sorted(path.name for path in photos.iterdir()) == ["0.jpg", "1.jpg"], "nothing half-written is left"
    full_disk(9_004)
    before = (photos / "0.jpg").stat().st_mtime_ns
    unpack(path, ARCHIVE, tmp_path / "root", lambda *_: None)
    assert len(tree(photos)) == 5 and (photos / "0.jpg").stat().st_mtime_ns == before


def test_too_little_room_is_seen_before(tmp_path: Path, monkeypatch) -> None:
    path = packed(tmp_path / "set.tar", FILES)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=4_004))
    with pytest.raises(UserError, match=r"set needs 15\.0 kB more in \S+here, 4\.0 kB are free: 11\.0 kB missing"):
        unpack(path, ARCHIVE, tmp_path / "root", lambda *_: None)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
@pytest.mark.parametrize("name", ["../x", "set/data/photos/../../../../x", "/x", "set\\..\\x", "C:/x", "other/../../x"])
def test_names_that_lead_out_are_refused(tmp_path: Path, suffix: str, name: str) -> None:
    path = packed(tmp_path / f"set{suffix}", {name: b"x"})
    with pytest.raises(UserError, match="is refused: its entry .* leads out of its folder"):
        unpack(path, ARCHIVE, tmp_path / "a/root", lambda *_: None)
    assert tree(tmp_path).keys() == {path.name}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("set/data/photos/9.jpg")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with pytest.raises(UserError, match=r"set/data/photos/9\.jpg is a link or a device"):
        unpack(packed(tmp_path / "set.tar", FILES, entry), ARCHIVE, tmp_path / "root", lambda *_: None)
    entry.name = "set/elsewhere"  # where it is not unpacked it does no harm
    unpack(packed(tmp_path / "set.tar", FILES, entry), ARCHIVE, tmp_path / "root", lambda *_: None)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("set/data/photos/9.jpg")
    entry.external_attr = 0o120777 << 16
    with pytest.raises(UserError, match=r"9\.jpg is a link or a device"):
        unpack(packed(tmp_path / "set.zip", FILES, entry), ARCHIVE, tmp_path / "root", lambda *_: None)


@pytest.mark.parametrize("suffix", [".tgz", ".zip"])
def test_bombs_are_refused(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / f"set{suffix}", {f"set/data/photos/{n}": bytes(2_000_000) for n in range(5)})
    with pytest.raises(UserError, match="its files exceed 100 times its size"):
        unpack(path, ARCHIVE, tmp_path / "root", lambda *_: None)
    assert sum(map(len, tree(tmp_path / "root").values())) <= 100 * path.stat().st_size + 1_000_000


@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".zip"])
def test_damaged_archives_are_one_line(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / f"set{suffix}", FILES)
    whole = path.read_bytes()
    broken = [whole[: len(whole) // 2], b"not an archive", whole[:60] + bytes(40) + whole[100:]]
    for content in broken[:2] if suffix == ".tar" else broken:
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be unpacked .*delete it and run the same command again") as caught:
            unpack(path, ARCHIVE, tmp_path / "root", lambda *_: None)
        assert "\n" not in str(caught.value)
