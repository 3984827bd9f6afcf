import hashlib
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dupl.api import load_recipe, recipe_values
from dupl.cli import main
from dupl.config import catalogue
from dupl.config.fingerprint import config_id
from dupl.errors import UnknownKeys, UserError

KEYS = st.text(min_size=1, max_size=8).filter(lambda key: key != "_delete_")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["{{ fileDirname }}", "{{$HOME:x}}", "{{_base_.a}}", "a\nb", "x" * 150])
)
LITERALS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty current folder, and no recipes but those that a test writes there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalogue, "PACKAGE", tmp_path / "site-packages" / "dupl")
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


load = partial(catalogue.load, schema=None)  # what these tests read are no recipes of a method


class TestBaseByName:
    def test_a_recipe_or_a_plan_is_found_as_commands_find_it(self, home):
        write(home / "experiments/voc/dupl.py", "a = 1\n")
        write(home / "ablations/rows.py", "c = 3\n")
        mine = write(home / "deep/below/mine.py", "_base_ = ['voc/dupl', 'rows']\nb = 2\n")
        assert catalogue.declared(mine).values == {"a": 1, "b": 2, "c": 3}

    def test_a_file_beside_it_wins(self, home):
        write(home / "experiments/voc/dupl.py", "a = 1\n")
        write(home / "mine/voc/dupl", "a = 5\n")
        assert catalogue.declared(write(home / "mine/r.py", "_base_ = 'voc/dupl'\n")).values == {"a": 5}

    def test_a_name_of_nothing(self, home):
        with pytest.raises(
            UserError, match=r"r\.py, line 1: its _base_ .*voc/dupl does not exist; give a path, or a name"
        ):
            catalogue.declared(write(home / "r.py", "_base_ = 'voc/dupl'\n"))


class TestResolve:
    def test_a_name_a_path_and_the_suffix(self, home):
        file = write(home / "experiments/voc/dupl.py", "")
        for name in ("voc/dupl", "voc/dupl.py", "experiments/voc/dupl", file, str(file)):
            assert catalogue.resolve(name) == file

    def test_current_folder_then_checkout_then_wheel(self, home, monkeypatch):
        monkeypatch.setattr(catalogue, "PACKAGE", home / "clone" / "dupl")
        write(home / "clone/pyproject.toml", "")
        files = [
            write(home / folder / "a.py", "")
            for folder in ("experiments", "clone/experiments", "clone/dupl/_recipes/experiments")
        ]
        for file in files:
            assert catalogue.resolve("a") == file
            file.unlink()
        with pytest.raises(UserError, match="known: none"):
            catalogue.resolve("a")

    def test_beside_an_installed_package_nothing_is_looked_up(self, home):
        write(home / "site-packages/experiments/a.py", "")
        with pytest.raises(UserError, match="no recipe a"):
            catalogue.resolve("a")

    def test_a_near_miss_names_the_recipe(self, home):
        write(home / "experiments/voc/dupl.py", "")
        with pytest.raises(UserError, match=r"no recipe voc/dulp .*did you mean voc/dupl\?"):
            catalogue.resolve("voc/dulp")

    def test_a_plan_is_not_called_a_recipe(self, home):
        write(home / "ablations/table.py", "")
        with pytest.raises(UserError, match=r"no plan tabel among the ablations \(did you mean table\?\)"):
            catalogue.resolve("tabel", "ablations")
        with pytest.raises(UserError, match="no recipe table: it is a plan, which `dupl show --plan table` shows"):
            catalogue.resolve("table")

    def test_a_file_that_is_missing(self, home):
        with pytest.raises(UserError, match=r"no recipe my\.py: there is no such file"):
            catalogue.resolve("my.py")

    def test_kinds_have_their_own_folders(self, home):
        file = write(home / "sweeps/a.py", "")
        assert catalogue.resolve("a", "sweeps") == file
        assert catalogue.names() == []

    def test_names_leave_out_the_bases(self, home):
        for name in ("voc/b", "a", "_base_/runtime", "voc/_base_/x"):
            write(home / f"experiments/{name}.py", "")
        assert catalogue.names() == ["a", "voc/b"]


