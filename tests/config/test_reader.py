"""The reader: literals, names, arithmetic, text, values of a base, and mmengine's rules of `_base_` and `_delete_`."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from dupl.config.reader import read
from dupl.errors import UserError

CHECKOUT = Path(__file__).parents[2]
SHIPPED = [p for kind in ("experiments", "ablations", "sweeps") for p in sorted((CHECKOUT / kind).rglob("*.py"))]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def values(tmp_path: Path, text: str) -> dict:
    return read(write(tmp_path / "r.py", text)).values


def executed(path: Path) -> dict:
    """What mmengine makes of a file by executing it; names that begin with "_" are the file's own and no values."""
    found = Config.fromfile(str(path), lazy_import=False).to_dict()
    return without_marks({name: value for name, value in found.items() if not name.startswith("_")})


def without_marks(value):
    if isinstance(value, dict):
        return {k: without_marks(v) for k, v in value.items() if k != "_delete_"}
    return type(value)(without_marks(v) for v in value) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_what_we_ship_reads_as_mmengine_executes_it(path):
    ours, theirs = read(path).values, executed(path)
    assert ours == theirs
    assert list(ours) == list(theirs)


class TestExpressions:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1", 1),
            ("-1.5", -1.5),
            ("+2", 2),
            ("[1, (2,), {'a': None}, dict(b=True)]", [1, (2,), {"a": None}, {"b": True}]),
            ("[0.7] * 2 + [0.5]", [0.7, 0.7, 0.5]),
            ("(1,) + (2,) * 2", (1, 2, 2)),
            ("n // 3 + n % 3 - n ** 2 / 4", 8 // 3 + 8 % 3 - 8**2 / 4),
            ("2 * n", 16),
            ("name + '/' + 'b'", "a/b"),
            ("f'{name}-{n}-{rate:.3f}-{n:04d}'", "a-8-0.250-0008"),
            ("dict(x=nested, y=nested)", {"x": {"z": 1}, "y": {"z": 1}}),
            ("'{{'", "{{"),
            (r"'{\x7b_base_.n}}'", "{{_base_.n}}"),
        ],
    )
    def test_literals_names_arithmetic_and_text(self, tmp_path, text, value):
        head = "n = 8\nrate = 1 / 4\nname = 'a'\nnested = dict(z=1)\n"
        found = values(tmp_path, f"{head}x = {text}\n")["x"]
        assert found == value
        assert type(found) is type(value)

    def test_a_helper_of_a_file_is_no_part_of_the_config(self, tmp_path):
        write(tmp_path / "base.py", "_step = 5\nschedule = dict(warmup=_step)\n")
        found = values(tmp_path, "_base_ = 'base.py'\n_start = 100\nmodel = dict(start=_start, end=_start * 2)\n")
        assert found == {"schedule": {"warmup": 5}, "model": {"start": 100, "end": 200}}
        with pytest.raises(UserError, match=r"r\.py, line 2: _step is more than literals"):
            values(tmp_path, "_base_ = 'base.py'\nx = _step\n")

    def test_a_byte_order_mark_is_no_part_of_the_text(self, tmp_path):
        (tmp_path / "marked.py").write_bytes(b"\xef\xbb\xbfx = 1\n")
        assert read(tmp_path / "marked.py").values == {"x": 1}

    def test_values_of_a_name_are_copies(self, tmp_path):
        found = values(tmp_path, "one = dict(a=[1])\ntwo = one\n")
        found["one"]["a"].append(2)
        assert found["two"] == {"a": [1]}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x = y", "line 1: y is more than literals, and nothing is executed"),
            ("x = 1 / 0", "line 1: 1 / 0 has no value: division by zero"),
            ("x = 9 ** 9 ** 9", "line 1: .* is too large a number"),
            ("x = 2.0 ** 5000", "line 1: .* is too large a number$"),
            ("x = 10.0 ** 400", r"line 1: 10.0 \*\* 400 is too large a number$"),
            ("x = f'{{_base_.y}}/z'", "line 1: .* in an f-string, which reads it as text: drop the f$"),
            ("x = (-1) ** 0.5", "line 1: .* is no number"),
            ("x = 1e308 * 10", "line 1: .* is no number, or too large"),
            ("x = 'a' * 10 ** 10", "line 1: .* is more than literals"),
            ("x = f'{1:999999d}'", "line 1: .* is more than literals"),
            ("x = f'{[1]}'", "line 1: .* puts something else"),
            ("x = f'{1:s}'", "line 1: .* cannot be formatted"),
            ("x = ['a'] * 200000", "line 1: .* more than 100000 values"),
            ("a = [0] * 1000\nb = [a, a, a] * 30\nc = [b, b]", "line 3: b .* more than 100000 values"),
            ("x = 'a" + "b" * 6000 + "'\ny = x + x", "line 2: .* longer than 10000"),
            ("x = 1\nx = 2", "line 2: x = 2 assigns x again, first on line 1"),
            ("x = dict(a=1, b=2, a=3)", "line 1: 3 is the second value of a"),
            ("x = {'a': 1,\n 'a': 2}", "line 2: 2 is the second value of a"),
            ("x = {1: 2}", "line 1: 1 is a key; keys must be strings"),
            ("x = {**y}", "line 1"),
            ("x: int = 1", "line 1"),
            ("x = dict(a=_base_.x)", "line 1: _base_.x is more than literals"),
            ("x = b'1'", "line 1"),
            ("x = 1j", "line 1"),
            ("x = '{{ fileDirname }}'", r"line 1: .* only \{\{_base_.NAME\}\} is substituted"),
            ("x = '{{$HOME:y}}'", r"line 1: .* only \{\{_base_.NAME\}\} is substituted"),
        ],
    )
    def test_more_than_that_is_refused_with_its_line(self, tmp_path, text, message):
        with pytest.raises(UserError, match=f"r\\.py, {message}") as caught:
            values(tmp_path, text)
        assert "\n" not in str(caught.value)


