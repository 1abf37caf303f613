"""ReplayLab shows what `replay` decides, on any curve that one brings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exptest import replay
from exptest.widgets import ReplayLab
from exptest.widgets.replay import example
from exptest.widgets.wording import told

DECAY = [0.9**t for t in range(60)]


@pytest.fixture
def lab() -> Iterator[ReplayLab]:
    panel = ReplayLab(max_lr=0.1)
    panel.join()
    yield panel
    panel.close()


def bring(lab: ReplayLab, content: str | bytes, name: str = "curve.csv") -> None:
    """Upload a file as a browser does."""
    raw = content.encode() if isinstance(content, str) else content
    file = {"name": name, "type": "text/csv", "size": len(raw), "content": memoryview(raw)}
    lab._uploaded({"new": (file,)})


def test_decisions_are_those_of_replay_and_steppable(lab: ReplayLab) -> None:
    decisions = replay(example(), 0.1).decisions
    assert lab.controls["shown"].max == len(decisions)
    for decision in decisions:
        assert lab.sentence() == decision.reason
        lab.step()
        lab.join()
    assert lab.shown == len(decisions)
    lab.step(-1)
    lab.join()
    assert lab.sentence() == decisions[-2].reason


def test_fewer_decisions_than_the_one_shown_show_the_last(lab: ReplayLab) -> None:
    lab.shown = 6
    lab.max_lr = 0.01
    lab.join()
    last = replay(example(), 0.01).decisions[-1]
    assert lab.sentence() == last.reason


def test_the_curve_is_replayed_once_while_decisions_are_stepped(
    lab: ReplayLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exptest.widgets.replay.replay", lambda *_, **__: pytest.fail("again"))
    lab.step()
    lab.join()


def test_pasted_losses_are_taken(lab: ReplayLab) -> None:
    lab.paste("[0.5, 2.5e-1;\n 1 \t−3,\n]")
    assert lab.losses.tolist() == [0.5, 0.25, 1.0, -3.0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("1, 2, banana", "&#x27;banana&#x27; is not a number"), ("", "empty"), ("1,2\n3;;x", "x")],
)
def test_a_bad_paste_is_named_and_the_curve_stays(
    lab: ReplayLab, text: str, complaint: str
) -> None:
    lab.pasted.value = text
    lab._guarded(lambda: lab.paste(text))
    assert complaint in lab.complaint.value
    assert np.array_equal(lab.losses, example())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("loss\n", "is empty"),
        ("word\nspam\neggs\n", "found none"),
        ("a,b\n1,2\n3,4\n", "found &#x27;a&#x27;, &#x27;b&#x27;"),
        ('a\n"1\n2,3\n', "is not a table"),
        (b"\xff\xfe\x00\xd8", "begins as UTF-16 text, but is none"),
        (b"\x89PNG\0", "no text but a binary file"),
        ("loss\n1\ntwo\n", "column"),
    ],
)
def test_a_bad_file_is_named_and_the_curve_stays(
    lab: ReplayLab, content: str | bytes, complaint: str
) -> None:
    bring(lab, content)
    assert complaint in lab.complaint.value
    assert "/tmp" not in lab.complaint.value
    assert np.array_equal(lab.losses, example())


def test_a_complaint_outlives_a_picture_on_its_way(lab: ReplayLab) -> None:
    lab.step()
    lab.join()
    lab.losses = np.asarray(DECAY)
    bring(lab, "a,b\n1,2\n")
    lab.join()
    assert "role='alert'" in lab.complaint.value
    assert lab.words.value == told(lab.sentence())
    bring(lab, "loss\n1\n")
    assert lab.complaint.value == ""


def test_of_several_columns_one_is_chosen_from_a_list_with_their_first_values(
    lab: ReplayLab,
) -> None:
    assert lab.column.layout.display == "none"
    bring(lab, "a,b,step\n" + "".join(f"{loss},{2 * loss},0\n" for loss in DECAY))
    assert "found &#x27;a&#x27;, &#x27;b&#x27;" in lab.complaint.value
    assert lab.column.layout.display is None
    assert lab.column.options[1:] == (("a: 1, 0.9, 0.81, …", "a"), ("b: 2, 1.8, 1.62, …", "b"))
    lab.column.value = "b"
    assert lab.losses == pytest.approx([2 * loss for loss in DECAY])
    assert lab.complaint.value == ""
    lab.column.value = "a"
    assert lab.losses == pytest.approx(DECAY)


def test_the_only_plausible_column_is_taken_and_others_can_be(lab: ReplayLab) -> None:
    bring(lab, "train_loss,val_loss\n3,9\n2,\n")
    assert (lab.column.value, lab.losses.tolist()) == ("train_loss", [3, 2])
    lab.column.value = "val_loss"
    assert lab.losses.tolist() == [9]
    bring(lab, "loss\n5\n")
    assert (lab.column.value, lab.column.layout.display) == ("loss", "none")


def test_the_panel_says_what_was_left_out_of_a_file(lab: ReplayLab) -> None:
    assert lab.note.value == ""
    bring(lab, '{"step": 0, "loss": 3}\n{"step": 5}\n{"step": 10, "loss": 2}\n')
    assert "1 row without a loss left out." in lab.note.value
    assert "try every=10" in lab.note.value
    lab.every = 10
    assert "Each loss stands for 10 steps" in lab.note.value
    lab.paste("3, 2, 1")
    assert lab.note.value == ""


def test_a_path_is_read_as_an_upload_is(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_text("loss,b\n3,\n,4\n")
    panel = ReplayLab(str(path))
    assert panel.losses.tolist() == [3]
    assert "1 row without a loss left out." in panel.note.value
    panel.close()


def test_losses_for_many_steps_are_replayed_as_such(lab: ReplayLab) -> None:
    lab.every = 100
    lab.max_lr = 0.001
    lab.join()
    reasons = [d.reason for d in replay(example(), 0.001, every=100).decisions]
    assert [d.reason for d in lab.result.decisions] == reasons
    assert len(reasons) > 2


def test_losses_that_are_not_numbers_are_decided_and_drawn(lab: ReplayLab) -> None:
    losses = [*DECAY[:40], math.nan, math.inf, *DECAY[:40]]
    bring(lab, "loss\n" + "\n".join(map(str, losses)))
    lab.join()
    assert len(lab.losses) == len(losses)
    for _ in range(5):
        lab.step()
        lab.join()
    for value in (math.nan, math.inf, 0.0, 1e300):
        lab.losses = np.full(100, value)
        lab.join()
        assert lab.sentence()
    lab.losses = -np.ones(100)
    with pytest.raises(ValueError, match="below loss_floor"):
        lab.join()
    assert "below loss_floor" in lab.words.value


@pytest.mark.usefixtures("as_users_do")
def test_a_long_curve_is_drawn(lab: ReplayLab) -> None:
    n = 40_000
    noise = np.random.default_rng(0).standard_normal(n)
    lab.losses = 0.5 + np.exp(-np.arange(n) / 7_000) + 0.03 * noise
    lab.join()
    assert len(lab.result.losses) == n


@pytest.mark.parametrize("name", ["max_lr", "alpha", "beta", "path_ratio", "every", "shown"])
def test_every_extreme_gives_a_picture(lab: ReplayLab, name: str) -> None:
    trait = lab.traits()[name]
    for value in (trait.min, trait.max):
        lab.set_trait(name, value)
        lab.join()
        assert lab.sentence()
