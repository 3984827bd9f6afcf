"""Two-sided tail probabilities of sums of Student variables, against closed forms and numerical integrals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from dupl.report.tables.behrens_fisher import ErrorPart, half_width, two_sided


def test_one_part_is_students_t():
    assert two_sided(-3.0, (ErrorPart(1.5, 4),)) == pytest.approx(2 * stats.t.sf(2, 4))
    assert half_width(0.05, (ErrorPart(1.5, 4),)) == pytest.approx(1.5 * stats.t.ppf(0.975, 4))


@pytest.mark.parametrize("value", [0.5, 5.0, 300.0])
def test_two_cauchy_variables_have_a_closed_form(value):
    found = two_sided(value, (ErrorPart(1.0, 1), ErrorPart(0.4, 1)))
    assert found == pytest.approx(2 * stats.cauchy.sf(value / 1.4), rel=1e-3)


@pytest.mark.parametrize(("errors", "value"), [((1, 1), 3.0), ((0.1, 1), 4.0), ((1, 0.1), 20.0), ((2, 1), 9.0)])
def test_two_parts_are_a_convolution(errors, value):
    parts = ErrorPart(errors[0], 2), ErrorPart(errors[1], 199)

    def tail(image: float) -> float:
        return stats.t.pdf(image, 199) * 2 * stats.t.sf((value - errors[1] * image) / errors[0], 2)

    reference, _ = integrate.quad(tail, -15, 15, epsabs=1e-14, limit=500)
    assert two_sided(value, parts) == pytest.approx(reference, rel=1e-6)
    assert two_sided(value, parts[::-1]) == two_sided(value, parts) == two_sided(-value, parts)


def test_a_part_that_vanishes_leaves_the_other():
    assert half_width(0.05, (ErrorPart(1e-9, 2), ErrorPart(1.0, 99))) == pytest.approx(stats.t.ppf(0.975, 99))
    assert half_width(0.05, (ErrorPart(1.0, 2), ErrorPart(1e-9, 99))) == pytest.approx(stats.t.ppf(0.975, 2))


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
def test_width_and_probability_agree(alpha):
    for share in np.linspace(0.05, 0.95, 7):
        parts = ErrorPart(share**0.5, 2), ErrorPart((1 - share) ** 0.5, 99)
        assert two_sided(half_width(alpha, parts), parts) == pytest.approx(alpha, rel=1e-6)


def test_no_difference_is_certain_to_be_exceeded():
    assert two_sided(0.0, (ErrorPart(1.0, 2), ErrorPart(1.0, 99))) == pytest.approx(1)
