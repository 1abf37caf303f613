"""Live panels for JupyterLab: move a control, see the loss signal and the verdicts change."""

from exptest.widgets.decay_test import DecayTestExplorer
from exptest.widgets.network import NetworkExplorer
from exptest.widgets.replay import ReplayLab
from exptest.widgets.stability import StabilityExplorer
from exptest.widgets.training_lab import TrainingLab
from exptest.widgets.window import WindowExplorer

__all__ = [
    "DecayTestExplorer",
    "NetworkExplorer",
    "ReplayLab",
    "StabilityExplorer",
    "TrainingLab",
    "WindowExplorer",
]
