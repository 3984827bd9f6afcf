"""Tables of one evaluation for the terminal."""

from __future__ import annotations

import math

from dupl.report.tables.evaluation import print_evaluation
from dupl.runs.evaluation_files import ClassRow
from dupl.runs.judged import Judged


def test_classes_of_no_image_take_no_row(capsys):
    metrics = {f"{name}/{metric}": 50.0 for name in ("cam/1", "seg/1") for metric in ("mIoU", "OA")}
    ious = [("cam/1", "cat", 61.5), ("seg/1", "cat", 62.5), ("cam/1", "dog", math.nan), ("seg/1", "dog", math.nan)]
    ious += [("cam/1", "[b]cow", math.nan), ("seg/1", "[b]cow", 0.0), ("cam/1", "[/x]", math.nan)]
    print_evaluation(metrics, [ClassRow(*iou) for iou in ious], "val", Judged(4, 6, 3, 5))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "val (percent; 4 of 6 images and 3 of 5 classes judged)"
    starts = [line.split("│")[1].split()[0] for line in lines if line.startswith("│")]
    assert starts == ["CAM,", "Seg,", "cat", "[b]cow"]
    assert "in no image: dog, [/x]" in [line.strip() for line in lines]


def test_without_masks_the_tags_alone_are_printed(capsys):
    metrics = {"cls/1/mAP": 51.0, "cls/1/F1": math.nan, "cls/mean/mAP": 43.04}
    print_evaluation(metrics, [], "val, last", Judged(0, 6, 0, 5))
    assert capsys.readouterr().out == (
        "classification: student 1 mAP 51.0, student 1 F1 –, both averaged mAP 43.0; val, last\n"
    )
