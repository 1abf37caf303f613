"""A small honest training loop."""

from exptest.training.batches import Batches
from exptest.training.history import History
from exptest.training.loop import Step, Training, default_max_lr, fit

__all__ = ["Batches", "History", "Step", "Training", "default_max_lr", "fit"]
