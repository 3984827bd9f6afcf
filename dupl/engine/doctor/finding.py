"""The result of one check of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "fail"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: What was checked.
        state: "ok"; "note" where something is missing that not everyone needs; "fail" where training would fail.
        found: What was found.
        fix: What to do; empty where nothing is to be done.
    """

    name: str
    state: State
    found: str
    fix: str = ""
