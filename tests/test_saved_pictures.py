"""A saved notebook keeps a panel's picture and loses its widget; nothing else is touched."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest

from exptest import saved_pictures
from exptest.saved_pictures import MARK, VIEW, keep_pictures


def output(*, panel: bool) -> dict[str, Any]:
    data = {VIEW: {"model_id": "7"}, "image/png": "iVBOR", "text/plain": "a panel"}
    return {"data": data, "metadata": {MARK: "panel"} if panel else {}}


def saved(*outputs: dict[str, Any]) -> dict[str, Any]:
    cells = [{"cell_type": "markdown"}, {"outputs": list(outputs)}]
    return {"type": "notebook", "content": {"cells": cells}}


def test_a_panel_loses_its_widget_alone_and_other_widgets_stay() -> None:
    panel, other = output(panel=True), output(panel=False)
    stream = {"output_type": "stream", "text": "η"}
    before = copy.deepcopy([other, stream])
    keep_pictures(model=saved(panel, other, stream), path="x.ipynb", contents_manager=None)
    assert panel["data"] == {"image/png": "iVBOR", "text/plain": "a panel"}
    assert [other, stream] == before
    keep_pictures(model=saved(panel))
    assert set(panel["data"]) == {"image/png", "text/plain"}


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_is_no_notebook_is_left_alone(kind: str) -> None:
    model = saved(output(panel=True)) | {"type": kind}
    before = copy.deepcopy(model)
    keep_pictures(model=model)
    assert model == before
    keep_pictures(model={"type": "notebook", "content": None})


def test_the_server_is_given_the_hook() -> None:
    given: list[Any] = []
    manager = SimpleNamespace(register_pre_save_hook=given.append)
    saved_pictures._load_jupyter_server_extension(SimpleNamespace(contents_manager=manager))
    assert given == [keep_pictures]
    points = saved_pictures._jupyter_server_extension_points()
    assert points == [{"module": "exptest.saved_pictures"}]
