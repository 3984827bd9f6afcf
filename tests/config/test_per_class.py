"""Values of a model by class: a list or a dict by class name, checked against the data's classes before training."""

import pytest

from dupl.config.catalogue import load_values
from dupl.config.check import RECIPE
from dupl.config.overrides import apply
from dupl.config.per_class import resolve_per_class
from dupl.errors import UserError

CLASSES = ("background", "cat", "dog", "cow")


def model(final):
    return {"type": "DuPL", "tau_l": 0.25, "threshold": {"type": "PerClassCosineDescent", "final": final}}


def resolved(final, classes=CLASSES):
    return resolve_per_class(model(final), classes)["threshold"]["final"]


@pytest.mark.parametrize("final", [0.5, [0.5], [0.1, 0.2, 0.3]])
def test_numbers_and_lists_stay_as_they_are(final):
    assert resolved(final) == final
    assert resolved(final, 4) == final


def test_a_dict_becomes_a_list_in_the_order_of_the_classes_and_the_config_stays():
    given = model({"cow": 0.3, "cat": 0.1, "dog": 0.2})
    assert resolve_per_class(given, CLASSES)["threshold"]["final"] == [0.1, 0.2, 0.3]
    assert given["threshold"]["final"] == {"cow": 0.3, "cat": 0.1, "dog": 0.2}


@pytest.mark.parametrize(
    ("final", "message"),
    [
        ([0.5] * 20, r"model.threshold.final has 20 values, and the data have 3 classes \(cat, dog, cow\)"),
        ({"cat": 0.1, "dog": 0.2}, "model.threshold.final has no value for cow: give one for each class"),
        ({"cat": 0.1, "dog": 0.2, "cow": 0.3, "ant": 0.4}, "model.threshold.final names 'ant', and the data have"),
        ({"background": 0.1}, "names 'background'"),
    ],
)
def test_what_does_not_fit_the_classes_is_refused(final, message):
    with pytest.raises(UserError, match=message):
        resolved(final)


def test_a_dict_needs_names():
    with pytest.raises(UserError, match="only the number of classes is known here: give a list"):
        resolved({"cat": 0.1}, 2)


def test_other_dicts_and_lists_are_left_alone():
    values = {"weights": {"seg": 0.1}, "refine": {"type": "PixelAdaptive", "dilations": [1, 2]}, "cam_scales": [1.0]}
    assert resolve_per_class(values, CLASSES) == values


def test_an_override_may_replace_one_number_by_a_list_or_a_dict_where_the_schema_has_them():
    values = load_values("demo/toy")
    kind = {"model.threshold.type": "PerClassCosineDescent"}
    for final in ([0.5, 0.6], {"disc": 0.5}):
        changed = apply(values, kind | {"model.threshold.final": final}, RECIPE)
        assert changed["model"]["threshold"]["final"] == final
    with pytest.raises(UserError, match="model.threshold.final: .* is a list, not a number"):
        apply(values, {"model.threshold.final": [0.5, 0.6]}, RECIPE)
    with pytest.raises(UserError, match="schedule.lr: .* is a list, not a number"):
        apply(values, {"schedule.lr": [0.5, 0.6]}, RECIPE)
