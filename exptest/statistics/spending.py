"""How much of α one look of many may spend."""


def spent(alpha: float, look: int) -> float:
    """Return αₖ = α/(k(k + 1)) of look k = 1, 2, …; Σ αₖ = α, however many there are.

    >>> spent(0.06, 1), spent(0.06, 2)
    (0.03, 0.01)

    Claim C6.5.
    """
    return alpha / (look * (look + 1))
