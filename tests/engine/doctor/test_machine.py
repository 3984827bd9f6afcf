"""What the doctor says of a machine, the part without torch; and its command."""

from __future__ import annotations

import json
import re
import shutil
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest

from dupl.cli import main
from dupl.engine.doctor import machine, packages

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def requirements(monkeypatch):
    """The requirements as an installed package states them, also where the tests run from the source."""
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    listed = re.findall(r'"(.+?)"', text.partition("\ndependencies = [\n")[2].partition("\n]")[0])
    extra = ["pycocotools; extra == 'coco'", "pydensecrf2==1.1; python_version < '3.13' and extra == 'crf'"]
    monkeypatch.setattr(metadata, "requires", lambda name: [*listed, *extra])
    return listed


def by_name(findings):
    return {one.name: one for one in findings}


class TestPackages:
    def install(self, monkeypatch, **versions):
        """Pretend that these are what is installed."""

        def version(name):
            if name.replace("-", "_") in versions:
                return versions[name.replace("-", "_")]
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(metadata, "version", version)
        return by_name(packages.packages())

    def test_missing_old_and_new_enough(self, monkeypatch):
        found = self.install(monkeypatch, torch="2.10.0+cu126", mmengine="0.10.6", timm="1.0.15", numpy="1.0")
        assert (found["torch"].state, found["torch"].found) == ("ok", "2.10.0+cu126")
        assert found["timm"].state == found["numpy"].state == "ok"
        assert (found["mmengine"].state, found["mmengine"].fix) == ("fail", 'pip install "mmengine>=0.10.7"')
        assert (found["scipy"].state, found["scipy"].fix) == ("fail", "pip install scipy")

    def test_what_only_some_commands_need_is_a_note(self, monkeypatch):
        found = self.install(monkeypatch, ray="2.50")
        assert (found["ray"].state, found["ray"].fix) == ("ok", "")
        assert found["wandb-workspaces"].state == "note"
        assert found["wandb-workspaces"].fix.endswith('pip install ".[workspaces]"')

    def test_the_list_is_that_of_the_package(self, monkeypatch, requirements):
        found = self.install(monkeypatch)
        required = {line.partition(">=")[0] for line in requirements}
        assert {name for name, one in found.items() if one.state == "fail"} == required
        assert set(found) == required | set(packages.OPTIONAL)

    def test_without_an_installation_the_list_is_unknown(self, monkeypatch):
        def requires(name):
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(metadata, "requires", requires)
        (found,) = packages.packages()
        assert (found.name, found.state) == ("dupl-lab", "note") and found.fix.startswith("pip install .")


class TestMachine:
    def test_compiler(self, tmp_path):
        assert machine.compiler({"PATH": str(tmp_path)}).state == "note"
        compiler = tmp_path / "g++"
        compiler.write_text("")
        compiler.chmod(0o755)
        assert machine.compiler({"PATH": str(tmp_path)}).found == str(compiler)

    @pytest.mark.parametrize(
        ("free", "need", "state"),
        [(50, 0, "ok"), (50, 45, "note"), (5, 0, "note"), (0.5, 0, "fail"), (50, 60, "fail")],
    )
    def test_disk(self, tmp_path, monkeypatch, free, need, state):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, int(free * 2**30)))
        found = machine.disk(tmp_path / "not" / "yet", need * 2**30)
        assert found.state == state
        assert found.found.startswith(f"{free:.1f} GiB free in {tmp_path}")
        assert bool(found.fix) == (state != "ok")

    def test_a_folder_that_cannot_be_written_to(self, tmp_path, monkeypatch):
        monkeypatch.setattr(machine.os, "access", lambda *_: False)
        assert machine.disk(tmp_path).state == "fail"

    def test_data_sets(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "data" / "coco14").mkdir(parents=True)
        found = by_name(machine.data_sets())
        assert (found["data voc"].state, found["data coco"].state) == ("note", "ok")
        assert "dupl data prepare voc --root data/voc12" in found["data voc"].fix

    def test_tracking(self, tmp_path, monkeypatch):
        environ = {"HOME": str(tmp_path)}
        assert machine.wandb(environ).found == "off (not asked for)"
        assert "--wandb online" in machine.wandb(environ).fix
        offline = {**environ, "WANDB_MODE": "offline"}
        assert machine.wandb(offline).found == "offline (WANDB_MODE is offline)"
        assert "wandb login" in machine.wandb(offline).fix
        assert machine.wandb({**environ, "WANDB_API_KEY": "k", "WANDB_MODE": "offline"}).fix == ""
        assert machine.wandb({**environ, "WANDB_MODE": "nonsense"}).state == "fail"
        far = {**environ, "WANDB_MODE": "online", "WANDB_API_KEY": "k", "WANDB_BASE_URL": "http://127.0.0.1:9"}
        assert (machine.wandb(far).state, "dupl sync" in machine.wandb(far).fix) == ("note", True)


def test_everything_missing_has_a_fix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nothing = {"PATH": str(tmp_path), "HOME": str(tmp_path), "WANDB_MODE": "nonsense"}
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "_version", lambda name: None)
    monkeypatch.setattr(machine.os, "access", lambda *_: False)
    assert not {"disk", "data voc", "data coco"} & {one.name for one in machine.examine(tmp_path, nothing, True)}
    found = machine.examine(tmp_path, nothing)
    lacking = [one for one in found if one.state != "ok"]
    assert {"torch", "wandb", "compiler", "git", "tracking", "disk", "data voc"} <= {one.name for one in lacking}
    assert [one.name for one in lacking if not one.fix] == []


class TestCommand:
    def test_a_machine_that_can_train(self, capsys, tiny):
        assert main(["doctor", tiny, "--json"]) == 0
        found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
        assert {"python", "torch", "gpu", "disk", "tracking", "crf", "compiler", "data.train", "weights"} <= set(found)
        assert found["data.train"]["found"] == "24 images, with masks"
        assert found["weights"]["found"] == "random"

    def test_one_that_cannot(self, capsys, tmp_path):
        lost = tmp_path / "lost"
        sets = ["--set", f"data.train.root={lost}", "model.network.backbone.weights=none.safetensors"]
        assert main(["doctor", "voc/dupl", *sets]) == 1
        lines = capsys.readouterr().out.splitlines()
        (train,) = (line for line in lines if line[6:].startswith("data.train"))
        assert train.startswith("FAIL") and f"no folder JPEGImages in {lost}" in train
        assert any(line.startswith("FAIL  weights") for line in lines)
        assert lines[-1].endswith("would make training fail")

    def test_a_broken_torch_is_told(self, capsys, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "dupl.engine.doctor.recipe", None)
        monkeypatch.delattr("dupl.engine.doctor.recipe", raising=False)
        assert main(["doctor", "--json"]) == 1
        found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
        assert found["training code"]["state"] == "fail" and "torchvision" in found["training code"]["fix"]
