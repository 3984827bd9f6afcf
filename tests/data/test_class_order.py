"""A data set with its classes in the order of a trained model."""

import numpy as np
import pytest

from dupl.data.base import ImageSet
from dupl.data.class_order import in_class_order
from dupl.errors import UserError

BACK = "background"


class Three(ImageSet):
    classes = (BACK, "ant", "bee", "cat")
    names = ["one"]
    has_masks = True

    def image(self, i):
        return np.zeros((1, 5, 3), np.uint8)

    def tags(self, i):
        return np.array([1, 0, 1], np.float32)

    def mask(self, i):
        return np.array([[0, 1, 2, 3, 255]], np.uint8)


def test_the_same_order_is_the_same_set():
    source = Three()
    assert in_class_order(source, Three.classes, "data.val") == (source, "")


def test_another_order_is_mapped_by_name():
    found, note = in_class_order(Three(), (BACK, "cat", "ant", "bee"), "data.val")
    assert found.classes == (BACK, "cat", "ant", "bee")
    assert found.tags(0).tolist() == [1, 1, 0]
    assert found.mask(0).tolist() == [[0, 2, 3, 1, 255]]
    assert note == "data.val has the classes in another order (ant, bee, cat): they are mapped by name"


@pytest.mark.parametrize(
    ("trained", "told"),
    [
        ((BACK, "ant", "bee"), "cat only there"),
        ((BACK, "ant", "bee", "cow"), "cat only there; cow only in the model"),
        (("ant", BACK, "bee", "cat"), "another background"),
    ],
)
def test_other_classes_are_refused(trained, told):
    with pytest.raises(UserError, match=rf"trained on .* data.val has ant, bee, cat \({told}\): name the same"):
        in_class_order(Three(), trained, "data.val")