class TestLoad:
    def test_bases_merge_and_delete(self, home):
        write(home / "experiments/_base_/model.py", "model = dict(a=dict(type='A', x=1), b=2)")
        write(home / "experiments/_base_/data.py", "data = dict(crop=(1, 2))")
        write(
            home / "experiments/voc/r.py",
            "_base_ = ['../_base_/model.py', '../_base_/data.py']\n"
            "model = dict(a=dict(_delete_=True, type='B'), c=dict(_delete_=True, y=1))",
        )
        config = load("voc/r")
        assert catalogue.plain(config) == {
            "model": {"a": {"type": "B"}, "b": 2, "c": {"y": 1}},
            "data": {"crop": (1, 2)},
        }
        assert config.filename == str(home / "experiments/voc/r.py")

    def test_a_single_base_and_a_path(self, home):
        write(home / "base.py", "a = 1")
        assert catalogue.plain(load(write(home / "r.py", "_base_ = './base.py'\nb = 2"))) == {
            "a": 1,
            "b": 2,
        }

    def test_custom_imports_are_not_imported(self, home, monkeypatch):
        monkeypatch.syspath_prepend(home)
        write(home / "my_plugin_module.py", "raise SystemExit")
        load(write(home / "r.py", "custom_imports = dict(imports=['my_plugin_module'])"))
        assert "my_plugin_module" not in sys.modules

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a = 1\nb = dict(\n", r"r\.py, line 2: .*never closed"),
            ("a = 1\nb = c", r"r\.py, line 2: c is more than literals"),
            ("_base_ = 'nowhere.py'", r"r\.py, line 1: its _base_ .*nowhere\.py does not exist"),
            ("_base_ = [1]", r"r\.py, line 1: .* is no _base_: write a path"),
            ("_base_ = name", r"r\.py, line 1: .* is no _base_"),
            ("_base_ = 'r.py'", r"r\.py, line 1: its _base_ leads back to .*r\.py"),
            ("_base_ = ['one.py', 'two.py']", r"r\.py, line 1: two of its _base_ have same, the second is .*two\.py"),
            ("_base_ = 'broken.py'", r"broken\.py, line 3: 1 / 0 has no value: division by zero"),
            (
                "_base_ = 'one.py'\nsame = dict(a=1)",
                r"line 2: same is a dict here, and 1 in a _base_; add _delete_=True",
            ),
            ("a = dict(b=[1, print])", r"r\.py, line 1: print is more than literals"),
            ("a = float('nan')", r"r\.py, line 1: float.* is more than literals"),
            ("a = dict(\nb=1e999)", r"r\.py, line 2: a\.b is inf; a config holds only"),
            ("a = {1: 2}", r"r\.py, line 1: 1 is a key; keys must be strings"),
            ("filename = 1", r"r\.py: filename is reserved"),
        ],
    )
    def test_a_mistake_is_one_line_that_names_the_file(self, home, text, message):
        write(home / "one.py", "same = 1")
        write(home / "two.py", "same = 2")
        write(home / "broken.py", "\n\na = 1 / 0")
        with pytest.raises(UserError, match=message) as caught:
            load(write(home / "r.py", text))
        assert "\n" not in str(caught.value)

    def test_an_unreadable_file(self, home):
        (home / "r.py").write_bytes(b"a = '\xff'")
        with pytest.raises(UserError, match=r"r\.py: cannot be read"):
            load("r")


