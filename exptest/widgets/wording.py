"""Sentences, and numbers as one writes them there."""

from __future__ import annotations

import html
import math

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(number: float) -> str:
    """Return two or three digits; very large and very small numbers as powers of ten.

    >>> plain(0.00512), plain(2.5), plain(3e-7), plain(math.inf)
    ('0.0051', '2.5', '3.0 × 10⁻⁷', 'too large to compute')
    """
    if math.isinf(number):
        return "too large to compute"
    if number == 0 or 1e-3 <= number < 1e3:
        return f"{number:.3g}" if number >= 1 else f"{number:.2g}"
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPT)}"


def percent(share: float) -> str:
    """Return a share in per cent, two digits of it.

    >>> percent(0.1234), percent(0.00512), percent(1.5)
    ('12 %', '0.51 %', '150 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def complaint(error: BaseException) -> str:
    """Return an error as HTML that screen readers announce at once.

    >>> complaint(ValueError("1 < 2")).partition("<b>")[2]
    'ValueError</b>: 1 &lt; 2</p>'
    """
    text = f"<b>{type(error).__name__}</b>: {html.escape(str(error))}"
    return f"<p role='alert' style='color:#B00020;margin:0'>{text}</p>"


def told(sentence: str, size: str = "115%") -> str:
    """Return a sentence as HTML that screen readers announce.

    >>> told("p < α").startswith("<p role='status'")
    True
    """
    text = html.escape(sentence, quote=False)
    return f"<p role='status' style='font-size:{size};margin:0'>{text}</p>"
