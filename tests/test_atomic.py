"""Files that are whole or absent, whatever their names."""

import pytest

from dupl.atomic import atomic_write, draft


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "ä" * 125 + ".png", "short.png"])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path, name):
    atomic_write(tmp_path / name, b"one")
    assert (tmp_path / name).read_bytes() == b"one"
    with draft(tmp_path / name) as part:
        part.write_bytes(b"two")
        assert (tmp_path / name).read_bytes() == b"one"
    assert (tmp_path / name).read_bytes() == b"two"
    assert [file.name for file in tmp_path.iterdir()] == [name]
