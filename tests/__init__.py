"""What checks the annotations under pytest: beartype, an int being a float as in PEP 484."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
_inner: dict[tuple[str, str, str], Callable[..., Any]] = {}


def checked(signature: Callable[..., Any]) -> Callable[..., Any]:
    """Of an inner function made once: it comes again at each call of the outer one."""
    if "<locals>" not in signature.__qualname__:
        return _checked(signature)
    key = signature.__module__, signature.__qualname__, repr(signature.__annotations__)
    if key not in _inner:
        _inner[key] = _checked(signature)
    return _inner[key]
