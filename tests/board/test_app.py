"""Who is let in, what is answered, and what a hostile store can do to it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from dupl.cli import main

EVIL = 'x"><img src=q onerror=alert(1)>'


class Page(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.tags, self.names = [], []
        self.feed(body.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.names += [name for name, _ in attrs]


def data(body: bytes) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', body.decode(), re.S)[1])


class TestGuard:
    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", None, "[::1]:80"]
    )
    def test_another_host_is_refused(self, ask, host):
        status, headers, body = ask("/token/", host=host)
        assert status == 400 and b"Runs" not in body and headers["content-security-policy"]

    @pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost:9", "localhost"])
    def test_this_machine_is_not(self, ask, host):
        assert ask("/token/", host=host)[0] == 200

    @pytest.mark.parametrize("path", ["/", "/toke/", "/token", "/TOKEN/", "//token/", "/tökén/", "/assets/page.js"])
    def test_without_the_token_there_is_nothing(self, ask, path):
        status, _, body = ask(path)
        assert status == 404 and b"voc-a" not in body

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_read_only(self, ask, root, method):
        before = sorted(root.rglob("*"))
        assert ask("/token/", method=method)[0] == 405
        assert sorted(root.rglob("*")) == before

    @pytest.mark.parametrize("path", ["/token/", "/token/assets/page.js", "/token/nothing", "/nothing"])
    def test_headers_of_every_answer(self, ask, path):
        _, headers, _ = ask(path)
        rules = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
        assert rules["default-src"] == "'none'" and rules["script-src"] == "'self'" and rules["connect-src"] == "'self'"
        assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


class TestPages:
    def test_the_list_of_runs(self, ask):
        status, headers, body = ask("/token/")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        rows = {row["id"]: row for row in data(body)["board"]["rows"]}
        assert set(rows) == {"voc-a-000000000000", "voc-b-000000000001", "group/voc-c-000000000002", EVIL}
        running, first = rows["group/voc-c-000000000002"], rows["voc-a-000000000000"]
        assert running["state"] == "running" and [cell["text"] for cell in running["cells"][:2]] == [
            "15 of 20",
            "0:00:02",
        ]
        assert [cell["text"] for cell in first["cells"][2:4]] == ["61.5", "40.0"]
        assert first["groups"] == {"plan": ["table"], "row": ["table: full"], "recipe": ["voc-a"]} | {
            "state": ["finished"],
            "seed": ["seed 0"],
        }
        assert rows[EVIL]["link"] == f"/token/runs/{quote(EVIL)}"

    def test_what_did_not_change_is_not_sent_again(self, ask, root, board):
        _, headers, _ = ask("/token/")
        assert ask("/token/", if_none_match=headers["etag"])[0] == 304
        status = root / "group" / "voc-c-000000000002" / "status.json"
        status.write_text(status.read_text().replace('"iteration": 15', '"iteration": 18'))
        board.view._looked = float("-inf")
        board.kept.clear()
        found, later, body = ask("/token/", if_none_match=headers["etag"])
        assert found == 200 and later["etag"] != headers["etag"] and "18 of 20" in body.decode()

    @pytest.mark.parametrize("name", ["voc-a-000000000000", "group/voc-c-000000000002", EVIL])
    def test_a_run(self, ask, name):
        status, _, body = ask(f"/token/runs/{name}")
        assert status == 200 and b'href="/token/"' in body
        sheets = [shot["sheet"] for shot in data(body)["gallery"]]
        assert sheets == [f"/token/sheets/{k}/{quote(name)}" for k in (10, 20)], "pictures are not sent with each news"

    def test_a_run_that_goes_on_has_another_page(self, ask, root, monkeypatch):
        monkeypatch.setattr("dupl.board.board.PATIENCE", 0)
        name = "group/voc-c-000000000002"
        _, first, _ = ask(f"/token/runs/{name}")
        assert ask(f"/token/runs/{name}", if_none_match=first["etag"])[0] == 304
        with open(root / name / "scalars.jsonl", "a") as file:
            file.write('{"iter": 16, "loss": 0.125}\n')
        status, later, body = ask(f"/token/runs/{name}", if_none_match=first["etag"])
        assert status == 200 and later["etag"] != first["etag"] and "0.125" in body.decode()

    def test_a_slow_page_is_not_made_again_at_once(self, board, root):
        times = iter([0.0, 2.0, 3.0, 11.9, 12.0, 12.0, 12.0])  # rendering took two seconds
        board.clock = lambda: next(times)
        name = "voc-a-000000000000"
        first = board.run(name)
        os.utime(root / name / "scalars.jsonl", (1, 1))
        assert board.run(name) is first, "after a second"
        assert board.run(name) is first, "after 9.9 seconds"
        assert board.run(name).tag != first.tag

    def test_chosen_runs_with_their_galleries(self, ask):
        query = urlencode([("run", "voc-a-000000000000"), ("run", "voc-b-000000000001")])
        status, _, body = ask("/token/compare", query=query)
        found = data(body)
        assert status == 200 and [run["name"][:5] for run in found["galleries"]] == ["voc-a", "voc-b"]
        assert [shot["iter"] for shot in found["galleries"][0]["shots"]] == [10, 20]
        address = found["galleries"][1]["shots"][1]["sheet"]
        assert address == "/token/sheets/20/voc-b-000000000001"
        status, headers, picture = ask(address)
        assert (status, headers["content-type"], picture[8:12]) == (200, "image/webp", b"WEBP")
        titles = [trace["name"] for trace in found["plots"]["progress-1"]["data"]]
        assert titles == ["voc-a 000000 (seed 0)", "voc-b 000000 (seed 1)"]
        assert "Disagreement of the students" in body.decode()

    def test_what_cannot_be_shown_is_a_page_that_says_so(self, ask, root):
        assert ask("/token/compare")[0] == 404
        assert "no runs to show" in ask("/token/compare")[2].decode()
        many = urlencode([("run", "voc-a-000000000000")] * 3 + [("run", "nothing")])
        assert "the store has no run" in ask("/token/compare", query=many)[2].decode()
        assert "no dupl ablate of" in ask("/token/plans/table")[2].decode()
        line = dict(kind="ablate", name=EVIL, overrides={}, seeds=None, rows=None, time="2026-01-01T00:00:00")
        (root / ".plans" / "calls.jsonl").write_text(json.dumps(line) + "\n")
        status, _, body = ask(f"/token/plans/{EVIL}")
        assert status == 404 and "is no plan here" in body.decode() and "img" not in Page(body).tags


class TestHostile:
    PLACES = [
        "../secret.txt",
        "..",
        ".",
        "../runs/voc-a-000000000000",
        "/etc/passwd",
        ".plans",
        "voc-a-000000000000/..",
    ]

    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("kind", ["runs", "sheets/10", "plans", "tables", "sweeps"])
    def test_no_path_leads_out_of_the_store(self, ask, kind, place):
        for path in (f"/token/{kind}/{place}", f"/token/{kind}/{quote(place, safe='')}"):
            status, _, body = ask(path)
            assert status == 404 and b"secret" not in body.replace(b"secret.txt", b"") and b"root:" not in body

    @pytest.mark.parametrize("path", ["/", f"/runs/{EVIL}"])
    def test_names_are_text(self, ask, path):
        page = Page(ask(f"/token{path}")[2])
        assert "img" not in page.tags and not [name for name in page.names if name.startswith("on")]
        assert page.tags.count("script") <= 4

    def test_names_are_text_beside_each_other(self, ask):
        _, _, body = ask("/token/compare", query=urlencode([("run", EVIL), ("run", "voc-a-000000000000")]))
        assert "img" not in Page(body).tags and data(body)["galleries"][0]["shots"][0]["images"][0]["name"] == EVIL

    def test_a_sheet_that_is_no_picture_is_not_sent(self, ask, root):
        (root / "voc-a-000000000000" / "gallery" / "iter_000010.webp").write_bytes(b"<script>alert(1)</script>")
        status, headers, body = ask("/token/sheets/10/voc-a-000000000000")
        assert status == 404 and b"script" not in body and headers["content-type"].startswith("text/plain")

    def test_one_student_has_a_map_of_its_own(self, ask, root):
        """Runs of one student have no metrics of all students together."""
        for name, metrics in (
            ("voc-a-000000000000", {"cls/mean/mAP": 81.0, "cls/1/mAP": 70.0}),
            ("voc-b-000000000001", {"cls/1/mAP": 64.0}),
        ):
            file = root / name / "evaluation" / "iter_000020" / "metrics.json"
            facts = json.loads(file.read_text()) if file.exists() else {"iter": 20, "protocol": "train", "metrics": {}}
            facts["metrics"] |= metrics
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(facts))
        found = data(ask("/token/")[2])["board"]
        place = [head["text"] for head in found["heads"]].index("mAP") - len(found["heads"])
        cells = {row["id"]: row["cells"][place]["text"] for row in found["rows"]}
        assert (cells["voc-a-000000000000"], cells["voc-b-000000000001"]) == ("81.0", "64.0")

    def test_what_the_detector_warned_of(self, ask, root):
        """The last row of the detector counts, by the limit of the recipe."""
        run = root / "voc-a-000000000000"
        with open(run / "scalars.jsonl", "a") as file:
            file.write(json.dumps({"iter": 18, "detector/1/cat": 0.2, "detector/2/dog": 0.1}) + "\n")
            file.write(json.dumps({"iter": 20, "detector/1/cat": 0.7, f"detector/2/{EVIL}": 0.25}) + "\n")
            file.write(json.dumps({"iter": 20, "loss": 1.0}) + "\n")
        found = data(ask("/token/")[2])["board"]
        cells = {row["id"]: row["cells"][-1]["text"] for row in found["rows"]}
        assert found["heads"][-1]["text"] == "warnings"
        assert cells["voc-a-000000000000"] == f"student 2 is misled on {EVIL} (0.25, below 0.5)"
        assert cells["voc-b-000000000001"] == ""

    @pytest.mark.parametrize(
        "number", ["1e308", "1" + "0" * 400, "-5", "NaN", "Infinity", '"x"', "[]", "9007199254740991"]
    )
    @pytest.mark.parametrize("name", ["iter", "seconds"])
    def test_numbers_that_cannot_be(self, ask, root, name, number):
        run = root / "group" / "voc-c-000000000002"
        values = {"iter": "16", "seconds": "0.5", name: number}
        with open(run / "scalars.jsonl", "a") as file:
            file.write(json.dumps({"detector/1/cat": 1}).replace("1}", f"{number}}}") + "\n")
            file.write("{" + ", ".join(f'"{key}": {value}' for key, value in values.items()) + "}\n")
        status, _, body = ask("/token/")
        assert status == 200 and len(data(body)["board"]["rows"]) == 4

    def test_damaged_files_are_named(self, ask, root, board):
        (root / "voc-a-000000000000" / "status.json").write_text("{")
        _, _, body = ask("/token/")
        assert "voc-a-000000000000: status.json" in body.decode() and len(data(body)["board"]["rows"]) == 3
        (root / "voc-b-000000000001" / "scalars.jsonl").write_text("nonsense\n")
        assert "scalars.jsonl" in ask("/token/runs/voc-b-000000000001")[2].decode()


class TestCommand:
    def test_what_is_no_store(self, tmp_path, capsys):
        assert main(["board", "--root", str(tmp_path / "none")]) == 2
        assert "there is no store" in capsys.readouterr().err
        assert main(["board", "--root", str(tmp_path), "--port", "70000"]) == 2
        assert "give a port from 0" in capsys.readouterr().err
        assert main(["board", "--plan", "demo_table4"]) == 2
        assert "--plan is for a page: add --static FILE" in capsys.readouterr().err
        assert main(["board", "--static", str(tmp_path / "p.html"), "--open"]) == 2
        assert "leave out --static" in capsys.readouterr().err

    def test_without_the_packages(self, tmp_path, capsys, monkeypatch):
        from dupl.board import serve

        monkeypatch.setattr(serve.importlib.util, "find_spec", lambda name: None)
        assert main(["board", "--root", str(tmp_path)]) == 2
        assert 'pip install ".[board]", or write a page by --static FILE' in capsys.readouterr().err

    def test_a_port_that_is_taken(self, tmp_path, capsys):
        pytest.importorskip("uvicorn")
        from dupl.board.serve import _listen

        with _listen(0) as taken:
            assert main(["board", "--root", str(tmp_path), "--port", str(taken.getsockname()[1])]) == 2
        assert "cannot be used" in capsys.readouterr().err

    def test_it_ends_by_ctrl_c(self, root):
        pytest.importorskip("uvicorn")
        import signal
        from urllib.request import urlopen

        command = [sys.executable, "-m", "dupl", "board", "--root", str(root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            address = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
            assert b"voc-a-000000000000" in urlopen(address, timeout=60).read()
            process.send_signal(signal.SIGINT)
            process.wait(60)
            assert process.returncode in (0, 130)


def test_the_store_is_read_before_the_first_request(board):
    """What fails then is told by the request, which fails the same."""
    from dupl.board.serve import _read_ahead

    _read_ahead(board)
    assert "voc-a-000000000000" in board.kept["runs"].text
    board.kept.clear()
    board.view.store = None
    _read_ahead(board)
    assert not board.kept


def test_the_room_needs_no_torch():
    code = "import sys, dupl.board.board, dupl.board.serve, dupl.board.app; sys.exit('torch' in sys.modules)"
    pytest.importorskip("starlette")
    assert (
        subprocess.run([sys.executable, "-c", code], env={**os.environ}, cwd=Path(__file__).parents[2]).returncode == 0
    )
