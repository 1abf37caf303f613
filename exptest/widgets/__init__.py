"""Live panels for JupyterLab: move a control, see the loss signal and the verdicts change."""

from exptest.widgets.training_lab import TrainingLab

__all__ = ["TrainingLab"]
