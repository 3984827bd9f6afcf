"""Typeset the paper's symbols, such as L_dis and tau_h, in HTML and in figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

SYMBOL = re.compile(r"\b(L|tau|lambda|gamma|eta)_([A-Za-z0-9]+)\b")  # as a label spells them
GREEK = {"L": "L", "tau": "τ", "lambda": "λ", "gamma": "γ", "eta": "η"}


def typeset(plain: Any, escape: Callable[[Any], str]) -> str:
    """Return plain text as HTML with its symbols (L_dis, tau_h) typeset.

    Args:
        plain: The text.
        escape: Turns plain text into HTML that shows it unchanged.
    """
    return SYMBOL.sub(lambda m: f"{GREEK[m[1]]}<sub>{m[2]}</sub>", escape(plain))


def mathtext(plain: str) -> str:
    """Return plain text for matplotlib, with its symbols (L_dis, tau_h) typeset and dollar signs kept."""
    escaped = plain.replace("$", r"\$")
    letter = {"L": r"\mathcal{L}"}
    return SYMBOL.sub(lambda m: f"${letter.get(m[1], chr(92) + m[1])}_{{\\mathrm{{{m[2]}}}}}$", escaped)
