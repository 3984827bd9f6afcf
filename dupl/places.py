"""Find data sets and files of weights where this machine keeps them, so that recipes need not name it.

A recipe says ``root="data/voc12"``. Where the working folder has none, it is looked for in the folders that this
machine names: by the environment variables DUPL_DATA and DUPL_WEIGHTS, or in the user's file
``~/.config/dupl/config.ini``, whose place DUPL_CONFIG may change::

    [places]
    data = /mnt/datasets
    weights = /mnt/weights
    data/voc12 = /scratch/VOC2012

A line may also give the place of one path, as recipes write it.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from pathlib import Path

from dupl.errors import UserError

SECTION = "places"


def find_data(path: str | Path) -> Path:
    """Return where a data set is: its path as written if that exists, else as this machine says.

    Args:
        path: The root of a data set as a recipe writes it.

    Raises:
        UserError: The user's file is no config file.
    """
    return _find(Path(path).expanduser(), "data")


def find_weights(path: str | Path) -> Path:
    """Return where a file of weights is, as `find_data`."""
    return _find(Path(path).expanduser(), "weights")


def user_file() -> Path:
    """Return the place of the user's file; it need not exist."""
    if given := os.environ.get("DUPL_CONFIG"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "dupl" / "config.ini"


def cache_folder() -> Path:
    """Return the folder of caches, DUPL_CACHE or ``~/.cache/dupl``; it may be deleted at any time."""
    if given := os.environ.get("DUPL_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dupl"


def _find(path: Path, kind: str) -> Path:
    if path.is_absolute() or path.exists():
        return path
    return next((place for place in _candidates(path, kind) if place.exists()), path)


def _candidates(path: Path, kind: str) -> Iterator[Path]:
    """Yield where a relative path may lie: its own line, then the folder of its kind, with and without "data/"."""
    stated = _stated()
    if (own := stated.get(path.as_posix())) is not None:
        yield Path(own).expanduser()
    folder = os.environ.get(f"DUPL_{kind.upper()}") or stated.get(kind)
    if folder:
        base = Path(folder).expanduser()
        if path.parts[0] == kind and len(path.parts) > 1:
            yield base.joinpath(*path.parts[1:])
        yield base / path


def _stated() -> dict[str, str]:
    """Read the user's file; nothing where there is none."""
    file = user_file()
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[method-assign,assignment]  # paths keep their case
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file} cannot be read: {reason}; write [places] and lines data = DIR") from None
    return dict(parser[SECTION]) if SECTION in parser else {}