class TestText:
    @given(st.dictionaries(st.sampled_from(["model", "data", "x1"]), LITERALS))
    def test_what_was_written_loads_as_the_same_config(self, values):
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder) / "config.py", catalogue.to_text(values))
            again = load(path)
        assert repr(catalogue.plain(again)) == repr(values)
        assert catalogue.to_text(again) == catalogue.to_text(values)

    def test_it_reads_well(self):
        short = {
            "schedule": {"lr": 6e-5, "betas": (0.9, 0.999)},
            "names": ("a",),
            "options": {"a-b": []},
        }
        assert catalogue.to_text(short) == (
            "schedule = dict(lr=6e-05, betas=(0.9, 0.999))\nnames = ('a',)\noptions = {'a-b': []}\n"
        )
        assert catalogue.to_text({"a": {"µ": 1}}) == "a = {'µ': 1}\n"  # as a name it would be another letter
        long = catalogue.to_text({"a": {"first": "x" * 60, "second": {"third": "y" * 60}}})
        assert long == f"a = dict(\n    first='{'x' * 60}',\n    second=dict(third='{'y' * 60}'),\n)\n"

    def test_what_is_no_literal_is_refused(self):
        with pytest.raises(UserError, match="a.0 is inf"):
            catalogue.to_text({"a": [float("inf")]})


class TestDocstring:
    def test_read_without_executing(self, home):
        write(home / "experiments/r.py", '"""Title.\n\n    Indented.\n"""\nraise SystemExit')
        assert catalogue.docstring("r") == "Title.\n\nIndented."

    def test_empty_without_one(self, home):
        assert catalogue.docstring(write(home / "r.py", "a = 1")) == ""


class TestStrictAndLenient:
    TOY = Path(__file__).parents[2] / "experiments" / "demo" / "toy.py"

    def test_a_recipe_is_strict(self, home):
        path = write(home / "r.py", f"_base_ = [{str(self.TOY)!r}]\nschedule = dict(\n    weigth_decay=0.1)\n")
        with pytest.raises(UserError) as caught:
            catalogue.load(path)
        assert str(caught.value) == f"{path}, line 3: schedule.weigth_decay is unknown; did you mean weight_decay?"

    @pytest.mark.parametrize("read", [catalogue.read, catalogue.read_values, load_recipe, recipe_values])
    def test_the_config_of_a_run_is_read_with_one_warning(self, home, read):
        values = catalogue.load_values(self.TOY)
        values["schedule"]["gone"], values["old"] = 1, {"a": 2}
        path = write(home / "run" / "config.py", catalogue.to_text(values))
        write(home / "run" / "status.json", "{}")
        with pytest.raises(UserError, match="config.py, line .*old is unknown"):
            catalogue.load(path)
        with pytest.warns(UnknownKeys) as caught:
            assert catalogue.plain(read(path)) == values
        assert [str(one.message) for one in caught] == [f"{path}: unknown to this version: old, schedule.gone"]

    def test_commands_print_that_warning_once(self, home, capsys):
        values = catalogue.load_values(self.TOY)
        values["schedule"]["gone"] = 1
        path = write(home / "run" / "config.py", catalogue.to_text(values))
        write(home / "run" / "status.json", "{}")
        for _ in range(2):
            assert main(["show", str(path), "--set", "schedule.lr=0.5"]) == 0
            assert capsys.readouterr().err == f"dupl: {path}: unknown to this version: schedule.gone\n"
        assert main(["show", str(path), "--set", "schedule.lr=-1"]) == 2
        assert "override schedule.lr=-1: schedule.lr is -1: give a number above 0" in capsys.readouterr().err


