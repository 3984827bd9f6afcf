"""Files that are whole or absent, whatever their names."""

import pytest

from dupl.atomic import atomic_write, draft, fitting_name


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "ä" * 125 + ".png", "short.png"])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path, name):
    atomic_write(tmp_path / name, b"one")
    assert (tmp_path / name).read_bytes() == b"one"
    with draft(tmp_path / name) as part:
        part.write_bytes(b"two")
        assert (tmp_path / name).read_bytes() == b"one"
    assert (tmp_path / name).read_bytes() == b"two"
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_name_that_is_too_long_is_cut_and_stays_its_own():
    assert fitting_name("photo_cat", ".jpg") == "photo_cat.jpg"
    assert fitting_name("a" * 251, ".jpg") == "a" * 251 + ".jpg"
    names = [fitting_name("ä" * 126 + end, ".jpg") for end in ("_cat", "_dog")]
    assert names[0] != names[1] and all(name.startswith("ää") and name.endswith(".jpg") for name in names)
    assert all(250 <= len(name.encode()) <= 255 for name in names)
