"""Names and states of components, read without torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from dupl.config import catalogue
from dupl.config.slots import slots_of, starts, switches
from dupl.errors import UserError

MARKS = ["DS", "L_dis", "DTA", "ANF", "L_reg", "Diff. Aug"]


def model(name: str = "voc/dupl", **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = catalogue.plain(catalogue.load(name))["model"]
    return {**found, **changes}


def test_the_components_of_the_paper_and_their_states() -> None:
    parts = switches(model())
    assert [part.slot.mark for part in parts] == MARKS
    assert [part.slot.mark for part in parts if part.on] == MARKS[:-1]
    assert (parts[3].type, parts[3].arguments["gamma"]) == ("MixtureFilter", 0.9)
    assert not any(part.on for part in switches(model("voc/supervised")))


def test_a_method_of_ones_own_has_the_components_that_it_states() -> None:
    """The slots of an unknown method are not known: none of them is missing."""
    states = {part.slot.name: part.on for part in switches(model(type="TagsOnly"))}
    assert states["discrepancy"] is True and "seg_to_cam" not in states


OF_PAPER = [slot for slot in slots_of({"type": "DuPL"}) if slot.of_paper]


@pytest.mark.parametrize("slot", OF_PAPER, ids=lambda slot: slot.name)
def test_the_null_partner_switches_off(slot: Any) -> None:
    state = {part.slot.mark: part.on for part in switches(model(**{slot.name: {"type": slot.null}}))}
    assert state[slot.mark] is False


def test_a_slot_that_is_left_out() -> None:
    without = {key: value for key, value in model().items() if key != "own_view"}
    assert switches(without)[-1].type == "SameView"
    without.pop("threshold")
    with pytest.raises(UserError, match=r"^model.threshold is missing: write dict\(type=...\)$"):
        switches(without)


def test_a_class_that_is_not_imported_is_of_unknown_state() -> None:
    (own,) = (part for part in switches(model(noise_filter={"type": "MyFilter"})) if part.slot.mark == "ANF")
    assert own.on is None


def test_starts_are_those_of_components_that_act_late() -> None:
    assert list(starts(model()).items()) == [("L_seg", 2000), ("ANF", 8000), ("L_reg", 8000)]
    assert starts(model(discrepancy={"type": "LogCosineDiscrepancy", "start": 5}))["L_dis"] == 5
    assert starts({"segmentation": {"start": 4}}) == {"L_seg": 4}, "a model of unknown type"
    assert starts(model("voc/supervised")) == {}


def test_neither_needs_torch() -> None:
    code = (
        "import sys; from dupl.config.slots import slots_of, starts\n"
        "assert len(slots_of({'type': 'DuPL'})) == 20 and not starts({'type': 'Supervised'})\n"
        "print(sorted({'torch', 'mmengine', 'dupl.method'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
