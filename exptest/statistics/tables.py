"""How a result explains itself: one sentence, one table, in a terminal and in Jupyter."""

from __future__ import annotations

from html import escape

Rows = list[tuple[str, str]]


def text_table(title: str, rows: Rows, sentence: str) -> str:
    """Return the title, the rows in two columns between rules, and the sentence."""
    left = max(len(name) for name, _ in rows)
    right = max(len(value) for _, value in rows)
    width = max(left + 2 + right, len(title))
    body = [f"{name:<{left}}  {value:>{width - left - 2}}" for name, value in rows]
    rule = "=" * width
    return "\n".join([title, rule, *body, rule, sentence])


def html_table(title: str, rows: Rows, sentence: str) -> str:
    """Return the same as compact HTML."""
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td style='text-align:right'>{escape(value)}</td></tr>"
        for name, value in rows
    )
    return f"<table><caption>{escape(title)}</caption>{cells}</table><p>{escape(sentence)}</p>"
