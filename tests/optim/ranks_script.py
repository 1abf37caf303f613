"""What every rank runs, and one process alone: small trainings whose ends are compared.

    python -m torch.distributed.run --standalone --nproc-per-node=2 ranks_script.py FOLDER
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.fsdp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from exptest.optim import ExpTest

STEPS = 300
CUT = 130
BATCH = 32  # of all ranks together
NAN = float("nan")
SHARDS = hasattr(torch.distributed.fsdp, "fully_shard")
EXCHANGED: list[int] = []  # numbers in each of ExpTest's collectives; DDP's do not pass here


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

    def weights(self) -> list[Tensor]:
        parameters = self.optimizer.param_groups[0]["params"]
        return [p.detach().clone() for p in parameters]

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
        if self.world > 1:
            torch.distributed.fsdp.fully_shard(net, mesh=init_device_mesh("cpu", (self.world,)))
        return net

    def late(self, net: nn.Module) -> nn.Module:
        return net

    def weights(self) -> list[Tensor]:
        parameters = self.optimizer.param_groups[0]["params"]
        return [p.detach().full_tensor() if self.world > 1 else p.detach() for p in parameters]


# -- the cases -----------------------------------------------------------------------------


def last_rank() -> bool:
    rank, world = place()
    return rank == world - 1


def local_losses() -> dict[str, Any]:
    EXCHANGED.clear()
    end = Training().run().end()
    return end | {"exchanged": list(EXCHANGED)}


def rejected_search() -> dict[str, Any]:
    """All go back to the beginning and on from there at a lower rate."""
    return Training(alpha=1e-30).run().end()


def accumulation() -> dict[str, Any]:
    return Training(micro=3).run().end()


def sharded() -> dict[str, Any]:
    return Sharded().run().end()


def one_nan() -> dict[str, Any]:
    """The last rank shows a NaN once; its weights are well."""
    return Training(shown={40: NAN} if last_rank() else {}).run().end()


def divergences() -> dict[str, Any]:
    """The last rank's targets explode, and much later it shows eight NaNs in a row.

    Its loss alone explodes first; then all gradients do, and all losses.
    """
    nans = dict.fromkeys(range(200, 208), NAN)
    last = {"spoiled": (40,), "shown": nans} if last_rank() else {}
    return Training(**last).run().end()


def broken_weights() -> dict[str, Any]:
    """The last rank's weights alone break, at the step before all consult; weights by rank."""
    training = Training(seed=place()[0])
    initial = training.weights()
    t = 0
    while t < 5 or not training.consults_next():
        training.step(t)
        t += 1
    if last_rank():
        training.shown = {t: NAN}
        training.optimizer.register_step_post_hook(lambda *_: break_weights(training))
    decision = training.step(t)
    training.shown = {}
    after = training.weights()
    return {"decision": decision.reason, "initial": initial, "weights": after}


@torch.no_grad()
def break_weights(training: Training) -> None:
    for p in training.net.parameters():
        p.fill_(NAN)


def stopped() -> bytes:
    """This rank's file of a training that was stopped in the middle of a window."""
    training, file = Training().run(0, CUT), io.BytesIO()
    parts = (training.net, training.optimizer, training.exptest)
    torch.save([part.state_dict() for part in parts], file)
    return file.getvalue()


def resumed(saved: bytes) -> dict[str, Any]:
    training = Training(seed=99)
    states = torch.load(io.BytesIO(saved), weights_only=True)
    parts = (training.net, training.optimizer, training.exptest)
    for part, state in zip(parts, states, strict=True):
        part.load_state_dict(state)
    waiting = training.exptest._observations.waiting
    return training.run(CUT).end() | {"waiting": waiting}


def disagreements() -> dict[str, Any]:
    rank, _ = place()
    return {
        "max_lr": refusal(Training(max_lr=0.5 + rank)),
        "path_correction": refusal(Training(path_correction=rank > 0)),
        "steps": refusal(Training().run(0, 3), Training().run(0, 4)),
    }


def refusal(training: Training, other: Training | None = None) -> str:
    """What ExpTest says; ``other`` gives its state to all ranks but the first."""
    if other is not None:
        giver = other if training.rank else training
        training.exptest.load_state_dict(giver.exptest.state_dict())
    try:
        training.step(0)
    except ValueError as error:
        return str(error)
    return ""


def dead_rank() -> dict[str, Any]:
    """The last rank ends in the middle of a step, when the others are about to consult it."""
    training = Training().run(0, 5)
    while not training.consults_next():
        training.step(5)
    if last_rank():
        training.optimizer.register_step_post_hook(lambda *_: os._exit(0))
    try:
        training.step(5)
    except RuntimeError as error:
        return {"error": str(error)}
    return {"error": ""}


# -- one rank ------------------------------------------------------------------------------


def write(folder: Path, name: str, end: dict[str, Any]) -> None:
    torch.save(end, folder / f"{name}-{place()[0]}.pt")


def count_exchanges() -> None:
    made = dist.all_reduce

    def counted(tensor: Tensor, *args: Any, **options: Any) -> Any:
        EXCHANGED.append(tensor.numel())
        return made(tensor, *args, **options)

    dist.all_reduce = counted


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", None, timedelta(minutes=10))  # else a fault hangs for 30
    count_exchanges()
    for case in (
        local_losses, rejected_search, accumulation, one_nan, divergences, broken_weights,
        disagreements,
    ):  # fmt: skip
        write(folder, case.__name__, case())
    saved = [stopped()]
    write(folder, "resumed", resumed(saved[0]))
    dist.broadcast_object_list(saved, src=0)
    write(folder, "resumed_from_first", resumed(saved[0]))
    if SHARDS:
        write(folder, "sharded", sharded())
    write(folder, "dead_rank", dead_rank())
    os._exit(0)  # the group has lost a member: nothing to take down in order


if __name__ == "__main__":
    main(Path(sys.argv[1]))
