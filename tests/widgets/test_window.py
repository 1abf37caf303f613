"""WindowExplorer shows the rule of chapter 4."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import traitlets

from exptest.statistics import window_length
from exptest.widgets import WindowExplorer


@pytest.fixture
def panel() -> Iterator[WindowExplorer]:
    explorer = WindowExplorer()
    yield explorer
    explorer.close()


def test_it_shows_the_window_and_the_knee_of_the_rule(panel: WindowExplorer) -> None:
    result = panel.compute()
    assert result.window == window_length(2.3, 0.05)
    assert result.knee == pytest.approx(math.log(math.sqrt(2) * 2.3))
    assert result.stretched == round(1.5 * result.window)
    assert result.latest * 2 == pytest.approx(result.length)


def test_the_knee_of_every_rate_is_in_the_first_half(panel: WindowExplorer) -> None:
    for k in range(40):
        panel.rate = 0.02 * 2500 ** (k / 39)
        result = panel.compute()
        assert result.knee <= result.length / 2 * (1 + 1e-12)


def test_a_slow_decay_has_no_knee(panel: WindowExplorer) -> None:
    panel.rate = 0.1
    panel.join()
    assert "too slow to have a knee" in panel.sentence()


def test_a_setting_changes_words_and_picture(panel: WindowExplorer) -> None:
    panel.join()
    words, picture = panel.sentence(), panel.canvas.png
    panel.lr = 0.5
    panel.join()
    assert panel.sentence() != words
    assert panel.canvas.png != picture


@pytest.mark.parametrize("name", ["initial_loss", "lr", "rate", "noise", "path_ratio", "seed"])
def test_every_extreme_gives_a_picture(panel: WindowExplorer, name: str) -> None:
    trait = panel.traits()[name]
    for value in (trait.min, trait.max):
        panel.set_trait(name, value)
        panel.join()
        assert panel.canvas.png.startswith(b"\x89PNG")
        assert "nan" not in panel.sentence()


def test_a_rate_out_of_range_is_refused(panel: WindowExplorer) -> None:
    with pytest.raises(traitlets.TraitError, match="lr"):
        panel.lr = -1.0
