"""Ids that runs were given by earlier versions, mapped on reading; nothing on disk is renamed.

A new field of a recipe at its old behaviour leaves ids as they are. Where an id has to change, its old form is listed
here, so that the run is found, shown and resumed under the id that its recipe has now.
"""

from __future__ import annotations

ALIASES: dict[str, str] = {}  # the id of today by the old one


def current(fingerprint: str) -> str:
    """Return the id that a run has today, given the one that it was stored under."""
    return ALIASES.get(fingerprint, fingerprint)


def recipe_of(folder: str, fingerprint: str) -> str:
    """Return the name of a run's folder without its id, in whichever form the folder has it.

    Args:
        folder: Name of the folder.
        fingerprint: The id of the run today.
    """
    for known in (fingerprint, *(old for old, new in ALIASES.items() if new == fingerprint)):
        if folder.endswith(f"-{known}"):
            return folder.removesuffix(f"-{known}")
    return folder
