"""What every rank runs, and one process alone: small trainings whose ends are compared.

python -m torch.distributed.run --standalone --nproc-per-node=2 ranks_script.py FOLDER
"""

from __future__ import annotations

import io
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from exptest.optim.gradient_path import _if_all
from tests.optim.ranks_training import SHARDS, Sharded, Training, place

CUT = 130
NAN = float("nan")
EXCHANGED: list[int] = []  # numbers in each of ExpTest's collectives; DDP's do not pass here


def last_rank() -> bool:
    rank, world = place()
    return rank == world - 1


def local_losses() -> dict[str, Any]:
    EXCHANGED.clear()
    end = Training().run().end()
    return end | {"exchanged": list(EXCHANGED)}


def rejected_search() -> dict[str, Any]:
    """All go back to the beginning and on from there at a lower rate."""
    return Training(shown={t: 1 + 0.01 * t for t in range(100)}).run().end()


def accumulation() -> dict[str, Any]:
    return Training(micro=3).run().end()


def sharded() -> dict[str, Any]:
    """Saved and loaded on the way; and what an accelerator makes of gradients not finite."""
    training = Sharded().run(0, CUT)
    load([training.exptest], saved([training.exptest]))
    end = training.run(CUT).end()
    gradient = training.gradient()
    dropped, kept = (_if_all(torch.tensor(finite), gradient) for finite in (False, True))
    return end | {"dropped": dropped.full_tensor(), "kept": (kept - gradient).full_tensor()}


def unlike_ratios() -> dict[str, Any]:
    """As if the ranks' arithmetic differed."""
    training = Training()
    ratio = 1.0 + place()[0]
    training.exptest._path.ratio = lambda: ratio
    return training.run(0, 100).end()


def one_nan() -> dict[str, Any]:
    """The last rank shows a NaN once; its weights are well."""
    return Training(shown={40: NAN} if last_rank() else {}).run().end()


def divergences() -> dict[str, Any]:
    """The last rank's targets explode, and much later it shows eight NaNs in a row.

    Its loss alone explodes first; then all gradients do, and all losses.
    """
    nans = dict.fromkeys(range(200, 208), NAN)
    last = {"spoiled": (40,), "shown": nans} if last_rank() else {}
    return Training(alpha=0.3, **last).run().end()


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


def saved(parts: list[Any]) -> bytes:
    file = io.BytesIO()
    torch.save([part.state_dict() for part in parts], file)
    return file.getvalue()


def load(parts: list[Any], file: bytes) -> None:
    states = torch.load(io.BytesIO(file), weights_only=True)
    for part, state in zip(parts, states, strict=True):
        part.load_state_dict(state)


def resumed(file: bytes) -> dict[str, Any]:
    # From its second step on: before, DDP sums over more than two ranks in another order.
    training = Training(seed=99).run(0, 2)
    load(training.parts(), file)
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
        unlike_ratios, disagreements,
    ):  # fmt: skip
        write(folder, case.__name__, case())
    files = [saved(Training().run(0, CUT).parts())]  # in the middle of a window
    write(folder, "resumed", resumed(files[0]))
    dist.broadcast_object_list(files, src=0)
    write(folder, "resumed_from_first", resumed(files[0]))
    if SHARDS:
        write(folder, "sharded", sharded())
    write(folder, "dead_rank", dead_rank())
    os._exit(0)  # the group has lost a member: nothing to take down in order


if __name__ == "__main__":
    main(Path(sys.argv[1]))
