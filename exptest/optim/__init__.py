"""The tuner in a PyTorch training loop."""

from exptest.optim.scheduler import ExpTest

__all__ = ["ExpTest"]
