"""The report's picture: what was left between images before and after, what was taken out, and how well it is known."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.aside import aside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dmontage.report.nouns import BackgroundReport

__all__ = ["write_picture"]

_INCHES = 11.0


def write_picture(report: BackgroundReport, path: Path) -> None:
    """Write the picture as a PNG, aside first and then renamed; y is up, as FITS has it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    errors, (y0, y1, x0, x1) = report.error_map, astuple(report.window)
    # Two rows of panels as high as the mosaic is wide, with their titles; no sliver, and no scroll.
    height = float(np.clip(_INCHES * 0.84 * (y1 - y0) / (x1 - x0), 4.0, 16.0))
    figure = Figure(figsize=(_INCHES, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    unit = report.unit or "pixel units"
    _differences(panels[0, 0], report, "before", "overlaps: |median difference| before", unit)
    _differences(panels[0, 1], report, "after", "… and after (outlined: left or rejected)", unit)
    if errors is not None:
        extent = (x0 - 0.5, x1 - 0.5, y0 - 0.5, y1 - 0.5)
        _map(panels[1, 0], errors.correction, extent, "RdBu_r", "background taken out", unit, symmetric=True)
        _map(panels[1, 1], errors.error, extent, "viridis", "its standard error, beyond a plane", unit)
    else:
        for panel in panels[1]:
            panel.text(0.5, 0.5, "errors are not known from a relaxation", ha="center", transform=panel.transAxes)
    for panel in panels.flat:
        panel.set(
            xlim=(x0 - 0.5, x1 - 0.5), ylim=(y0 - 0.5, y1 - 0.5), aspect="equal", xlabel="x [pix]", ylabel="y [pix]"
        )
    with aside(path) as part:
        figure.savefig(part, format="png", dpi=110)


def _differences(panel: Axes, report: BackgroundReport, when: str, title: str, unit: str) -> None:
    """Each overlap's window in the colour of its median difference, the largest windows below."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    pairs = sorted((p for p in report.pairs if p.n_pixels), key=lambda p: -p.window.size)
    values = np.abs([getattr(p, when) for p in pairs])
    boxes = [Rectangle((p.window.x0 - 0.5, p.window.y0 - 0.5), *p.window.shape[::-1]) for p in pairs]
    limit = float(values.max(initial=0.0)) or 1.0
    drawn = PatchCollection(boxes, cmap="YlOrRd", edgecolor="0.5", linewidth=0.3)
    drawn.set_array(values)
    drawn.set_clim(0.0, limit)
    panel.add_collection(drawn)
    for box, pair in zip(boxes, pairs, strict=True):
        if pair.rejected or (pair.named and when == "after"):
            panel.add_patch(Rectangle(box.get_xy(), box.get_width(), box.get_height(), fill=False, edgecolor="k"))
    _bar(panel, drawn, unit)
    panel.set_title(title, fontsize="medium")


def _map(
    panel: Axes,
    values: Any,
    extent: tuple[float, float, float, float],
    cmap: str,
    title: str,
    unit: str,
    *,
    symmetric: bool = False,
) -> None:
    panel.set_facecolor("0.85")  # blank is no value
    drawn = panel.imshow(values, origin="lower", extent=extent, cmap=cmap, interpolation="nearest")
    if symmetric and np.isfinite(values).any():
        limit = float(np.nanmax(np.abs(values)))
        drawn.set_clim(-limit, limit)
    _bar(panel, drawn, unit)
    panel.set_title(title, fontsize="medium")


def _bar(panel: Axes, drawn: Any, unit: str) -> None:
    figure: Any = panel.figure
    figure.colorbar(drawn, ax=panel, shrink=0.85, label=unit)
