"""The loss model: what a linear(ized) network's loss curve must look like. No statistics here."""

from exptest.linearized.best_rate import best_learning_rate
from exptest.linearized.bounds import max_learning_rate
from exptest.linearized.floor_noise import FloorNoise, loss_autocovariance
from exptest.linearized.function_space import CrossEntropyModel
from exptest.linearized.loss_model import LossModel
from exptest.linearized.ntk import empirical_ntk
from exptest.linearized.sgd import (
    critical_batch_size,
    expected_sgd_loss,
    mean_square_critical_rate,
    noise_floor,
)
from exptest.linearized.shape import SingleExponential, best_exponential, knee
from exptest.linearized.spectrum import Spectrum, critical_learning_rate, curvature_spectrum
from exptest.linearized.taylor import LinearizedNetwork, linearize
from exptest.linearized.wide import wide_network

__all__ = [
    "CrossEntropyModel",
    "FloorNoise",
    "LinearizedNetwork",
    "LossModel",
    "SingleExponential",
    "Spectrum",
    "best_exponential",
    "best_learning_rate",
    "critical_batch_size",
    "critical_learning_rate",
    "curvature_spectrum",
    "empirical_ntk",
    "expected_sgd_loss",
    "knee",
    "linearize",
    "loss_autocovariance",
    "max_learning_rate",
    "mean_square_critical_rate",
    "noise_floor",
    "wide_network",
]