class TestBases:
    def test_values_of_a_base_as_mmengine_has_them(self, tmp_path):
        write(tmp_path / "base.py", "a = dict(b=dict(c=[1, 2]), n=3)\nname = 'voc'\n")
        path = write(
            tmp_path / "r.py",
            "_base_ = ['base.py']\nx = {{_base_.a.b.c}}\ny = dict(z={{ _base_.a }})\nw = [{{_base_.name}}]\n",
        )
        assert read(path).values == executed(path)
        assert read(path).values["y"] == {"z": {"b": {"c": [1, 2]}, "n": 3}}

    def test_values_of_a_base_in_a_text_and_in_arithmetic(self, tmp_path):
        write(tmp_path / "base.py", "n = 3\nname = 'voc'\n")
        found = values(
            tmp_path, "_base_ = 'base.py'\na = 'data/{{_base_.name}}-{{ _base_.n }}'\nb = '{{_base_.n}}'\nc = 2\n"
        )
        assert (found["a"], found["b"], found["c"]) == ("data/voc-3", 3, 2)
        with pytest.raises(UserError, match=r"line 2: .* names m, which the _base_ does not have"):
            values(tmp_path, "_base_ = 'base.py'\na = {{_base_.m}}\n")

    @pytest.mark.parametrize(
        "text",
        [
            "a = dict(x=1)",
            "a = dict(_delete_=True, x=1)",
            "a = dict(_delete_=False, x=1)",
            "a = dict(inner=dict(_delete_=True, q=1))",
            "a = dict(inner=dict(p=dict(_delete_=True)))",
            "a = dict(inner=None)",
            "new = dict(_delete_=True, x=dict(_delete_=True, y=1))",
            "items = []",
            "items = dict(_delete_=True, a=1)",
            "a = 3",
            "c = dict(d=1)",
            "_base_ = ['base.py', 'other.py']\nother = dict(two=2)",
        ],
    )
    def test_merging_and_deleting_as_mmengine_does(self, tmp_path, text):
        write(tmp_path / "base.py", "a = dict(inner=dict(p=dict(r=1), q=2), y=5)\nitems = [1]\nb = 2\n")
        write(tmp_path / "other.py", "other = dict(one=1)\n")
        base = "" if "_base_" in text else "_base_ = 'base.py'\n"
        path = write(tmp_path / "r.py", base + text)
        assert read(path).values == executed(path)
        assert list(read(path).values) == list(executed(path))

    def test_what_mmengine_refuses_is_refused(self, tmp_path):
        write(tmp_path / "base.py", "a = 1\n")
        write(tmp_path / "twin.py", "a = 2\n")
        for text, message in {
            "_base_ = 'base.py'\n\na = dict(b=1)": r"r\.py, line 3: a is a dict here, and 1 in a _base_; add _delete_",
            "_base_ = ['base.py',\n 'twin.py']": r"r\.py, line 2: two of its _base_ have a, the second is .*twin\.py",
        }.items():
            path = write(tmp_path / "r.py", text)
            with pytest.raises((TypeError, KeyError)):
                executed(path)
            with pytest.raises(UserError, match=message):
                read(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("_base_ = 'nowhere.py'", r"r\.py, line 1: its _base_ .*nowhere\.py does not exist"),
            ("_base_ = [1]", r"r\.py, line 1: .* is no _base_: write a path or a list of paths"),
            ("_base_ = name", r"r\.py, line 1: .* is no _base_"),
            ("\n_base_ = 'r.py'", r"r\.py, line 2: its _base_ leads back to .*r\.py"),
            ("_base_ = 'loop.py'", r"loop\.py, line 1: its _base_ leads back to .*r\.py"),
            ("_base_ = 'broken.py'", r"broken\.py, line 3: 1 / 0 has no value"),
            ("a = dict(\n", r"r\.py, line 1: .*never closed"),
        ],
    )
    def test_bad_bases(self, tmp_path, text, message):
        write(tmp_path / "loop.py", "_base_ = 'r.py'")
        write(tmp_path / "broken.py", "\n\na = 1 / 0")
        with pytest.raises(UserError, match=message) as caught:
            values(tmp_path, text)
        assert "\n" not in str(caught.value)

    def test_a_file_is_missing_or_unreadable(self, tmp_path):
        with pytest.raises(UserError, match="no file"):
            read(tmp_path / "none.py")
        (tmp_path / "r.py").write_bytes(b"a = '\xff'")
        with pytest.raises(UserError, match=r"r\.py: cannot be read"):
            read(tmp_path / "r.py")
        (tmp_path / "r.py").write_bytes(b"a = 1\nb = '\0'\n")
        with pytest.raises(UserError, match=r"r\.py, line 2: it holds a NUL byte"):
            read(tmp_path / "r.py")


class TestOrigins:
    def test_every_value_knows_its_file_and_line(self, tmp_path):
        base = write(
            tmp_path / "base.py",
            '"""Base."""\n\na = dict(\n    x=1,\n    y=dict(z=2),\n    w=[1,\n       dict(v=2)],\n)\n',
        )
        path = write(
            tmp_path / "r.py",
            "_base_ = 'base.py'\n_part = dict(\n    p=1)\na = dict(y=dict(_delete_=True,\n q=1), r=_part)\n",
        )
        origins = read(path).origins
        assert origins.of("a.x") == f"{base}, line 4"
        assert origins.of("a.w.1.v") == f"{base}, line 7"
        assert origins.of("a.y.q") == f"{path}, line 5"
        assert origins.of("a.y.z") == f"{path}, line 4", "it is gone: the dict that replaced it"
        assert origins.of("a.r.p") == f"{path}, line 3", "where the helper has it"
        assert origins.of("nothing") == str(path)

    def test_paths_as_keys(self, tmp_path):
        path = write(tmp_path / "r.py", "set = {\n    'model.a.x': 1,\n}\n")
        assert read(path).origins.of("set.model.a.x") == f"{path}, line 2"
