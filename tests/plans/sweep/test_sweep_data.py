"""A study knows the data that its trials were trained on."""

from types import SimpleNamespace

import pytest

pytest.importorskip("optuna")

from dupl.data.identity import Memo  # noqa: E402
from dupl.errors import UserError  # noqa: E402
from dupl.execute.search import check_data  # noqa: E402


class Study:
    def __init__(self):
        self.user_attrs = {}

    def set_user_attr(self, name, value):
        self.user_attrs[name] = value


def sweep(root):
    config = {"model": {"type": "DuPL"}, "data": {"train": {"type": "TaggedFolder", "root": str(root)}}}
    return SimpleNamespace(config=config, memo=Memo(), study="demo-01234567")


def test_other_data_are_refused(paint, tmp_path):
    root, study = paint(tmp_path / "set"), Study()
    check_data(sweep(root), study)
    assert len(study.user_attrs["data"]) == 8
    check_data(sweep(root), study)
    check_data(sweep(tmp_path / "gone"), study)  # what is not here cannot be compared
    table = root / "tags.csv"
    table.write_text(table.read_text().replace("0.png,cat", "0.png,dog"))
    with pytest.raises(UserError, match="demo-01234567 was searched on other training data"):
        check_data(sweep(root), study)


def test_the_data_of_the_report_are_known_however_their_place_is_written(tmp_path, monkeypatch):
    from dupl.plans.sweep import _parts

    (tmp_path / "set").mkdir()
    monkeypatch.chdir(tmp_path)
    one, other = ({"type": "TaggedFolder", "root": root, "split": "val"} for root in ("set", str(tmp_path / "set")))
    assert _parts(one) == _parts(other)
    assert _parts(one)[0] in _parts({"type": "Part", "of": other, "held": True})
    assert _parts(one) != _parts({**other, "root": str(tmp_path)})