def test_ids_of_what_we_ship():
    """An id that changes loses the runs of a store: a new field is left out where it has its old behaviour."""
    assert {name: config_id(catalogue.load(name)) for name in catalogue.names()} == {
        "animals/afa": "44a0fe302557",
        "animals/cosa": "c5b8371e4cc7",
        "animals/steady": "d14ed29dadee",
        "animals/supervised": "0c2c3607e7b1",
        "animals/toco": "4cbe568c6dc3",
        "coco/afa": "00c4c667e85a",
        "coco/cosa": "9964e02b4097",
        "coco/dupl": "664861d193db",
        "coco/dupl_released": "8ebf79acae49",
        "coco/toco": "09fd47a737b9",
        "demo/ablation": "47e68adeb0ea",
        "demo/afa": "bc784dea578f",
        "demo/cosa": "6d0955e5b2ae",
        "demo/small": "9519aeca8977",
        "demo/supervised": "a826ae4bbeb7",
        "demo/toco": "17b5ebfdbc17",
        "demo/toy": "a8f63b446d0f",
        "voc/afa": "bfe585bef49a",
        "voc/afa_repaired": "9b6cd355e751",
        "voc/afa_vitb": "3737ffbf70ab",
        "voc/cosa": "b76d1c45a737",
        "voc/cosa_repaired": "98f953c378e7",
        "voc/dupl": "d4e8ee9dc290",
        "voc/dupl_fast": "0e57bc635abe",
        "voc/dupl_in21k": "663be4da838f",
        "voc/dupl_released": "3d370d412f78",
        "voc/dupl_released_in21k": "bd5f255ededf",
        "voc/dupl_steady": "2c38f25b5b7f",
        "voc/supervised": "f676ce56c03e",
        "voc/toco": "4828f8d255c7",
        "voc/toco_in21k": "736f27b75b42",
        "voc/toco_repaired": "634a1ff05266",
        "voc_animals": "4cc475822b89",
    }


def test_no_sweep_has_the_name_of_a_plan():
    """`dupl report NAME` and `dupl export NAME` take both, and would only find the plan."""
    assert not set(catalogue.names("ablations")) & set(catalogue.names("sweeps"))


def test_ids_of_the_plans_and_sweeps_we_ship():
    from dupl.plans import plan, sweep

    def digest(name: str) -> str:
        """Of the ids of all runs of a plan."""
        runs = plan.load(name).expand()
        return hashlib.sha256(" ".join(config_id(run.config) for run in runs).encode()).hexdigest()[:12]

    assert {name: digest(name) for name in catalogue.names("ablations")} == {
        "animals_methods": "78895d9155ed",
        "animals_precision": "d722a73512bd",
        "animals_steady": "4165e566644b",
        "animals_steady_vs_released": "52e5bce7f0f7",
        "animals_table1": "78895d9155ed",
        "animals_table3": "b1315f576e85",
        "animals_table4": "8e40e478be7e",
        "animals_table4_steady": "e6570295cb19",
        "cross_methods": "d279b886441f",
        "demo_leave_one_out": "7dc12807a0c3",
        "demo_methods": "4a3fdc505654",
        "demo_precision": "26ce7f00c916",
        "demo_released_vs_paper": "6f299271006e",
        "demo_table4": "6db83f677b9c",
        "demo_table5a": "a32dd6bbbd49",
        "demo_table5b": "8f22e8b69b62",
        "demo_table6": "e1cb259d71ea",
        "fig2_confirmation_bias": "5d8a08d19bbe",
        "fig7a_overactivation": "5d8a08d19bbe",
        "fig7b_overactivation": "4511e57ed37b",
        "released_vs_paper": "bd4aa4dae220",
        "table1_cam": "3dd90bb2e873",
        "table2_segmentation": "3dd90bb2e873",
        "table2_segmentation_coco": "4b7508d3a1cd",
        "table3_upper_bound": "1d055cfc489c",
        "table4_components": "95d80daca26e",
        "table4_leave_one_out": "81f70ff62568",
        "table5a_threshold": "b94fcf416db6",
        "table5b_warmup": "0cb529ca07c6",
        "table6_discrepancy": "fb534a7db3fd",
    }
    assert {name: sweep.load(name).digest for name in catalogue.names("sweeps")} == {
        "animals_values": "f5aab7bd",
        "backbone_lr": "a84c0de8",
        "demo": "d33953bd",
        "dta_anf": "43cd772d",
        "weights": "dda7202f",
    }
