"""A run as a file or as code: the same run again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exptest import replay
from exptest.record import Record
from exptest.widgets import TrainingLab


@pytest.fixture
def lab() -> Iterator[TrainingLab]:
    panel = TrainingLab(speed="full speed", limit=1000)
    yield panel
    panel.close()


def test_the_exported_code_repeats_the_run(lab: TrainingLab) -> None:
    lab.advance(windows=2)
    scope: dict[str, Any] = {}
    exec(lab.code().replace("print(history)", ""), scope)
    assert lab.run is not None
    assert np.array_equal(scope["history"].losses, lab.run.losses)


def test_the_record_is_written_and_replayed(lab: TrainingLab, tmp_path: Path) -> None:
    lab.advance(windows=1)
    file = lab.to_csv(tmp_path / "run.csv")
    assert lab.run is not None
    ratio = lab.run.decisions[0].path_ratio
    replayed = replay(file, lab.run.tuner.max_lr, column="loss", path_ratio=ratio)
    assert replayed.decisions[0].step == lab.run.decisions[0].step
    np.testing.assert_array_equal(replayed.losses, lab.run.losses[: len(replayed.losses)])
    for ending in ("png", "svg"):
        assert lab.save_figure(tmp_path / f"run.{ending}").stat().st_size > 10_000


def test_a_figure_can_be_saved_while_the_thread_wants_to_draw(tmp_path: Path) -> None:
    for run in ("first", "second", "third"):
        lab = TrainingLab(limit=100)
        lab.play()
        lab.pause()
        file = tmp_path / f"{run}.png"
        saved = threading.Thread(target=lab.save_figure, args=[file], daemon=True)
        saved.start()
        saved.join()
        assert file.exists()
        lab.close()


def test_a_record_taken_while_training_is_whole(lab: TrainingLab) -> None:
    taken: list[Record] = []
    lab.limit = 20_000
    lab.play()
    while lab.worker.alive and len(taken) < 50:
        with contextlib.suppress(TimeoutError):
            lab.join(0.01)
        if lab.run is not None and lab.run.decisions:
            taken.append(lab.run.record())
    assert len(taken) > 0
    for record in taken:
        assert all(decision.step < len(record.losses) for decision in record.decisions)


def test_an_export_that_cannot_be_written_says_so(
    lab: TrainingLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("CSV", "PNG", "SVG", "Code"):
        lab.buttons[kind].click()
        assert "Nothing to export" in lab.exported.value
    lab.advance(windows=1)
    for kind in ("csv", "png", "svg"):
        name = f"exptest-digits-network-seed0.{kind}"
        lab.buttons[kind.upper()].click()
        assert (tmp_path / name).stat().st_size > 1000
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        lab.buttons[kind.upper()].click()
        assert "Not written" in lab.exported.value
