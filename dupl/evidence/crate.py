"""Describe an archive as a Workflow Run RO-Crate and its lists of images as a Croissant data set."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.evidence.cells_file import CELLS
from dupl.evidence.planned import PLAN
from dupl.evidence.recompute import RUNS
from dupl.runs import layout
from dupl.version import __version__

if TYPE_CHECKING:
    from dupl.runs.stored_run import StoredRun

CRATE, CROISSANT = "ro-crate-metadata.json", "croissant.json"
PROFILES = (
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
)
LICENSE = "https://spdx.org/licenses/MIT"
KINDS = {".csv": "text/csv", ".json": "application/json", ".jsonl": "application/jsonl", ".py": "text/x-python"}


def need(name: str) -> Any:
    """Import a package of the extra "evidence".

    Raises:
        UserError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f'archives of evidence need the package {name} ({error}): pip install ".[evidence]"') from None


def describe(
    members: Mapping[str, bytes], title: str, runs: Sequence[StoredRun], author: str, about: str
) -> tuple[bytes, str]:
    """Return the metadata of the archive as JSON-LD, and the day that it says the evidence is of.

    Args:
        members: The other members by name.
        title: Of the table.
        runs: Behind the table.
        author: Of the archive; "" leaves it out.
        about: What the archive holds, in a sentence.
    """
    rocrate = need("rocrate.rocrate")
    entity = need("rocrate.model.contextentity").ContextEntity
    ended = max(filter(None, (run.status.ended for run in runs)), default="1980-01-01T00:00:00+00:00")
    crate = rocrate.ROCrate()
    crate.name, crate.description, crate.license = title, about, LICENSE
    crate.datePublished = datetime.fromisoformat(ended)

    def add(identity: str, kind: str, **properties: Any) -> None:
        crate.add(entity(crate, identity, properties={"@type": kind, **properties}))

    def named(*names: str) -> list[dict[str, str]]:
        return [{"@id": name} for name in names if name]

    if author:
        add("#author", "Organization", name=author)
        crate.root_dataset["author"] = named("#author")[0]
    for place, name, version in PROFILES:
        add(place, "CreativeWork", name=name, version=version)
    crate.root_dataset["conformsTo"] = named(*(place for place, _, _ in PROFILES))
    for name in sorted(members):
        facts: dict[str, Any] = {"sha256": hashlib.sha256(members[name]).hexdigest()}
        facts |= {"contentSize": str(len(members[name]))}
        ending = name[name.rfind(".") :] if "." in name else ""
        facts["encodingFormat"] = KINDS.get(ending, "text/plain")
        if name == PLAN:
            facts |= {"@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"], "name": title}
            facts |= {"programmingLanguage": {"@id": "#plan"}}
        crate.add_file(dest_path=name, properties=facts)
    add("#plan", "ComputerLanguage", name="plan of DuPL Lab")
    add("#dupl", "SoftwareApplication", name="DuPL Lab", softwareVersion=__version__)
    crate.root_dataset["mainEntity"] = {"@id": PLAN}
    actions = []
    for run in runs:
        place = f"{RUNS}/{run.fingerprint}/"
        action: dict[str, Any] = {"name": f"training of run {run.fingerprint}", "instrument": {"@id": "#dupl"}}
        action["object"] = named(f"{place}{layout.CONFIG}")
        own = (name for name in sorted(members) if name.startswith(place) and not name.endswith(layout.CONFIG))
        action["result"] = named(*own)
        state = "Completed" if run.state == "finished" else "Failed"
        action["actionStatus"] = f"http://schema.org/{state}ActionStatus"
        times = {"startTime": run.status.started, "endTime": run.status.ended}
        add(f"#run-{run.fingerprint}", "CreateAction", **action, **{k: v for k, v in times.items() if v})
        actions.append(f"#run-{run.fingerprint}")
    counts = (name for name in sorted(members) if name.endswith(f"/{layout.PER_IMAGE}"))
    whole = {"name": title, "instrument": {"@id": PLAN}, "object": named(*counts), "result": named(CELLS)}
    add("#table", "CreateAction", endTime=ended, **whole)
    crate.root_dataset["mentions"] = named("#table", *actions)
    text = json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False, sort_keys=False)
    return f"{text}\n".encode(), ended[:10]


def data_lists(members: Mapping[str, bytes], title: str, day: str, author: str) -> bytes:
    """Return the description of the archive's lists of images in Croissant, a record set for each.

    Args:
        members: The members of the archive by name.
        title: Of the table.
        day: That the evidence is of, in ISO 8601.
        author: Of the archive; "" leaves it out.
    """
    mlc = need("mlcroissant")
    distribution, records = [], []
    for name in sorted(name for name in members if name.startswith("data/") and name.endswith(".csv")):
        key = name.removeprefix("data/").removesuffix(".csv")
        digest = hashlib.sha256(members[name]).hexdigest()
        distribution.append(
            mlc.FileObject(
                id=name, name=name, content_url=name, encoding_formats=["text/csv"], sha256=digest,
                description="Names of the images that evaluations counted.",
            )
        )  # fmt: skip
        source = mlc.Source(file_object=name, extract=mlc.Extract(column="image"))
        image = mlc.Field(id=f"{key}/image", name="image", data_types=mlc.DataType.TEXT, source=source)
        records.append(mlc.RecordSet(id=key, name=key, fields=[image]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metadata = mlc.Metadata(
            name=title,
            description=f"Lists of the images that the evaluations of a table counted: {title}.",
            license=[LICENSE],
            url="https://schema.org/Dataset",
            version="1.0.0",
            date_published=datetime.fromisoformat(day).replace(tzinfo=timezone.utc),
            creators=[mlc.Organization(name=author)] if author else [],
            distribution=distribution,
            record_sets=records,
        )
    text = json.dumps(metadata.to_json(), indent=1, ensure_ascii=False, default=str)
    return f"{text}\n".encode()
