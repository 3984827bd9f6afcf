"""The record of the calls that train plans and sweeps."""

from dupl.runs.calls import Call, calls, record


def test_the_last_call_comes_last_and_each_once(tmp_path):
    first, other = Call("ablate", "plan", {"data.train.root": "a"}, [0, 1]), Call("ablate", "plan", {})
    for call in (first, other, first, Call("ablate", "else", {}), Call("sweep", "plan", {"x": 1})):
        record(tmp_path, call)
    found = calls(tmp_path, "ablate", "plan")
    assert [one.overrides for one in found] == [{}, {"data.train.root": "a"}]
    assert found[1].seeds == [0, 1] and found[1].time > "2020"
    assert [one.overrides for one in calls(tmp_path, "sweep", "plan")] == [{"x": 1}]


def test_there_is_none(tmp_path):
    assert calls(tmp_path, "ablate", "plan") == []


def test_lines_that_cannot_be_read_are_left_out(tmp_path):
    record(tmp_path, Call("ablate", "plan", {"a": [1, None, "x"]}))
    with open(tmp_path / ".plans" / "calls.jsonl", "a") as file:
        file.write('[]\n{"kind": "ablate"}\n{"kind": "ablate", "name": "plan", "overrides": 3, "seeds": null, ')
    assert [one.overrides for one in calls(tmp_path, "ablate", "plan")] == [{"a": [1, None, "x"]}]
