"""Print the schema: as tables on a terminal, and as the reference page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dupl.config.check import RECIPE, join, suggestion
from dupl.config.components import arguments_of, in_slot, shipped
from dupl.config.describe import REQUIRED, Field, Section, describe
from dupl.config.kinds import in_all
from dupl.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

Files = Mapping[str, type]
NO_FILES: Files = {}
HEADINGS = ("key", "value", "default", "meaning")
INTRODUCTION = """# The config

Every key of a recipe, and of the files of plans and sweeps, with the values that it takes. This page is made from the
code, as is `dupl show --schema`, which prints one part of it: `dupl show --schema schedule`,
`dupl show --schema noise_filter`.

A recipe is a Python file of assignments that is read and never executed. It may hold numbers, texts, lists and dicts,
names that it assigns above, arithmetic on numbers, sums and products of lists, f-strings, and `{{_base_.x.y}}`, a value
of the files that it builds on. `_base_` names these files by paths relative to the recipe, or as commands do
(`"voc/dupl"`); its values are merged into theirs, and `_delete_=True` in a dict replaces what they say there. A name
that begins with `_` is a helper of the file and no part of the config.

A key that is unknown, a value of another kind or out of its range, and a missing key without a default are errors that
name the file, the line and the closest valid name.
"""


@dataclass(frozen=True)
class ReferenceTable:
    """A table of the reference.

    Attributes:
        path: Where in a recipe it applies, such as "evaluation.crf".
        title: For people.
        section: Its fields.
        names: What it may be asked for by.
    """

    path: str
    title: str
    section: Section
    names: tuple[str, ...]


def parts(files: Files = NO_FILES) -> Iterator[ReferenceTable]:
    """Yield the sections of a recipe from the outside in, then the components of each slot, then the data sets.

    Args:
        files: Dataclasses of other files by what these are called, such as "plan"; they come last.
    """
    yield ReferenceTable("", "The recipe", RECIPE.root, ("recipe",))
    yield from _sections(RECIPE.root, "")
    for path, slot in _slots():
        for name, component in shipped().items():
            if component.slot == slot:
                off = ", which switches it off" if component.null else ""
                yield ReferenceTable(path, f"{path}: {name}{off}", component.section, (name, slot, path))
                yield from _sections(component.section, path)
    for name, kind in files.items():
        yield ReferenceTable("", f"The file of a {name}", describe(kind), (name,))
        yield from _sections(describe(kind), name)


def _slots() -> list[tuple[str, str]]:
    """Return the places of components in a recipe with their slots, in the order of the methods' arguments."""
    fields = [field for name in in_slot("model") for field in shipped()[name].section.fields.values()]
    inner = [(f"model.{f.name}", str(kind.target)) for f in fields for kind in f.kinds if kind.name == "component"]
    return [("model", "model"), *dict.fromkeys(inner), ("data.train", "data set")]


def _sections(section: Section, path: str) -> Iterator[ReferenceTable]:
    for field in section.fields.values():
        nested = [item for kind in field.kinds for item in kind.items]
        found = {id(kind.target): kind for kind in [*field.kinds, *nested] if kind.name == "section"}
        for kind in found.values():
            inner, where = arguments_of(kind), join(path, field.name)
            yield ReferenceTable(where, where, inner, (where, field.name, inner.name))
            yield from _sections(inner, where)


def chosen(name: str = "", files: Files = NO_FILES) -> list[ReferenceTable]:
    """Return the parts of a name: a section, a slot, a component, a data set or a file; all for an empty name.

    Raises:
        UserError: There is none; the message names the closest.
    """
    every = list(parts(files))
    found = [part for part in every if not name or name in part.names]
    if not found:
        known = dict.fromkeys(known for part in every for known in part.names)
        raise UserError(f"no part of the schema is called {name!r}{suggestion(name, known)}")
    return found


def row(field: Field) -> tuple[str, str, str, str]:
    """Return key, value, default and meaning of a field as texts."""
    default = "" if field.default is REQUIRED else _told(field.default)
    return field.name, in_all(field.kinds), default, field.doc


def _told(default: object) -> str:
    from dataclasses import asdict, is_dataclass

    if is_dataclass(default) and not isinstance(default, type):
        return "as below" if asdict(default) else ""
    return str(list(default)) if isinstance(default, tuple) else repr(default)


def tables(name: str = "", files: Files = NO_FILES) -> Iterator[RenderableType]:
    """Yield the parts of a name for a terminal."""
    from rich.table import Table
    from rich.text import Text

    for part in chosen(name, files):
        yield Text.assemble((part.title, "bold"), "\n", part.section.doc.replace("``", ""))
        if part.section.fields:
            table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
            for heading in HEADINGS:
                table.add_column(heading, style="bold" if heading == "key" else "", overflow="fold")
            for field in part.section.fields.values():
                table.add_row(*(Text(text.replace("``", "")) for text in row(field)))
            yield table
        yield ""


def markdown(files: Files = NO_FILES) -> str:
    """Return the reference page of the documentation."""
    lines = [INTRODUCTION]
    for part in parts(files):
        lines += [f"## {part.title}", "", part.section.doc.replace("``", "`"), ""]
        if part.section.fields:
            lines += [f"| {' | '.join(HEADINGS)} |", "|---|---|---|---|"]
            lines += [_cells(field) for field in part.section.fields.values()]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _cells(field: Field) -> str:
    key, value, default, meaning = (text.replace("``", "`").replace("|", "\\|") for text in row(field))
    return f"| `{key}` | {value} | {f'`{default}`' if default and default != 'as below' else default} | {meaning} |"
