"""Jupyter server extension: a saved notebook keeps a panel's picture instead of a dead widget.

A live panel is one output with two faces, a widget and a picture. Reopened without its kernel the
widget is "model not found", and JupyterLab prefers it to the picture; so it is not saved.
Installing the package switches this on (``etc/jupyter/jupyter_server_config.d/exptest.json``).
"""

from __future__ import annotations

from typing import Any

VIEW = "application/vnd.jupyter.widget-view+json"
MARK = "exptest"


def keep_pictures(*, model: dict[str, Any], **_: Any) -> None:
    """Remove the widget's face from every panel of the notebook that is about to be saved.

    Args:
        model: Jupyter's contents model; changed in place.

    >>> faces = {VIEW: {}, "image/png": "iVBOR..."}
    >>> output = {"data": faces, "metadata": {MARK: "panel"}}
    >>> keep_pictures(model={"type": "notebook", "content": {"cells": [{"outputs": [output]}]}})
    >>> list(faces)
    ['image/png']
    """
    if model.get("type") != "notebook" or not model.get("content"):
        return
    for cell in model["content"]["cells"]:
        for output in cell.get("outputs", ()):
            if MARK in output.get("metadata", {}):
                output["data"].pop(VIEW, None)


def _load_jupyter_server_extension(server: Any) -> None:
    server.contents_manager.register_pre_save_hook(keep_pictures)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "exptest.saved_pictures"}]
