"""Parts of a data set: what is held out and the rest."""

import numpy as np
import pytest

from dupl.data import Part, Toy
from dupl.errors import UserError

TOY = dict(type="Toy", split="val", size=32, count=20)


def test_held_and_rest_divide_the_set():
    held, rest = Part(TOY, True, share=0.25), Part(TOY, False, share=0.25)
    assert (len(held), len(rest)) == (5, 15)
    assert sorted(held.names + rest.names) == Toy(split="val", size=32, count=20).names
    assert held.names == sorted(held.names) and rest.names == sorted(rest.names)


def test_images_tags_and_masks_are_those_of_the_name():
    whole, part = Toy(split="val", size=32, count=20), Part(TOY, True, count=3, seed=4)
    assert part.has_masks and part.classes == whole.classes and part.K == whole.K
    for i, name in enumerate(part.names):
        j = whole.names.index(name)
        assert np.array_equal(part.image(i), whole.image(j))
        assert np.array_equal(part.tags(i), whole.tags(j))
        assert np.array_equal(part.mask(i), whole.mask(j))
        assert part.where(i) == whole.where(j)


def test_which_ones_depends_on_seed_and_names_alone():
    names = {seed: Part(TOY, True, count=5, seed=seed).names for seed in range(4)}
    assert names[0] == Part(TOY, True, count=5, seed=0).names
    assert len({tuple(found) for found in names.values()}) > 1
    larger = Part({**TOY, "count": 40}, False, count=8).names
    smaller = Part({**TOY, "count": 40}, False, count=4).names
    assert set(larger) < set(smaller)  # more held out are the same and more


@pytest.mark.parametrize("arguments", [{}, dict(share=0.5, count=3), dict(count=20), dict(count=0), dict(share=0.001)])
def test_no_part(arguments):
    with pytest.raises(UserError, match="part"):
        Part(TOY, True, **arguments)
