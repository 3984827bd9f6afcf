"""The compute report as Markdown, LaTeX and CSV, and the checklist of reproducibility."""

from __future__ import annotations

from collections.abc import Sequence

from dupl.errors import UserError
from dupl.evidence.compute import METHOD, Compute, ComputeForm
from dupl.report.tables.latex import escape
from dupl.report.tables.render import csv_text
from dupl.terminal import counted

FORMATS = ("md", "latex", "csv")
HEADINGS = {
    "row": "Row",
    "runs": "Runs",
    "gpu_hours": "GPU h",
    "cpu_hours": "CPU core h",
    "iterations": "Iterations",
    "devices": "Device",
    "memory_GiB": "Peak GPU memory, GiB",
    "energy_kWh": "Energy, kWh",
    "failed": "Failed or stopped",
    "failed_hours": "Their hours",
}
NONE = "–"


def compute_text(form: ComputeForm, style: str = "md") -> str:
    """Return the compute report as text.

    Args:
        form: The report.
        style: One of `FORMATS`.

    Raises:
        UserError: There is no such form.
    """
    if style not in FORMATS:
        raise UserError(f"--format {style}: the compute report is {', '.join(FORMATS)}")
    return {"md": _markdown, "latex": _latex, "csv": _csv}[style](form)


def _lines(form: ComputeForm) -> list[Compute]:
    return [*form.rows, form.total, form.development]


def _cells(one: Compute) -> list[str]:
    """Return the figures of a row, rounded."""
    memory = NONE if one.memory is None else f"{one.memory:.1f}"
    energy = NONE if one.energy is None else f"{one.energy:.3g}"
    hours = (f"{one.gpu_hours:.2f}", f"{one.cpu_hours:.2f}", f"{one.iterations:,}")
    return [one.label, str(one.runs), *hours, ", ".join(one.devices) or NONE, memory, energy, str(one.lost)] + [
        f"{one.lost_hours:.2f}"
    ]


def notes(form: ComputeForm) -> list[str]:
    """Return what the report says below its table."""
    lines = ["Hours are those of training and of evaluations, as each run recorded them.", METHOD]
    if form.first:
        lines.append(f"Development history: the store's runs began on {form.first[:10]}; the last ended on "
                     f"{form.last[:10] or 'no known day'}. Runs that were removed are not counted.")  # fmt: skip
    if form.finished < form.planned:
        absent = f"{form.finished} of {counted(form.planned, 'run')} of the table"
        lines.append(f"Incomplete: {absent} are finished in this store. A row counts the runs that are there.")
    if any(one.memory is None for one in _lines(form)):
        lines.append("Memory is recorded on GPUs alone.")
    return lines


def _markdown(form: ComputeForm) -> str:
    head = list(HEADINGS.values())
    rows = [head, ["---", *["--:"] * (len(head) - 1)], *map(_cells, _lines(form))]
    table = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
    return "\n".join([f"## Compute: {form.title}", "", table, "", *(f"- {note}" for note in notes(form)), ""])


def _latex(form: ComputeForm) -> str:
    columns = "l" + "r" * (len(HEADINGS) - 1)
    rows = [" & ".join(map(escape, row)) + r" \\" for row in [list(HEADINGS.values()), *map(_cells, _lines(form))]]
    body = "\n".join([r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"])
    text = escape(" ".join(notes(form)))
    return f"% needs booktabs\n\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n\n{text}\n"


def _csv(form: ComputeForm) -> str:
    told = []
    for one in _lines(form):
        values = (one.label, one.runs, one.gpu_hours, one.cpu_hours, one.iterations, "; ".join(one.devices))
        more = (one.memory, one.energy, one.lost, one.lost_hours)
        told.append(dict(zip(HEADINGS, (*values, *more), strict=True)))
    return csv_text(told, list(HEADINGS))


PERSON = "only a person can answer this"
ITEMS: Sequence[tuple[str, str]] = (  # of the NeurIPS paper checklist, and which fact answers each
    ("Claims: the abstract and introduction state the contributions and scope", ""),
    ("Limitations of the work are discussed", ""),
    ("Theory: assumptions and proofs", ""),
    ("Experimental result reproducibility: all that is needed to reproduce the main results", "reproducibility"),
    ("Open access to data and code", "code"),
    ("Experimental setting: splits, hyper-parameters, how they were chosen", "setting"),
    ("Statistical significance: error bars and what they cover", "significance"),
    ("Compute resources: kind of workers, memory, time of execution", "resources"),
    ("Code of ethics", ""),
    ("Broader impacts", ""),
    ("Safeguards for models and data of high risk of misuse", ""),
    ("Licenses and credits of existing assets", "assets"),
    ("New assets are documented", ""),
    ("Crowdsourcing and research with human subjects", ""),
    ("Approvals of an institutional review board", ""),
    ("Declaration of the use of language models", ""),
)


def checklist_text(facts: dict[str, str]) -> str:
    """Return the checklist as Markdown: answers of the runs, and the items that only a person can answer.

    Args:
        facts: Answers by the names in `ITEMS`.
    """
    lines = ["## Reproducibility checklist (items of the NeurIPS paper checklist)", ""]
    for number, (item, name) in enumerate(ITEMS, 1):
        answer = facts.get(name, "")
        lines.append(f"{number}. {item}: {f'**from the runs**: {answer}' if answer else f'**{PERSON}**'}")
    answered = sum(bool(facts.get(name)) for _, name in ITEMS)
    return "\n".join([*lines, "", f"{answered} of {counted(len(ITEMS), 'item')} answered from the runs.", ""])
