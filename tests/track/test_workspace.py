"""The workspace for wandb: what is sent, by the package's own schema; and that nothing is without being asked to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from dupl.cli import main
from dupl.track import choice, workspace

pytest.importorskip("wandb_workspaces")


def test_the_sections_and_what_they_draw():
    found = workspace.specification(workspace.workspace("me", "dupl"))
    assert (found["entity"], found["project"], found["displayName"]) == ("me", "dupl", "DuPL")
    sections = found["spec"]["section"]["panelBankConfig"]["sections"]
    names = [board.name for board in workspace.BOARDS]
    assert names == ["Progress", "Components", "Pixels", "Classes", "Comparison"]
    assert [section["name"] for section in sections][: len(names)] == names
    for board, section in zip(workspace.BOARDS, sections, strict=False):
        lines = [p["config"] for p in section["panels"] if p["viewType"] == "Run History Line Plot"]
        assert [(c["chartTitle"], tuple(c["metrics"])) for c in lines] == [(c.title, c.keys) for c in board.charts]
        assert all(c["xAxis"] == "iter" for c in lines)
        media = [p["config"]["mediaKeys"] for p in section["panels"] if p["viewType"] == "Media Browser"]
        assert media == [[key] for key in board.pictures]
        kinds = {p["viewType"] for p in section["panels"]}
        assert ("Weave" in kinds) == (board.table is not None)
        assert ("Scatter Plot" in kinds) == (board.versus is not None)
        assert ("Run Comparer" in kinds) == board.differences


def test_a_plan_shows_its_own_runs_by_row():
    found = workspace.specification(workspace.workspace("me", "dupl", "table4"))
    (runs,) = found["spec"]["section"]["runSets"]
    said = {(f["key"]["name"], f["op"], f["value"]) for f in runs["filters"]["filters"]}
    assert said == {("group", "=", "table4"), ("jobType", "!=", "table")}
    assert [key["name"] for key in runs["grouping"]] == ["jobType"]


def test_the_package_reads_it_back():
    from wandb_workspaces.workspaces import internal

    found = workspace.specification(workspace.workspace("me", "dupl", "table4"))
    again = internal.WorkspaceViewspec.model_validate_json(json.dumps(found["spec"]))
    assert json.loads(again.model_dump_json(by_alias=True, exclude_none=True)) == found["spec"]


def test_what_is_drawn_is_logged(trained):
    """Every scalar of the dashboard is one that training writes."""
    from dupl.runs.run import Run

    logged = {name for row in Run(trained).scalars() for name in row}
    drawn = {key for board in workspace.BOARDS for chart in board.charts for key in chart.keys}
    drawn |= {key.removeprefix("best/") for board in workspace.BOARDS for bar in board.bars for key in bar.keys}
    drawn |= {key for board in workspace.BOARDS for key in board.versus or ()}
    assert drawn - logged == {"quality/disagreement"}, "logged where the recipe asks for the quality of labels"


def test_saving_sends_this_specification(monkeypatch):
    from wandb_workspaces.workspaces import internal

    sent = []

    def execute(api, query, variables):
        sent.append((query, variables))
        return {"upsertView": {"view": {"id": "V1", "name": "nw-abc-v"}, "inserted": True}}

    monkeypatch.setattr(internal, "execute_graphql", execute)
    api = SimpleNamespace(client=SimpleNamespace(app_url="https://wandb.ai"))
    monkeypatch.setattr(internal.wandb, "Api", lambda: api)
    made = workspace.workspace("me", "dupl")
    address = workspace.save(made)
    ((query, variables),) = sent
    assert "upsertView" in query
    assert (variables["entityName"], variables["projectName"], variables["type"]) == ("me", "dupl", "project-view")
    assert json.loads(variables["spec"]) == workspace.specification(made)["spec"]
    assert address.startswith("https://wandb.ai/me/dupl?nw=")


class TestCommand:
    @pytest.fixture(autouse=True)
    def alone(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("NETRC", raising=False)
        monkeypatch.delenv("WANDB_API_KEY", raising=False)

    def test_the_specification_as_a_file(self, tmp_path, capsys):
        out = tmp_path / "workspace.json"
        assert main(["dashboard", "--spec", str(out), "--plan", "table4", "--entity", "me"]) == 0
        assert json.loads(out.read_text())["entity"] == "me"

    def test_without_an_account_the_board_is_named(self, capsys):
        assert main(["dashboard", "--entity", "me"]) == 2
        assert "no wandb account is set up: wandb login; or --spec FILE, or dupl board" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "named"),
        [
            (["--local"], "--local"),
            (["runs/A"], "folders of runs"),
            (["--root", "x"], "--root"),
            (["--out", "x"], "--out"),
            (["--plan", "p", "--rows", "a"], "--rows"),
            (["--plan", "p", "--set", "a=1"], "--set"),
        ],
    )
    def test_options_of_the_page_name_the_command_that_makes_it(self, capsys, words, named):
        assert main(["dashboard", *words]) == 2
        assert f"{named} is for the page: dupl board --static FILE" in capsys.readouterr().err

    def test_a_page_of_the_newest_runs(self, trained, tmp_path, capsys):
        assert main(["board", "--root", str(trained.parent), "--static", str(tmp_path / "page.html")]) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
        assert "<title>Runs side by side</title>" in (tmp_path / "page.html").read_text()
        assert main(["board", "--root", str(tmp_path / "nothing"), "--static", "page.html"]) == 2
        assert "no runs to show" in capsys.readouterr().err

    def test_a_page_of_a_plans_runs(self, tmp_path, capsys):
        fixtures = Path(__file__).parents[1] / "fixtures"
        words = ["board", "--plan", str(fixtures / "plan.py"), "--static", str(tmp_path / "page.html")]
        assert main([*words, "--root", str(fixtures / "store")]) == 0
        page = (tmp_path / "page.html").read_text()
        places = [
            page.index(name) for name in ("Baseline, seed 0", "L_dis, seed 0", "L_reg, seed 0", "Baseline, seed 1")
        ]
        assert places == sorted(places), "in the plan's order"
        assert main([*words, "--root", str(tmp_path)]) == 2
        told = rf"has none of these runs of .*plan\.py: dupl ablate .*plan\.py --root {tmp_path} trains them"
        assert re.search(told, capsys.readouterr().err)
        some = ["--root", str(fixtures / "store"), "--rows", "L_reg", "--seeds", "0", "7"]
        assert main([*words, *some]) == 0
        assert re.search(
            r"^1 more of the plan were not begun: dupl ablate .* --rows L_reg --seeds 0 7$", capsys.readouterr().err
        )
        page = (tmp_path / "page.html").read_text()
        assert "L_reg, seed 0" in page and "Baseline, seed 0" not in page
        assert main([*words, *some, "--set", "schedule.lr=0.5"]) == 2
        assert "--set schedule.lr=0.5 trains them" in capsys.readouterr().err
        assert main(["board", "--static", "page.html", "--rows", "L_reg"]) == 2
        assert "add --plan" in capsys.readouterr().err
        assert main([*words, str(fixtures / "store" / "L_dis-0")]) == 2
        assert "--plan names the runs" in capsys.readouterr().err

    def test_with_one_it_is_sent(self, monkeypatch, capsys):
        monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
        monkeypatch.setattr(choice, "unreachable", lambda: None)
        monkeypatch.setattr(choice, "entity", lambda: "me")
        monkeypatch.setattr(workspace, "save", lambda made: f"https://wandb.ai/{made.entity}/{made.project}")
        assert main(["dashboard", "--project", "other"]) == 0
        assert capsys.readouterr().out == "https://wandb.ai/me/other\n"
        monkeypatch.setattr(choice, "unreachable", lambda: "no route")
        assert main(["dashboard"]) == 2
        assert "dupl board shows the runs without it" in capsys.readouterr().err
