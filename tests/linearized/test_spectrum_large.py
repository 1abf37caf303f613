"""Largest curvature where the matrix is large, or could not be held."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from exptest.linearized import curvature_spectrum
from tests.linearized.reference import dense_ggn, dense_hessian

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("curvature", ["hessian", "ggn"])
def test_on_nearly_5000_weights_it_agrees_with_a_dense_eigensolve(curvature: str) -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10)).double()
    x, y = torch.randn(40, 64, dtype=torch.float64), torch.arange(40) % 10
    assert sum(p.numel() for p in model.parameters()) == 4810
    dense = {"hessian": dense_hessian, "ggn": dense_ggn}[curvature]
    exact = torch.linalg.eigvalsh(dense(model, nn.CrossEntropyLoss(), x, y))[-1].item()
    found = curvature_spectrum(model, nn.CrossEntropyLoss(), x, y, curvature=curvature)
    assert found.eigenvalues[0] == pytest.approx(exact, rel=1e-6)


RESNET = """
import resource, torch
from torch import nn
from exptest.linearized import curvature_spectrum

class Block(nn.Module):
    def __init__(self, fan_in, fan_out, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False), nn.BatchNorm2d(fan_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False), nn.BatchNorm2d(fan_out))
        self.short = nn.Identity() if fan_in == fan_out and stride == 1 else nn.Sequential(
            nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out))
    def forward(self, x):
        return torch.relu(self.body(x) + self.short(x))

torch.manual_seed(0)
sizes = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1),
         (256, 512, 2), (512, 512, 1)]
net = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
    *[Block(*s) for s in sizes], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)).eval()
assert sum(p.numel() for p in net.parameters()) > 11e6
x, y = torch.randn(128, 3, 32, 32), torch.arange(128) % 10
found = curvature_spectrum(net, nn.CrossEntropyLoss(), x, y, batch_size=32, tolerance=1e-3)
print(found.residuals[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, found)
"""


def test_eleven_million_weights_fit_in_8_gb() -> None:
    """In a process of its own, so that the peak is this computation's."""
    done = subprocess.run(
        [sys.executable, "-c", RESNET], capture_output=True, text=True, check=True
    )
    residual, gigabytes = map(float, done.stdout.split()[:2])
    assert residual < 1e-3
    assert gigabytes < 8.0
