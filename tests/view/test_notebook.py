"""A notebook in a real kernel: what values show, one bar a stage, and a mosaic that is panned by its event loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from surveys import make_survey

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

CELLS = [
    """
import dmontage as dm
from dmontage.planner import memory
memory.CHUNKS = (64,)
images = dm.scan("raw")
mosaic = dm.mosaic(images, dm.Grid.fit(images), workers=1, progress=True)
mosaic.write("m.fits");
""",
    "mosaic",
    "mosaic.plan",
    "images",
    "mosaic.grid",
    "%matplotlib inline\nax = mosaic.plot()",
    "%matplotlib widget\nexplorer = mosaic.explore()",
    """
import asyncio
async def settled():
    for _ in range(300):
        await asyncio.sleep(0.1)
        if explorer.view and not explorer.note:
            return
await settled()
print(explorer.view.window == mosaic.grid.window)
explorer.ax.set(xlim=(99.5, 149.5), ylim=(69.5, 109.5))
await settled()
import numpy as np
window = explorer.view.window
data = dm.mosaic(images, mosaic.grid).compute().data[window.slices]
print(np.array_equal(explorer.shown, data, equal_nan=True), np.isfinite(data).mean() > 0.5)
""",
]


def kinds(cell: Any) -> list[str]:
    """What a cell put out: the richest form of each."""
    order = ("application/vnd.jupyter.widget-view+json", "image/png", "text/html", "text/plain")
    return [next(k for k in order if k in out["data"]) for out in cell.outputs if "data" in out]


def test_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_survey(tmp_path / "raw")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    runner = nbclient.NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    runner.execute()
    first, *shown, plot, explore, panned = notebook.cells
    # Bars: one output for each stage, that ends at all of its tasks.
    bars = [out["data"]["text/plain"] for out in first.outputs if out.output_type == "display_data"]
    assert [bar.split()[:2] for bar in bars] == [["project", "100%"], ["fit", "100%"], ["coadd", "100%"]]
    assert len(first.outputs) == 3
    for cell, word in zip(shown, ("Mosaic", "Plan", "Images", "Grid"), strict=True):
        (out,) = cell.outputs
        assert f'<div class="dm-h">{word} ' in out["data"]["text/html"]
        assert len(out["data"]["text/plain"]) < 1000
    assert "data:image/png" in shown[0].outputs[0]["data"]["text/html"]
    assert kinds(plot) == ["text/html", "image/png"]  # its bar, and the figure
    assert kinds(explore) == ["application/vnd.jupyter.widget-view+json"]
    said = "".join(out["text"] for out in panned.outputs if out.output_type == "stream" and out["name"] == "stdout")
    assert said.split() == ["True", "True", "True"]
