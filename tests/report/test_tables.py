"""Tables of one evaluation for the terminal."""

from __future__ import annotations

import math

from dupl.report.tables.evaluation import print_evaluation
from dupl.runs.evaluation_files import ClassRow


def test_classes_of_no_image_take_no_row(capsys):
    metrics = {f"{name}/{metric}": 50.0 for name in ("cam/1", "seg/1") for metric in ("mIoU", "OA")}
    ious = [("cam/1", "cat", 61.5), ("seg/1", "cat", 62.5), ("cam/1", "dog", math.nan), ("seg/1", "dog", math.nan)]
    ious += [("cam/1", "[b]cow", math.nan), ("seg/1", "[b]cow", 0.0), ("cam/1", "[/x]", math.nan)]
    print_evaluation(metrics, [ClassRow(*iou) for iou in ious], "val")
    lines = capsys.readouterr().out.splitlines()
    starts = [line.split("│")[1].split()[0] for line in lines if line.startswith("│")]
    assert starts == ["CAM,", "Seg,", "cat", "[b]cow"]
    assert "in no image: dog, [/x]" in [line.strip() for line in lines]
