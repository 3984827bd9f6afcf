"""Identify a run by its config and by the content of what its training reads.

Content is: class names and their order, names of images, tags, bytes of photos, bytes of masks where the method learns
from them, and bytes of files of weights. Sets that code generates count by their settings, which the config has, and
weights of timm by their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dupl.config import components
from dupl.config.aliases import note_alias, old_data_id
from dupl.config.fingerprint import Texts, canonical, config_id, digest_of, places, weight_files
from dupl.config.text import plain
from dupl.data.base import ImageSet
from dupl.data.file_digests import MISSING, file_digest
from dupl.data.reads import old_record, read_record, training_id
from dupl.errors import UserError
from dupl.places import find_data, find_weights
from dupl.registry import DATASETS, build

ROOT = "root"


@dataclass
class Memo:
    """What one command identified before; it asks about plain values, which do not change.

    Attributes:
        data: Digest of data by what names them, and why there is none.
        names: What names the data of a model and an entry, which are kept so that their identities stay their own.
        texts: Of sections, see `dupl.config.fingerprint.config_id`.
    """

    data: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    names: dict[tuple[int, int], tuple[object, object, str]] = field(default_factory=dict)
    texts: Texts = field(default_factory=dict)

    def name(self, model: Any, entry: dict[str, Any]) -> str:
        """Return the text that names what a training reads."""
        key = id(model), id(entry)
        if key not in self.names:
            text = canonical([entry, list(weight_files(model)), _learns_from_masks(model)])
            self.names[key] = model, entry, text
        return self.names[key][2]


@dataclass(frozen=True)
class Identity:
    """The id of a run, in its parts.

    Attributes:
        config: Digest of the config, 12 hexadecimal digits.
        data: Digest of what training reads, 8 digits; None where it reads no file, or where that is not known here.
        absent: Why it is not known here; "" where it is.
    """

    config: str
    data: str | None = None
    absent: str = ""

    @property
    def run(self) -> str:
        """The id: both parts, or that of the config alone."""
        return self.config if self.data is None else f"{self.config}-{self.data}"


def identify(
    config: Any,
    *,
    source: ImageSet | None = None,
    record: dict[str, Any] | None = None,
    memo: Memo | None = None,
) -> Identity:
    """Return the id of the run of a config.

    Data sets and methods of modules that are not imported are not known here; nothing is imported for this.

    Args:
        config: A resolved config; with ``memo``, a dict of plain values is not copied.
        source: Its training set, if it is built already.
        record: What is read of that, if it is known already, see `dupl.data.reads.read_record`.
        memo: What this command identified before.

    Raises:
        UserError: The config holds something that is no literal.
    """
    if memo is None:
        values = plain(config)
        return Identity(config_id(values), *_found(values.get("model"), _entry(values, "train"), source, record))
    values = config if type(config) is dict else plain(config)
    model, entry = values.get("model"), _entry(values, "train")
    if (name := memo.name(model, entry)) not in memo.data:
        memo.data[name] = _found(model, entry, source, record)
    return Identity(config_id(values, memo.texts), *memo.data[name])


def _found(
    model: Any, entry: dict[str, Any], source: ImageSet | None, record: dict[str, Any] | None
) -> tuple[str | None, str]:
    """Return the digest of what training reads, and why it is not known here."""
    try:
        return _data_id(model, entry, source, record), ""
    except UserError as error:
        return None, str(error)


def evaluation_reads(config: Any, split: str = "val", memo: Memo | None = None) -> str | None:
    """Return the digest of what an evaluation of a split reads now; None where it cannot be read here.

    Args:
        config: A resolved config.
        split: Entry of its ``data``.
        memo: What this command identified before.
    """
    entry = _entry(plain(config), split)
    key = canonical([split, entry])
    if memo is not None and key in memo.data:
        return memo.data[key][0]
    found = None
    if entry:
        try:
            found = str(read_record(_build(entry, split), entry, masks=True)["id"])
        except UserError:
            found = None
    if memo is not None:
        memo.data[key] = found, ""
    return found


def _entry(values: Mapping[str, Any], split: str) -> dict[str, Any]:
    data = values.get("data")
    entry = data.get(split) if isinstance(data, dict) else None
    return entry if isinstance(entry, dict) and "type" in entry else {}


def _data_id(model: Any, entry: dict[str, Any], source: ImageSet | None, record: dict[str, Any] | None) -> str | None:
    """Return the digest of what training reads; None where it reads no file.

    Raises:
        UserError: It cannot be read here.
    """
    files = list(weight_files(model))
    weights = [_weights(file) for file in files]
    train: str | None = None
    masks = _learns_from_masks(model)
    if entry and (source is not None or not _is_generated(entry)):
        source = source or _build(entry)
        if masks is None:
            raise UserError(f"the method {model.get('type')} is of a module that is not imported")
        record = record or read_record(source, entry, masks)
        train = training_id(record, entry)
    if train is None and not weights:
        return None
    if not masks:
        old = old_record(source, record) if train is not None and source and record else None
        note_alias(old_data_id(old, files), _joined(train, weights))
    return _joined(train, weights)


def _joined(train: str | None, weights: list[str]) -> str:
    return digest_of({"train": train, "weights": weights})


def _weights(file: str) -> str:
    path = find_weights(file)
    if (digest := file_digest(path)) == MISSING:
        raise UserError(f"there is no file of weights {path}")
    return digest


def _is_generated(entry: Mapping[str, Any]) -> bool:
    """Whether the settings of one of our data sets say everything, so that it need not be built."""
    return not places(entry) and entry["type"] in components.shipped()


def _build(entry: dict[str, Any], split: str = "train") -> ImageSet:
    """Build a data set.

    Raises:
        UserError: Its files are not here, or its class is of a module that is not imported.
    """
    for path, place in places(entry).items():
        if path.rpartition(".")[2] == ROOT and isinstance(place, str) and not find_data(place).is_dir():
            raise UserError(f"there is no folder {find_data(place)}")
    if DATASETS.get(str(entry["type"])) is None:
        raise UserError(f"the data set {entry['type']} is of a module that is not imported")
    built: ImageSet = build(DATASETS, entry, f"data.{split}")
    return built


def _learns_from_masks(model: Any) -> bool | None:
    """Whether a method learns from masks; None where it is not known here."""
    if not isinstance(model, Mapping) or "type" not in model:
        return False
    known = components.find(str(model["type"]))
    return None if known is None else known.masks
