"""Which modes are rounding: the one rule of this wing for where a spectrum ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

# Products of matrices leave up to about one unit of their precision, relative to the largest
# value, where exact arithmetic leaves nothing; naive sums over 1e5 weights up to about ten.
UNITS = 8.0
PRECISIONS = {name: float(np.finfo(name).eps) for name in ("float32", "float64")}
COARSE = ("float16", "bfloat16")
# A negative eigenvalue shows how large rounding is, to a factor of about two.
BEYOND_NEGATIVE = 4.0
NOT_ROUNDING = 1e-4  # the largest that sums in single precision leave, far above what was seen


@dataclass(frozen=True)
class Cut:
    """Where a spectrum was cut, and why.

    Attributes:
        modes: how many were left out, of ``of``.
        share: of the largest value, at and below which one is rounding.
        reason: what sets that share.
    """

    modes: int
    of: int
    share: float
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.modes} of {self.of} modes cut as rounding, at most {self.share:.2g} of the "
            f"largest ({self.reason})"
        )


def precision_of(name: str, values: Any, computed_in: Any = None) -> str:
    """Return the precision in which ``values`` were computed, ``"float32"`` or ``"float64"``.

    It is that of the array unless ``computed_in`` says otherwise. Whole numbers are exact. A
    float64 array of float32 numbers alone, as a conversion leaves it, was computed in float32.

    Raises:
        TypeError: half precision, which leaves too few modes.
        ValueError: a ``computed_in`` that is no precision known here.
    """
    if computed_in is not None:
        found = _named(computed_in)
        if found not in (*PRECISIONS, *COARSE):
            raise ValueError(
                f"computed_in must be a floating-point precision, got {computed_in!r}; "
                "try computed_in='float32'."
            )
    else:
        found = _named(values.dtype if hasattr(values, "dtype") else np.asarray(values).dtype)
    if found in COARSE:
        raise TypeError(
            f"{name} in {found} hold too little: rounding hides every mode below a per cent of the "
            f"largest; compute them in float32, or convert them to it if they are exact."
        )
    if found == "float32" or (computed_in is None and found == "float64" and _widened(values)):
        return "float32"
    return "float64"


def cut(values: Float[np.ndarray, " N"], precision: str, size: int) -> Cut:
    """Return where singular values, or a kernel's eigenvalues, are rounding.

    At most 8 eps of the largest, eps of the precision in which the matrix was computed; no less
    than √N eps of float64, in which it is decomposed; and 4 times the most negative eigenvalue.

    Args:
        values: σ or λ, in any order.
        precision: as `precision_of` returns it.
        size: N, rows or columns of the matrix, the larger.

    >>> print(cut(np.array([1.0, 1e-3, 1e-7]), "float32", 3))
    1 of 3 modes cut as rounding, at most 9.5e-07 of the largest (8 eps of float32)
    """
    largest, root = float(abs(values).max(initial=0.0)), float(np.sqrt(size))
    reasons = {
        f"{UNITS:g} eps of {precision}": UNITS * PRECISIONS[precision],
        f"√{size} eps of float64": root * PRECISIONS["float64"],
    }
    if largest > 0.0:
        negative = -float(values.min()) / largest
        reasons[f"{BEYOND_NEGATIVE:g} times its most negative"] = BEYOND_NEGATIVE * negative
    reason = max(reasons, key=lambda key: reasons[key])
    share = reasons[reason]
    return Cut(int((values <= share * largest).sum()), len(values), share, reason)


def kernel_modes(
    theta: Float[np.ndarray, "N N"], precision: str
) -> tuple[Float[np.ndarray, "N k"], Float[np.ndarray, " k"], Cut]:
    """Return a kernel's eigenvectors and eigenvalues above rounding, descending, and the cut.

    Raises:
        ValueError: a negative eigenvalue that no rounding explains.
    """
    values, vectors = np.linalg.eigh(theta)
    if values[0] < -NOT_ROUNDING * abs(values).max():
        raise ValueError(
            f"a kernel has no negative eigenvalue, this one has {values[0]:.4g}; "
            "try empirical_ntk(model, inputs)."
        )
    where = cut(values, precision, len(values))
    return vectors[:, where.modes :][:, ::-1], values[where.modes :][::-1], where


def design_modes(
    X: Float[np.ndarray, "n d"], precision: str
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, " k"], Float[np.ndarray, "k d"], Cut]:
    """Return the thin singular value decomposition of X above rounding, and the cut."""
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    where = cut(s, precision, max(X.shape))
    k = len(s) - where.modes
    return U[:, :k], s[:k], Vt[:k], where


def _named(dtype: Any) -> str:
    """The name of a dtype of numpy or torch, or of its scalar class."""
    return str(getattr(dtype, "__name__", dtype)).removeprefix("torch.")


def _widened(values: Any) -> bool:
    """Whether all are float32 numbers, not whole, of which a quarter or more need its last bit."""
    wide = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    narrow = narrow[narrow != 0.0] if np.array_equal(narrow, wide) else np.zeros(0, np.float32)
    if not narrow.size or np.array_equal(narrow, np.rint(narrow)):
        return False
    last = np.frexp(narrow)[0].astype(np.float64) * 2.0**24 % 2.0
    return bool(last.mean() >= 0.25)
