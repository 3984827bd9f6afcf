"""Tell runs that are started by other commands whether to track themselves, by their environment."""

from __future__ import annotations

WANDB_MODES = {"off": "disabled"}  # how wandb itself calls a mode


def tracking_variables(mode: str) -> dict[str, str]:
    """Return the environment variables that choose a mode of tracking: "off", "offline", "online" or "trackio"."""
    if mode == "trackio":
        return {"DUPL_TRACK": mode, "WANDB_MODE": "disabled"}
    return {"DUPL_TRACK": "", "WANDB_MODE": WANDB_MODES.get(mode, mode)}
