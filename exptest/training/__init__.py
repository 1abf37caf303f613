"""A small honest training loop."""

from exptest.training.batches import Batches
from exptest.training.history import History
from exptest.training.loop import Step, Training, fit
from exptest.training.start import default_max_lr

__all__ = ["Batches", "History", "Step", "Training", "default_max_lr", "fit"]
