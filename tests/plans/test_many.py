"""Plans of thousands of rows take time in proportion to their number."""

import importlib.util
import time
from collections import Counter
from pathlib import Path

import pytest

from dupl import api
from dupl.errors import UserError
from dupl.plans.plan import load
from dupl.report.plan_report import tabulate
from dupl.report.tables import comparison
from dupl.report.tables.counts import Counts
from dupl.runs import evaluation, pixel_counts
from dupl.runs.store import RunStore

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "store.py"


def plan_of(folder, rows):
    values = ", ".join(str(round(0.3 + i * 1e-5, 5)) for i in range(rows))
    file = folder / f"many{rows}.py"
    file.write_text(
        'base = "demo/toy"\ncolumns = dict(Seg=dict(metric="seg/best/mIoU"))\n'
        f'vary = dict(paths=["model.threshold.final"], values=[{values}])\n'
    )
    return file


def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def preview(file, root):
    return api.preview_ablation(api.prepare_ablation(file, root, dry_run=True))


def report(file, root):
    plan = load(file)
    return tabulate(plan, plan.expand(), RunStore(root), "").render("md")


@pytest.mark.parametrize("work", [preview, report])
def test_three_thousand_runs_are_handled_in_seconds(tmp_path, work):
    file = plan_of(tmp_path, 3000)
    assert seconds(lambda: work(file, tmp_path / "runs")) < 10


def test_a_table_reads_each_run_once(tmp_path, monkeypatch):
    """Rows share the row that they are compared with, and its intervals: time is no more than in proportion."""
    reads, spec = Counter(), importlib.util.spec_from_file_location("benchmark_store", BENCHMARK)
    store = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(store)

    def count(module, name):
        work = getattr(module, name)

        def counted(*words, **options):
            reads[name] += 1
            return work(*words, **options)

        monkeypatch.setattr(module, name, counted)

    count(pixel_counts, "read_confusion")
    count(pixel_counts, "read_pixel_counts")
    count(evaluation, "read_metrics")
    count(comparison, "contrast")
    count(Counts, "resampled")
    for runs in (12, 24):
        folder = tmp_path / str(runs)
        folder.mkdir()
        file = store.build_plan(folder, runs, images=6, different=4)
        reads.clear()
        made = report(file, folder / "runs")
        assert "[" in made, "the rows have intervals"
        names = ("read_confusion", "read_pixel_counts", "read_metrics", "resampled")
        assert [reads[name] for name in names] == [runs] * 4
        assert reads["contrast"] == runs // 3 - 1


def test_twins_far_apart_are_found(tmp_path):
    values = ", ".join(f"v{i}={round(0.3 + i * 1e-5, 5)}" for i in range(400))
    file = plan_of(tmp_path, 1)
    text = file.read_text()
    file.write_text(text.replace("values=[0.3]", f"values=dict({values}, last=0.3)"))
    with pytest.raises(UserError, match=r"rows v0.* and last are the same run"):
        load(file)
