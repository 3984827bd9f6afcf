from __future__ import annotations

import hashlib
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from dupl.data.prepare import disk, download
from dupl.data.prepare.archives import Archive
from dupl.errors import UserError

CONTENT = random.Random(0).randbytes(300_000)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(download, "_PIECE", 5_000)


@pytest.fixture
def get(host, tmp_path: Path):
    """Downloads the file `set.tar`; the arguments change what is expected of it."""
    host.files["set.tar"] = CONTENT
    pauses: list[float] = []

    def get(tick=lambda *_: None, mirror=None, **expected) -> Path:
        archive = Archive(**(dict(name="set.tar", url=f"{host.url}/set.tar", size=len(CONTENT), digest=MD5) | expected))
        return download.download(archive, tmp_path / "archives", mirror, tick, pauses.append)

    get.folder, get.pauses = tmp_path / "archives", pauses
    return get


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_whole_and_only_once(host, get, checksums) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = get(lambda *facts: seen.append(facts))
    assert path.read_bytes() == CONTENT and leftovers(get.folder) == {"set.tar", "SHA256SUMS"}
    assert checksums(get.folder) == {"set.tar": hashlib.sha256(CONTENT).hexdigest()}
    assert seen[0] == ("download set.tar", 0, 300_000) and seen[-1] == ("verify set.tar", 300_000, 300_000)
    assert get() == path and len(host.asked) == 1


def test_from_a_mirror_by_name(host, get) -> None:
    assert get(mirror=f"{host.url}/", url="http://127.0.0.1:1/elsewhere").read_bytes() == CONTENT
    with pytest.raises(UserError, match="--mirror takes http:// or https://"):
        get(mirror="file:///etc", name="passwd")


def test_goes_on_after_each_cut(host, get) -> None:
    host.cuts = [40_000, 1, 100_000, 0, 0, 50_000]
    assert get().read_bytes() == CONTENT
    starts = [headers.get("Range") for headers in host.asked]
    assert starts == [None] + [f"bytes={n}-" for n in (40_000, 40_001, 140_001, 140_001, 140_001, 190_001)]
    assert all(headers["If-Range"] == f'"{MD5[4:]}"' for headers in host.asked[1:])
    assert get.pauses == [1, 1, 1, 2, 4, 1], "longer after each failure, from anew after progress"


def test_gives_up_in_the_end(host, get) -> None:
    host.cuts = [9_000] + [0] * 50
    with pytest.raises(UserError, match=r"failed 6 times \(.*cut.*\); 9.0 kB are here; run the same command again"):
        get()
    assert (get.folder / "set.tar.part").stat().st_size == 9_000 and not (get.folder / "set.tar").exists()
    host.cuts = []
    assert get().read_bytes() == CONTENT and host.asked[-1]["Range"] == "bytes=9000-"


def test_goes_on_after_an_interruption(host, get) -> None:
    def stop(what: str, done: int, total: int | None) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(stop)
    assert not (get.folder / "set.tar").exists()
    assert get().read_bytes() == CONTENT and host.asked[-1]["Range"] == "bytes=105000-"


def test_complete_but_not_yet_verified_needs_no_server(host, get) -> None:
    with pytest.raises(KeyboardInterrupt):
        get(lambda what, *_: (_ for _ in ()).throw(KeyboardInterrupt) if "verify" in what else None)
    assert get().read_bytes() == CONTENT and len(host.asked) == 1


def test_a_file_that_changed_meanwhile_is_fetched_anew(host, get) -> None:
    host.files["set.tar"] = bytes(300_000)
    host.cuts = [50_000]

    def change(what: str, done: int, total: int | None) -> None:
        if "trying again" in what:
            host.files["set.tar"] = CONTENT

    assert get(change).read_bytes() == CONTENT


def test_a_server_without_parts_starts_again(host, get) -> None:
    host.ranges, host.cuts = False, [50_000, 200_000]
    assert get().read_bytes() == CONTENT and len(host.asked) == 3


def test_a_part_from_the_wrong_place_is_not_taken(host, get) -> None:
    host.cuts, host.shift = [50_000], 1

    def mend(what: str, *_: object) -> None:
        if "another part" in what:
            host.shift = 0

    assert get(mend).read_bytes() == CONTENT and "Range" not in host.asked[-1]


