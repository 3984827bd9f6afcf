"""Where this machine keeps data and weights: by environment variables, or in the user's file."""

import pytest

from dupl.errors import UserError
from dupl.places import find_data, find_weights, user_file


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder without data, a folder of data, and a user's file that is not written yet."""
    (tmp_path / "work").mkdir()
    (tmp_path / "sets" / "voc12").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("DUPL_CONFIG", str(tmp_path / "config.ini"))
    return tmp_path


def test_without_anything_a_path_is_what_it_says(home):
    assert str(find_data("data/voc12")) == "data/voc12"


def test_the_folder_of_data_with_and_without_its_first_name(home, monkeypatch):
    monkeypatch.setenv("DUPL_DATA", str(home / "sets"))
    assert find_data("data/voc12") == find_data("voc12") == home / "sets" / "voc12"
    assert str(find_data("data/other")) == "data/other", "what is nowhere is told by the path of the recipe"


def test_a_path_that_exists_or_is_absolute_wins(home, monkeypatch):
    monkeypatch.setenv("DUPL_DATA", str(home / "sets"))
    (home / "work" / "data" / "voc12").mkdir(parents=True)
    assert str(find_data("data/voc12")) == "data/voc12"
    assert str(find_data("/nowhere/voc12")) == "/nowhere/voc12"


def test_the_users_file(home):
    (home / "own").mkdir()
    (home / "w.bin").write_bytes(b"")
    user_file().write_text(f"[places]\ndata = {home}/sets\nweights = {home}\ndata/Mine = {home}/own\n")
    assert find_data("data/voc12") == home / "sets" / "voc12"
    assert find_data("data/Mine") == home / "own"
    assert find_weights("weights/w.bin") == find_weights("w.bin") == home / "w.bin"


def test_the_environment_wins_over_the_file(home, monkeypatch):
    (home / "others" / "voc12").mkdir(parents=True)
    user_file().write_text(f"[places]\ndata = {home}/sets\n")
    monkeypatch.setenv("DUPL_DATA", str(home / "others"))
    assert find_data("data/voc12") == home / "others" / "voc12"


@pytest.mark.parametrize("text", ["data = x\n", "[places\n", "[places]\ndata\n"])
def test_a_file_that_is_none(home, text):
    user_file().write_text(text)
    with pytest.raises(UserError, match=r"config.ini cannot be read: .*write \[places\]"):
        find_data("data/voc12")
