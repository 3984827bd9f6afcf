"""The contract of a method: its slots, what is refused, and a method of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dupl.config.components import find
from dupl.config.kinds import Slot
from dupl.errors import UserError
from dupl.method.base import Inspection, Method, fill
from dupl.method.dupl import DuPL
from dupl.method.students import per_student
from dupl.method.supervised import Supervised
from dupl.registry import COMPONENTS


@pytest.mark.parametrize("method", [DuPL, Supervised])
def test_the_catalogue_holds_the_slots_of_a_method(method: type[Method]) -> None:
    found = find(method.__name__)
    assert found is not None and found.slots == method.SLOTS
    assert [slot.name for slot in method.SLOTS] == [name for name in found.section.fields if name in vars_of(method)]


def vars_of(method: type[Method]) -> set[str]:
    return {slot.name for slot in method.SLOTS}


@pytest.mark.parametrize("slot", DuPL.SLOTS, ids=lambda slot: slot.name)
def test_null_partners_are_classes_of_their_slot_that_never_act(slot: Slot) -> None:
    if not slot.null:
        assert slot.name in ("segmentation", "perturb")
        return
    assert COMPONENTS.get(slot.null).null, "the partner of a slot is a null component"
    found = find(slot.null)
    assert found is not None and found.slot == slot.name


def test_fill() -> None:
    slots = (Slot("a", null="NoA"), Slot("b", null="NoB", optional=True))
    given = {"a": {"type": "A", "x": 1}, "b": None}
    filled = fill(slots, given)
    assert filled == {"a": {"type": "A", "x": 1}, "b": {"type": "NoB"}} and filled["a"] is not given["a"]
    assert fill(slots, {"a": {"type": "A"}, "b": {"type": "B"}})["b"] == {"type": "B"}
    with pytest.raises(UserError, match=r"^model.a is missing: write dict\(type=...\)$"):
        fill(slots, {})
    with pytest.raises(UserError, match="^model has no 'c': its components are a, b$"):
        fill(slots, {"a": {"type": "A"}, "c": {"type": "C"}})


def test_per_student() -> None:
    assert per_student(lambda a, b: a + b, [1, 2], [10, 20]) == [11, 22]
    assert per_student(lambda a, b: a + b, [1, 2], None) is None
    with pytest.raises(ValueError, match="shorter"):
        per_student(lambda a, b: a + b, [1, 2], [10])


class TagsAlone(Method):
    """The least method: one student that learns image-level tags."""

    SLOTS = (Slot("students"),)

    def loss(self, images: Tensor, tags: Tensor, **_: Any) -> dict[str, Tensor]:
        value = self.classification(self.forward_students(images), tags)
        return {"loss": value, "L_cls": value.detach()}

    def inspect(self, images: Tensor, *_: Any, **__: Any) -> Inspection:
        return Inspection(None, None, None, [self.log_probabilities(images, (4, 4))])


def test_a_method_of_ones_own(network: dict[str, Any], batch: Callable[..., dict[str, Any]]) -> None:
    model = TagsAlone(num_classes=4, network=network, students=dict(type="SingleStudent"))
    samples = batch([[0, 2], [1]])
    losses = model(mode="loss", **samples)
    losses["loss"].backward()
    assert losses["loss"] > 0 and model.students[0].classifier.weight.grad.any()
    (found,) = model(mode="predict", images=samples["images"])
    assert found.scores.shape == (2, 3) and found.logits.shape == (2, 4, 4, 4) and found.cams is not None


def test_a_contract_that_is_not_kept(network: dict[str, Any]) -> None:
    class NoStep(Method):
        SLOTS = (Slot("students"),)

    with pytest.raises(TypeError, match="abstract"):
        NoStep(num_classes=4, network=network, students=dict(type="SingleStudent"))  # type: ignore[abstract]
    with pytest.raises(UserError, match="model.precision is 'fp8'"):
        TagsAlone(num_classes=4, network=network, precision="fp8", students=dict(type="SingleStudent"))


def test_log_probabilities_sum_to_one() -> None:
    found = TagsAlone.log_probabilities(torch.randn(2, 4, 3, 3).to(torch.bfloat16), (6, 9))
    assert found.shape == (2, 4, 6, 9) and found.dtype == torch.float32
    assert torch.allclose(found.exp().sum(1), torch.ones(2, 6, 9), atol=1e-5)
