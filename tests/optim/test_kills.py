"""Twenty kills: SIGKILL at any step, a fresh process goes on from the file, and no bit changes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from exptest.optim import ExpTest
from tests.optim.bases import Training, base

STEPS, KILLS = 600, 20
# Rates that are rejected, so that cuts fall before and after restarts.
RATES = {"SGD": 4.0, "SGD momentum": 0.5, "Adam": 3.0}


def train(name: str, folder: Path, cut: int | None, report: Connection) -> None:
    """In a process of its own: go on from the file; at ``cut`` save, say so, and train on."""
    torch.set_num_threads(1)
    run = Training(base(name), rate=1.0, seed=os.getpid())  # the weights come from the file
    exptest = ExpTest(run.optimizer, max_lr=RATES[name], model=run.model, min_window=24)
    parts, first = {"model": run.model, "optimizer": run.optimizer, "exptest": exptest}, 0
    file = folder / "checkpoint.pt"
    if file.exists():
        saved = torch.load(file, weights_only=True)
        first = saved.pop("step")
        for key, state in saved.items():
            parts[key].load_state_dict(state)
    else:
        run.model.load_state_dict(torch.load(folder / "start.pt", weights_only=True))
    for step in range(first, STEPS):
        if step == cut:
            states = {key: part.state_dict() for key, part in parts.items()}
            torch.save({"step": step, **states}, folder / "new.pt")
            os.replace(folder / "new.pt", file)
            report.send("saved")
        exptest.step(run.update(step))
    if cut is not None:
        signal.pause()  # the kill comes
    report.send(([w.tolist() for w in run.weights()], repr(exptest.record.decisions)))


def in_a_fresh_process(name: str, folder: Path, cut: int | None) -> Any:
    """Return what it reports; it is killed as soon as it has reported a saved file."""
    context = multiprocessing.get_context("forkserver")  # forks of a process that only imports
    context.set_forkserver_preload(["torch._dynamo", "exptest.optim", "pytest"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=train, args=(name, folder, cut, theirs))
    process.start()
    theirs.close()
    told = ours.recv()
    if cut is not None:
        process.kill()
    process.join()
    assert process.exitcode == (0 if cut is None else -signal.SIGKILL)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("name", RATES)
def test_twenty_kills_change_no_bit(name: str, tmp_path: Path) -> None:
    folders = [tmp_path / "whole", tmp_path / "killed"]
    start = Training(base(name), rate=1.0).model.state_dict()
    for folder in folders:
        folder.mkdir()
        torch.save(start, folder / "start.pt")
    for cut in sorted(random.Random(name).sample(range(1, STEPS), KILLS)):
        assert in_a_fresh_process(name, folders[1], cut) == "saved"
    weights, decisions = in_a_fresh_process(name, folders[1], None)
    assert (weights, decisions) == in_a_fresh_process(name, folders[0], None)
    assert decisions.count("verdict='shrink'") >= 1
    assert decisions.count("Decision(") >= 2