def test_a_part_longer_than_the_file_is_dropped(host, get) -> None:
    host.cuts, host.statuses = [50_000], [200, 416]
    assert get().read_bytes() == CONTENT and "Range" not in host.asked[-1]


def test_a_part_of_unknown_origin_is_not_continued(host, get) -> None:
    get.folder.mkdir()
    (get.folder / "set.tar.part").write_bytes(b"x" * 1000)
    (get.folder / "set.tar.part.json").write_text('{"url": "http://elsewhere"}')
    assert get().read_bytes() == CONTENT


def test_a_wrong_file_is_set_aside(host, get) -> None:
    host.files["set.tar"] = bytes(300_000)
    with pytest.raises(UserError, match=r"not the right file: its MD5 is \w+ instead of \w+; look at \S+set\.tar\.bad"):
        get()
    assert leftovers(get.folder) == {"set.tar.bad"}
    host.files["set.tar"] = CONTENT
    assert get().read_bytes() == CONTENT


def test_a_wrong_size_is_seen_before_the_download(host, get) -> None:
    host.files["set.tar"] = b"<html>moved</html>"
    with pytest.raises(UserError, match="wrong file at http://.*: 18 bytes instead of 300,000; give another address"):
        get()
    assert not list(get.folder.glob("set*"))


def test_a_file_without_end_is_not_written_to_the_end_of_the_disk(host, get) -> None:
    host.files["set.tar"], host.lengths = bytes(900_000), False
    with pytest.raises(UserError, match="wrong file: more than 300,000 bytes"):
        get()
    assert not list(get.folder.glob("set*"))


def test_without_a_published_checksum_the_first_is_kept(host, get, checksums) -> None:
    get(digest=None, size=None).unlink()
    host.files["set.tar"] = b"other"
    with pytest.raises(UserError, match=r"its SHA256 is \w+ instead of"):
        get(digest=None, size=None)
    assert checksums(get.folder) == {"set.tar": hashlib.sha256(CONTENT).hexdigest()}


def test_a_file_put_there_by_hand_is_verified_and_left(get) -> None:
    get.folder.mkdir()
    (get.folder / "set.tar").write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=r"it has 299,999 bytes instead of 300,000; look at \S+set\.tar,"):
        get()
    (get.folder / "set.tar").write_bytes(CONTENT)
    assert get().read_bytes() == CONTENT


def test_refusals_are_final_and_failures_are_not(host, get) -> None:
    for status in (403, 404, 410):
        host.statuses = [status]
        with pytest.raises(UserError, match=rf"set\.tar answers {status} .*--mirror URL.*--from DIR"):
            get()
    assert len(host.asked) == 3 and not get.pauses
    host.statuses = [503, 429, 500]
    assert get().read_bytes() == CONTENT and len(host.asked) == 7


def test_no_server(get, monkeypatch) -> None:
    with pytest.raises(UserError, match="http://127.0.0.1:1/set.tar failed 6 times .*refused"):
        get(url="http://127.0.0.1:1/set.tar")
    with pytest.raises(UserError, match="is not a web address"):
        get(url="http://[1/set.tar")


def test_a_disk_that_fills_up(host, get, full_disk, monkeypatch) -> None:
    full_disk(77_777)
    with pytest.raises(UserError, match=r"disk full: no space for set\.tar in \S+archives \(.* free; a quota"):
        get()
    assert (get.folder / "set.tar.part").stat().st_size == 77_777 and not (get.folder / "set.tar").exists()
    message = r"set\.tar needs 222\.2 kB more in \S+, 1\.0 kB are free: 221\.2 kB missing; .*continues where it stopped"
    with monkeypatch.context() as patch, pytest.raises(UserError, match=message):
        patch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000))
        get()
    full_disk(None)
    assert get().read_bytes() == CONTENT and host.asked[-1]["Range"] == "bytes=77777-"


def test_a_folder_that_cannot_be_written(get) -> None:
    get.folder.write_text("a file")
    with pytest.raises(UserError, match="set.tar: cannot be written to .*; choose another --root"):
        get()
