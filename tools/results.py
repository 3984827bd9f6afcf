"""Write a committed table and its archive from a store: analysis/results/NAME.{zip,csv,md}.

    python tools/results.py demo_table4 --root runs [--name NAME] [--set PATH=VALUE ...]

A run's folder instead of a plan gives the archive alone. Archives are anonymous: no file of this repository names a
machine or a place.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import dupl

RESULTS = Path(__file__).parents[1] / "analysis" / "results"


def main() -> None:
    """Write the files of one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="+", help="a plan, or folders of runs")
    parser.add_argument("--root", default="runs", help="folder of the store")
    parser.add_argument("--name", help="name of the files; default: the plan's")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: the plan's")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="PATH=VALUE")
    arguments = parser.parse_args()
    plan = arguments.what[0] if dupl.api.is_plan(arguments.what[0]) else None
    name = arguments.name or Path(arguments.what[0]).stem
    chosen = dict(seeds=arguments.seeds, overrides=arguments.set or None)
    out = RESULTS / f"{name}.zip"
    chosen = {} if plan is None else chosen
    found = dupl.export_evidence(plan or arguments.what, out, arguments.root, anonymous=True, tell=print, **chosen)
    print("\n".join(found.verification.lines()))
    if plan:
        table = dupl.ablation_table(plan, arguments.root, **chosen)
        for form in ("csv", "md"):
            text = table.render(form).replace(f"--root {arguments.root}", "--root runs")
            text = text.replace(f"{Path(arguments.root)}/", "runs/")  # notes name the folders of runs
            for path, value in (one.split("=", 1) for one in arguments.set):
                text = text.replace(f"{path}={value}", f"{path}={'DIR' if Path(value).is_dir() else Path(value).name}")
            (RESULTS / f"{name}.{form}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
