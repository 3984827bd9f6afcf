"""Counting pixels, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dupl.runs import metrics
from dupl.runs.metrics import ClassTable, mean_iou, mean_oa_rate, summarise, tag_scores
from dupl.runs.tallies import Tally, confusion, counts_of

NAN = float("nan")
# truth down, prediction across: class 2 is in the truth but never predicted, class 3 is predicted but not there
MATRIX = np.array([[6, 2, 0, 0], [1, 3, 0, 4], [2, 0, 0, 0], [0, 0, 0, 0]])


class TestConfusion:
    def test_by_hand(self):
        truth = np.array([[0, 1, 255], [1, 2, 0]], np.uint8)
        prediction = np.array([[0, 2, 1], [1, 2, 1]], np.uint8)
        assert confusion(truth, prediction, 3).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]

    @pytest.mark.parametrize("label", [3, 200, 254])
    def test_a_label_out_of_range_is_refused(self, label):
        truth = np.full((2, 2), label, np.uint8)
        with pytest.raises(ValueError, match=f"label {label} in a mask of 3 classes"):
            confusion(truth, np.zeros((2, 2), np.uint8), 3)

    def test_void_alone_counts_nothing(self):
        assert confusion(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), 3).sum() == 0

    @settings(max_examples=25)
    @given(
        hnp.arrays(np.uint8, (7, 5), elements=st.sampled_from([0, 1, 2, 3, 255])),
        hnp.arrays(np.uint8, (7, 5), elements=st.integers(0, 3)),
    )
    def test_against_a_loop(self, truth, prediction):
        naive = np.zeros((4, 4), int)
        for t, p in zip(truth.ravel(), prediction.ravel(), strict=True):
            if t != 255:
                naive[t, p] += 1
        assert np.array_equal(confusion(truth, prediction, 4), naive)


class TestClassTable:
    def test_by_hand(self):
        table = ClassTable.of(MATRIX)
        np.testing.assert_allclose(table.iou, [100 * 6 / 11, 30, 0, NAN])
        np.testing.assert_allclose(table.precision, [100 * 6 / 9, 60, NAN, 0])
        np.testing.assert_allclose(table.recall, [75, 37.5, 0, NAN])
        np.testing.assert_allclose(table.oa_rate, [100 * 3 / 9, 40, NAN, 100])
        assert table.pixels.tolist() == [8, 8, 2, 0]

    def test_means(self):
        assert mean_iou(MATRIX) == pytest.approx((100 * 6 / 11 + 30 + 0) / 3), "classes of the truth only"
        assert mean_iou(MATRIX, [1, 3]) == pytest.approx(30)
        assert np.isnan(mean_iou(MATRIX, [3]))
        assert np.isnan(mean_iou(np.zeros((4, 4), int)))
        assert mean_oa_rate(MATRIX) == pytest.approx(70), "foreground that was predicted"
        assert np.isnan(mean_oa_rate(np.array([[5, 0], [5, 0]])))


class TestTally:
    def test_images_add_up(self):
        rng = np.random.default_rng(0)
        whole, parts = Tally(4), [Tally(4), Tally(4)]
        for i in range(6):
            truth, prediction = rng.integers(0, 4, (2, 5, 5))
            truth[0, :2] = 255
            for tally in (whole, parts[i % 2]):
                tally.add(i, truth, prediction)
        rows = np.concatenate(whole.per_image)
        for c in range(4):
            mine = rows[rows[:, 1] == c]
            tp = whole.matrix[c, c]
            assert mine[:, 2:].sum(0).tolist() == [tp, whole.matrix[:, c].sum() - tp, whole.matrix[c].sum() - tp]
        parts[0].merge(parts[1])
        assert np.array_equal(parts[0].matrix, whole.matrix)
        assert len(parts[0].per_image) == 6

    def test_classes_without_a_pixel_are_left_out(self):
        tally = Tally(5)
        tally.add(7, np.array([[0, 0, 2]]), np.array([[0, 3, 3]]))
        assert tally.per_image[0].tolist() == [[7, 0, 1, 0, 1], [7, 2, 0, 0, 1], [7, 3, 0, 2, 0]]


def tally_of(matrix) -> Tally:
    tally = Tally(len(matrix))
    tally.matrix += matrix
    return tally


class TestSummarise:
    GOOD, BAD = np.array([[9, 1], [0, 10]]), np.array([[10, 0], [5, 5]])

    def test_best_is_the_better_student_of_each_metric(self):
        tallies = {"cam/1": self.GOOD, "cam/2": self.BAD, "seg/1": self.BAD, "seg/2": self.GOOD, "seg/mean": self.GOOD}
        values = summarise({k: tally_of(m) for k, m in tallies.items()}, ("mIoU-b", [0]))
        assert values["cam/1/mIoU"] == pytest.approx(100 * (9 / 10 + 10 / 11) / 2)
        assert values["cam/best/mIoU"] == values["cam/1/mIoU"] > values["cam/2/mIoU"]
        assert values["seg/best/mIoU"] == values["seg/2/mIoU"]
        assert values["seg/1/mIoU-b"] == pytest.approx(100 * 10 / 15)
        assert values["seg/best/mIoU-b"] == pytest.approx(90)
        assert values["seg/2/OA"] == pytest.approx(100 / 11)
        assert not any(k.startswith(("seg/best/OA", "cam/mean")) for k in values)

    def test_the_mean_of_students_is_no_student(self):
        values = summarise({"seg/1": tally_of(self.BAD), "seg/mean": tally_of(self.GOOD)})
        assert values["seg/best/mIoU"] == values["seg/1/mIoU"]

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_a_number_is_better_than_none(self, order):
        matrices = [np.zeros((2, 2), int), self.BAD]
        values = summarise({f"seg/{s + 1}": tally_of(matrices[i]) for s, i in enumerate(order)})
        assert values["seg/best/mIoU"] == pytest.approx(mean_iou(self.BAD))

    def test_nothing_from_nothing(self):
        assert summarise({}) == {}


class TestTagScores:
    def test_by_hand(self):
        tags = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], np.float32)
        scores = np.array([[2, -1, -1], [-1, 3, -1], [1, 2, -2], [-3, -3, 1]], np.float32)
        # class 1: ranked 1, 3 of its two images: (1/1 + 2/3) / 2; class 2: both on top; class 3 never occurs
        assert tag_scores(tags, scores)["mAP"] == pytest.approx(100 * ((1 + 2 / 3) / 2 + 1) / 2)
        # per image: 1; 2·1/(2+1); 2·1/(1+2); predicted without truth: 0
        assert tag_scores(tags, scores)["F1"] == pytest.approx(100 * (1 + 2 / 3 + 2 / 3 + 0) / 4)

    def test_an_image_with_nothing_and_nothing_predicted_does_not_count(self):
        tags, scores = np.array([[1, 0], [0, 0]], np.float32), np.array([[1, -1], [-1, -1]], np.float32)
        assert tag_scores(tags, scores) == {"mAP": 100, "F1": 100}

    def test_a_single_class(self):
        tags, scores = np.array([[1], [0], [1]], np.float32), np.array([[3], [2], [1]], np.float32)
        assert tag_scores(tags, scores)["mAP"] == pytest.approx(100 * (1 + 2 / 3) / 2)

    @pytest.mark.parametrize("count", [0, 2])
    def test_no_tag_at_all(self, count):
        values = tag_scores(np.zeros((count, 3), np.float32), np.full((count, 3), -1, np.float32))
        assert np.isnan(values["mAP"])
        assert np.isnan(values["F1"])


class TestFormulas:
    TP, FP, FN = (np.array(pixels) for pixels in ([6, 0, 0, 0], [2, 0, 3, 0], [1, 4, 0, 0]))

    def test_by_hand(self):
        np.testing.assert_allclose(metrics.iou(self.TP, self.FP, self.FN), [100 * 6 / 9, 0, 0, NAN])
        np.testing.assert_allclose(metrics.class_iou(self.TP, self.FP, self.FN), [100 * 6 / 9, 0, NAN, NAN])
        np.testing.assert_allclose(metrics.precision(self.TP, self.FP), [75, NAN, 0, NAN])
        np.testing.assert_allclose(metrics.recall(self.TP, self.FN), [100 * 6 / 7, 0, NAN, NAN])
        np.testing.assert_allclose(metrics.f1(self.TP, self.FP, self.FN), [80, 0, 0, NAN])
        np.testing.assert_allclose(metrics.oa_rate(self.TP, self.FP), [25, NAN, 100, NAN])

    def test_a_table_of_counts_is_that_of_its_confusion(self):
        table, same = ClassTable.of(MATRIX), ClassTable.of_counts(*counts_of(MATRIX))
        for name in ("iou", "precision", "recall", "f1", "oa_rate", "pixels"):
            np.testing.assert_array_equal(getattr(table, name), getattr(same, name))
        np.testing.assert_allclose(table.f1, [100 * 12 / 17, 100 * 6 / 13, 0, NAN])

    def test_f1_against_scikit_learn(self):
        from sklearn.metrics import f1_score

        truth, said = np.random.default_rng(0).integers(0, 4, (2, 500))
        ours = metrics.f1(*counts_of(confusion(truth.astype(np.uint8), said.astype(np.uint8), 4)))
        np.testing.assert_allclose(ours, 100 * f1_score(truth, said, average=None))
