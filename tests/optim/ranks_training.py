"""A small training that is the same on one process and on several."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.fsdp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from exptest.optim import ExpTest

STEPS = 300
BATCH = 32  # of all ranks together
SHARDS = hasattr(torch.distributed.fsdp, "fully_shard")


def place() -> tuple[int, int]:
    """This process's number, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


class Training:
    """A small network on this rank's part of every batch.

    Args:
        seed: of the weights.
        micro: micro-batches per update.
        shown: losses that ExpTest is shown instead, by step.
        spoiled: steps at which this rank's targets explode.
        settings: of ExpTest.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        micro: int = 1,
        shown: dict[int, float] | None = None,
        spoiled: tuple[int, ...] = (),
        **settings: Any,
    ) -> None:
        self.rank, self.world = place()
        self.micro, self.shown, self.spoiled = micro, shown or {}, spoiled
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        self.net = self.early(net)
        self.optimizer = torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.5)
        settings = {"max_lr": 0.5, "min_window": 16, "model": net} | settings
        self.exptest = ExpTest(self.optimizer, **settings)
        self.net = self.late(net)
        data = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(256, 6, dtype=torch.float64, generator=data)
        noise = torch.randn(256, 1, dtype=torch.float64, generator=data)
        self.targets = 0.2 * (self.inputs.sum(1, keepdim=True) + noise)

    def early(self, net: nn.Module) -> nn.Module:
        """What wraps the network before its optimizer is made."""
        return net

    def late(self, net: nn.Module) -> nn.Module:
        """What wraps it afterwards: the weights of rank 0 are broadcast here."""
        return DistributedDataParallel(net) if self.world > 1 else net

    def loss(self, t: int, part: int) -> Tensor:
        draw = torch.Generator().manual_seed(100 * t + part)
        rows = torch.randint(256, (BATCH,), generator=draw)[self.rank :: self.world]
        targets = self.targets[rows] * (1e200 if t in self.spoiled else 1.0)
        return (self.net(self.inputs[rows]) - targets).square().mean()

    def step(self, t: int) -> Any:
        for part in range(self.micro):
            held = self.world > 1 and part < self.micro - 1
            with self.net.no_sync() if held else nullcontext():
                loss = self.loss(t, part)
                (loss / self.micro).backward()
            if part == self.micro - 1:
                self.optimizer.step()
            decision = self.exptest.step(self.shown.get(t, loss))
        self.optimizer.zero_grad()
        return decision

    def run(self, first: int = 0, end: int = STEPS) -> Training:
        for t in range(first, end):
            self.step(t)
        return self

    def consults_next(self) -> bool:
        """Whether the ranks exchange their losses at the next step."""
        waiting = self.exptest._observations.waiting
        return waiting + 1 >= self.exptest.tuner.attention_in

    def parts(self) -> list[Any]:
        return [self.net, self.optimizer, self.exptest]

    def weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.net.parameters()]

    def end(self) -> dict[str, Any]:
        record = self.exptest.record
        return {
            "decisions": self.exptest.tuner.state_dict()["decisions"],
            "skipped": record.skipped,
            "losses": torch.tensor(record.losses.tolist(), dtype=torch.float64),
            "rates": torch.tensor(record.lrs.tolist(), dtype=torch.float64),
            "weights": self.weights(),
        }


class Sharded(Training):
    """The same, its parameters spread over the ranks."""

    def early(self, net: nn.Module) -> nn.Module:
        torch.distributed.fsdp.fully_shard(net, mesh=init_device_mesh("cpu", (self.world,)))
        return net

    def late(self, net: nn.Module) -> nn.Module:
        return net

    def weights(self) -> list[Tensor]:
        return [p.detach().full_tensor() for p in self.net.parameters()]

    def gradient(self) -> Tensor:
        """One that is spread over the ranks."""
        self.loss(0, 0).backward()
        return next(self.net.parameters()).grad
