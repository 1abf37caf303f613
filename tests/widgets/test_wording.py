"""Numbers as one writes them, and words that screen readers hear."""

from __future__ import annotations

import math

import pytest

from exptest.widgets.wording import complaint, percent, plain, told


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0.0, "0"),
        (0.00512, "0.0051"),
        (0.9994, "1"),
        (2.5, "2.5"),
        (999.4, "999"),
        (1000.0, "1.0 × 10³"),
        (3.26e-7, "3.3 × 10⁻⁷"),
        (math.inf, "too large to compute"),
    ],
)
def test_a_number_has_two_or_three_digits(number: float, written: str) -> None:
    assert plain(number) == written


@pytest.mark.parametrize(
    ("share", "written"), [(0.1234, "12 %"), (0.0512, "5.1 %"), (1.5, "150 %"), (0.0, "0 %")]
)
def test_a_share_is_in_per_cent(share: float, written: str) -> None:
    assert percent(share) == written


def test_words_are_escaped_and_announced() -> None:
    assert told("p < α & β").startswith("<p role='status'")
    assert "p &lt; α &amp; β" in told("p < α & β")
    assert "<p role='alert'" in complaint(ValueError("<b>"))
    assert "<b>ValueError</b>: &lt;b&gt;" in complaint(ValueError("<b>"))
