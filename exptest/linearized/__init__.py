"""The loss model: what a linear(ized) network's loss curve must look like. No statistics here."""

from exptest.linearized.bounds import max_learning_rate

__all__ = ["max_learning_rate"]
