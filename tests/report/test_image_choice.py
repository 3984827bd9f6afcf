"""Which images a comparison shows, and what its caption says of the rule."""

from __future__ import annotations

import pytest

from dupl.errors import UserError
from dupl.report.image_choice import choose_images, image_ious
from dupl.runs.pixel_counts import PixelCounts

KNOWN = ["a", "b", "c", "d"]
SCORES = {"ToCo": {"a": 50.0, "b": 60.0, "c": 70.0}, "DuPL": {"a": 80.0, "b": 20.0, "c": 71.0}}


def test_difference_is_the_largest_either_way():
    found = choose_images("difference", 2, KNOWN, SCORES)
    assert found.names == ("b", "a")  # 40 worse, then 30 better
    assert found.rule == "the 2 images on which the IoU of DuPL differs most from that of ToCo, either way"


def test_best_and_worst_are_those_of_the_last_method():
    assert choose_images("best", 1, KNOWN, SCORES).names == ("a",)
    worst = choose_images("worst", 2, KNOWN, SCORES)
    assert worst.names == ("b", "c") and worst.rule == "the 2 images with the lowest IoU of DuPL"


def test_equal_images_are_ordered_by_name():
    assert choose_images("best", 2, KNOWN, {"X": {"c": 1.0, "b": 1.0, "a": 0.0}}).names == ("b", "c")


def test_random_images_depend_on_the_seed_alone():
    first, again = (choose_images("random", 2, KNOWN, {}, seed=3) for _ in range(2))
    assert first == again and first.rule == "2 images drawn at random, seed 3"
    assert len({choose_images("random", 2, KNOWN, {}, seed=k).names for k in range(20)}) > 1
    assert set(choose_images("random", 9, KNOWN, {}).names) == set(KNOWN)


def test_names_are_taken_in_their_order():
    found = choose_images(["d", "a"], 6, KNOWN, {})
    assert found.names == ("d", "a") and found.rule == "images chosen by name"


@pytest.mark.parametrize(
    "images, count, scores, message",
    [
        (["a", "x"], 1, SCORES, "images .--images. x: the data set has no such image"),
        ("better", 1, SCORES, "better: the data set has no such image; give names of images, or one of difference"),
        ("worst", 1, {"ToCo": {"a": 1.0}, "DuPL": {}}, "needs the IoU per image of DuPL: evaluate it on this split"),
        ("difference", 1, {"DuPL": {"a": 1.0}}, "difference compares methods: give two"),
        ("random", 0, SCORES, "count .--count. is 0: give at least 1"),
    ],
)
def test_refused(images, count, scores, message):
    with pytest.raises(UserError, match=message):
        choose_images(images, count, KNOWN, scores)


def test_the_iou_of_an_image_is_the_mean_over_the_classes_of_its_mask():
    rows = [("seg/1", "a", "cat", 6, 2, 2), ("seg/1", "a", "dog", 0, 5, 0), ("cam/1", "a", "cat", 0, 0, 8)]
    rows.append(("seg/1", "a", "cow", 1, 0, 3))
    names = ("map", "image", "class", "TP", "FP", "FN")
    counts = PixelCounts.of(dict(zip(names, zip(*rows, strict=True), strict=True)))
    assert image_ious(counts, "seg/1") == {"a": pytest.approx((60 + 25) / 2)}  # dog is not in the mask


def test_no_name_is_refused():
    with pytest.raises(UserError, match="images .--images. is empty"):
        choose_images([], 2, KNOWN, SCORES)
