"""Zip files of strangers: each is read safely, or refused in one line."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest

from dupl.errors import UserError
from dupl.evidence import container
from dupl.evidence.verify import verify


def zipped(*entries: tuple[str, bytes], mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


NAMES = ["../x", "/etc/passwd", "a/../b", "a//b", "C:/x", "a\\b", "~/x", ".hidden", "a/", "a\nb", "x" * 300, "né"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_leave_the_folder(name, tmp_path):
    with pytest.raises(UserError, match="name is not allowed|no whole archive") as caught:
        container.unpack(zipped((name, b"1")))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="not allowed"):
        container.pack({name: b"1"})


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_occur_twice():
    for other in ("a", "A"):
        with pytest.raises(UserError, match="two members of the name"):
            container.unpack(zipped(("a", b"1"), (other, b"2")))


def test_links_are_refused():
    with pytest.raises(UserError, match="a link"):
        container.unpack(zipped(("a", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777))


def test_a_member_that_swells_is_refused_before_it_is_unpacked(monkeypatch):
    data = zipped(("a", b"0" * 5000), ("b", b"0" * 5000))
    monkeypatch.setattr(container, "LARGEST_MEMBER", 4000)
    with pytest.raises(UserError, match="of 5000 bytes: too large"):
        container.unpack(data)
    monkeypatch.setattr(container, "LARGEST_MEMBER", 6000)
    monkeypatch.setattr(container, "LARGEST", 8000)
    with pytest.raises(UserError, match="too large to be unpacked"):
        container.unpack(data)


def test_a_member_that_is_larger_than_it_says(monkeypatch):
    """The size in the directory is a lie: no more than it says is unpacked, and the member counts as damaged."""
    data = container.pack({"a": b"0" * 100_000})
    told = (100_000).to_bytes(4, "little")
    assert data.count(told) == 2
    found = container.unpack(data.replace(told, (10).to_bytes(4, "little")))
    assert not found.members.get("a", b"")[10:] and any("a " in fault for fault in found.faults)


def test_many_members(monkeypatch):
    monkeypatch.setattr(container, "MOST_MEMBERS", 1)
    with pytest.raises(UserError, match="more than 1"):
        container.unpack(zipped(("a", b"1"), ("b", b"2")))


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 18, zipped(("a", b"1"))])
def test_what_is_no_archive_of_ours(data, tmp_path):
    file = tmp_path / "x.zip"
    file.write_bytes(data)
    with pytest.raises(UserError, match="archive of dupl export") as caught:
        verify(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "{", '{"format": "dupl-evidence 9", "members": {}}', "[" * 100_000])
def test_a_corrupt_manifest(text, tmp_path):
    with pytest.raises(UserError, match=r"manifest\.json is corrupt|no readable manifest"):
        container.unpack(zipped((container.MANIFEST, text.encode())))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plan.json", b"{}"),
        ("plan.json", b"[" * 100_000),
        ("plan.json", b'{"plan": NaN}'),
        ("cells.csv", b"a,b\n1\n"),
        ("cells.csv", b""),
    ],
)
def test_members_that_are_corrupt(archive, tmp_path, name, data):
    found = dict(container.read(archive).members)
    del found[container.MANIFEST]
    file = tmp_path / "changed.zip"
    container.write(file, found | {name: data})
    with pytest.raises(UserError, match=name) as caught:
        verify(file)
    assert "\n" not in str(caught.value)


def test_a_config_that_names_other_files(archive, tmp_path):
    found = dict(container.read(archive).members)
    del found[container.MANIFEST]
    name = next(name for name in found if name.endswith("/config.py"))
    file = tmp_path / "changed.zip"
    container.write(file, found | {name: b'_base_ = "/etc/passwd"\n'})
    told = verify(file)
    assert not told.proven and "it names another file" in "\n".join(told.lines())


def test_equal_members_give_equal_bytes():
    assert container.pack({"a": b"1", "b": b"2"}) == container.pack({"b": b"2", "a": b"1"})
    found = container.unpack(container.pack({"a": b"1"}))
    assert found.members["a"] == b"1" and not found.faults and not found.altered
