"""Check the further trackers of a recipe, mmengine's visualization backends, before training starts.

A recipe may come from elsewhere. So a backend takes only the arguments listed here: none of them names a file or an
address. Backends write into the run's folder, or to where an environment variable of the user says.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dupl.errors import UserError

SIMPLE = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Backend:
    """What a recipe may say of a backend.

    Attributes:
        package: The package that it needs, which is also the name of the extra; "" for none.
        arguments: Arguments that a recipe may give: plain values, or dicts of them.
        elsewhere: By argument that a recipe may not give: what to do instead.
    """

    package: str = ""
    arguments: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] | None = None


ELSEWHERE = {  # backends of mmengine that send a run away, or write where they like
    "WandbVisBackend": "track the run by --wandb instead",
    **dict.fromkeys(("ClearMLVisBackend", "DVCLiveVisBackend", "NeptuneVisBackend"), "remove it from the list"),
}
BACKENDS = {
    "LocalVisBackend": Backend(),
    "TensorboardVisBackend": Backend("tensorboard"),
    "MLflowVisBackend": Backend(
        "mlflow",
        ("exp_name", "tags"),
        {"tracking_uri": "set MLFLOW_TRACKING_URI", "run_name": "runs are named by folder and row"},
    ),
    "AimVisBackend": Backend("aim", ("experiment", "log_system_params"), {"init_kwargs": "give experiment by itself"}),
}


def check_backends(backends: Sequence[Mapping[str, Any]]) -> None:
    """Check that backends are known, take only what a recipe may say, and have their packages.

    Args:
        backends: The recipe's ``runtime.vis_backends``.

    Raises:
        UserError: They do not; the message says what to do.
    """
    for number, backend in enumerate(backends):
        where, name = f"runtime.vis_backends.{number}", str(backend.get("type"))
        known = BACKENDS.get(name)
        if name in ELSEWHERE:
            raise UserError(f"{where}: a recipe may not name {name}: {ELSEWHERE[name]}")
        if known is None:  # of a module of the user's own, or unknown: told when such modules are imported
            continue
        for key, value in backend.items():
            if key != "type":
                _check_argument(where, name, known, key, value)
        if known.package and importlib.util.find_spec(known.package) is None:
            raise UserError(f'{where} names {name}: pip install ".[{known.package}]", or remove it from the list')


def _check_argument(where: str, name: str, known: Backend, key: str, value: Any) -> None:
    if key not in known.arguments:
        close = difflib.get_close_matches(key, known.arguments, 1)
        advice = (known.elsewhere or {}).get(key) or (f"did you mean {close[0]}?" if close else "remove it")
        raise UserError(f"{where}.{key}: a recipe may not set this argument of {name}: {advice}")
    values = value.values() if isinstance(value, Mapping) else [value]
    if not all(isinstance(one, SIMPLE) for one in values):
        raise UserError(f"{where}.{key} is {json.dumps(value, default=str)[:60]}: give a plain value")
