"""Mutation testing of the method, the plans, the fingerprint and the statistics (docs/results/mutation.md), by mutmut.

    pip install mutmut==3.8.1
    python tests/mutation.py run [--each 60 --seed 8] [NAME ...]
    python tests/mutation.py table
    python tests/mutation.py show NAME

It is mutmut's own command, whose settings are in pyproject.toml, with three things more: functions under
``torch.no_grad()`` are mutated too; a mutant is tried with the tests of its own module alone; and ``--each`` draws as
many mutants of each module at random.
Results stay in mutants/ until that folder is removed; what is known is not tried again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import libcst
from mutmut import __main__ as mutmut
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.state import state
from mutmut.stats import status_by_exit_code

GROUPS = ("dupl/method", "dupl/plans/plan", "dupl/config/fingerprint", "dupl/report/tables/statistics")
KILLED = ("killed", "timeout", "segfault")
# Files of tests of a module, where it is not test_<module>.py alone.
OWN = {
    "backbone": ("backbone", "components"),
    "dupl": ("dupl", "own_view"),
    "network": ("components", "backbone", "cam"),
    "own_view": ("own_view", "components"),
    "pixels": ("dupl", "own_view", "components"),
    **dict.fromkeys(("checks", "factors", "plan_file", "row_configs", "rows"), ("plan",)),
    "refine": ("refine", "patch_contrast"),
    "supervised": ("supervised", "components"),
    **dict.fromkeys(
        ("component", "consistency", "discrepancy", "segmentation", "students", "threshold"), ("components",)
    ),
}


def extend(each: int | None, seed: int) -> None:
    """Puts the three things more into mutmut."""
    skips, collect = MutationVisitor._skip_node_and_children, mutmut.collect_source_file_mutation_data

    def skips_but_no_grad(self: Any, node: libcst.CSTNode) -> bool:
        if isinstance(node, libcst.FunctionDef) and len(node.decorators) == 1:
            code = libcst.Module([]).code_for_node(node.decorators[0].decorator)
            return code != "torch.no_grad()" and skips(self, node)
        return skips(self, node)

    def some(*, mutant_names: Any) -> Any:
        for function, tests in state().tests_by_mangled_function_name.items():
            module = function.split(".")[2]
            files_of_tests = {f"test_{name}.py" for name in OWN.get(module, (module,))}
            tests &= {test for test in tests if Path(test.partition("::")[0]).name in files_of_tests}
        mutants, files = collect(mutant_names=mutant_names)
        if each is None:
            return mutants, files
        chosen = []
        for path in sorted(files):
            of_file = sorted((mutant for mutant in mutants if mutant[0] is files[path]), key=lambda mutant: mutant[1])
            random.Random(f"{seed} {path}").shuffle(of_file)
            chosen += of_file[:each]  # of a larger sample with the same seed, a part
        return chosen, files

    MutationVisitor._skip_node_and_children = skips_but_no_grad
    mutmut.collect_source_file_mutation_data = some


def table() -> None:
    """Prints mutants, tried, killed (timeouts among them) and survivors of each module, as Markdown."""
    print("| module | mutants | tried | killed | of these by timeout | survived | killed % |")
    print("|---|---|---|---|---|---|---|")
    sums: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}
    for file in sorted(Path("mutants").rglob("*.py.meta")):
        module = str(file.relative_to("mutants")).removesuffix(".py.meta")
        ends = [status_by_exit_code[code] for code in json.loads(file.read_text())["exit_code_by_key"].values()]
        tried = [end for end in ends if end != "not checked"]
        killed = sum(end in KILLED for end in tried)
        row = Counter(mutants=len(ends), tried=len(tried), killed=killed, timeout=tried.count("timeout"))
        sums[next(group for group in GROUPS if module.startswith(group))] += row
        print(line(module.replace("/", "."), row))
    for group, row in [*sums.items(), ("all", sum(sums.values(), Counter()))]:
        print(line(f"**{group.replace('/', '.')}**", row))


def line(name: str, row: Counter[str]) -> str:
    """One line of the table."""
    share = f"{100 * row['killed'] / row['tried']:.1f}" if row["tried"] else "–"
    cells = (row["mutants"], row["tried"], row["killed"], row["timeout"], row["tried"] - row["killed"], share)
    return f"| {name} | " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--each", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options, rest = parser.parse_known_args()
    if rest == ["table"]:
        return table()
    os.environ.update(OMP_NUM_THREADS="1", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    extend(options.each, options.seed)
    mutmut.cli([*rest, "--max-children=1"] if rest[:1] == ["run"] else rest)


if __name__ == "__main__":
    sys.exit(main())
