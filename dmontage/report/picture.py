"""The report's picture: what was left between images before and after, what was taken out, and how well it is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.aside import aside
from dmontage.view.grid_wcs import GridWCS
from dmontage.view.quality import draw_correction, draw_error, draw_overlaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dmontage.report.nouns import BackgroundReport

__all__ = ["write_picture"]

_INCHES = 11.0


def write_picture(report: BackgroundReport, path: Path) -> None:
    """Write the picture as a PNG, aside first and then renamed; on the mosaic's own sky coordinates."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    errors, (ny, nx) = report.error_map, report.grid.shape
    rows, high = (1, 0.48) if errors is None else (2, 0.84)
    # Rows of panels as high as the mosaic is wide, with their titles; no sliver, and no scroll.
    height = float(np.clip(_INCHES * high * ny / nx, 2.0 * rows, 8.0 * rows))
    figure = Figure(figsize=(_INCHES, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(rows, 2, k + 1, projection=GridWCS(report.grid)) for k in range(2 * rows)]
    for panel in panels:
        panel.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), aspect="equal", autoscale_on=False)
    _bar(panels[0], draw_overlaps(panels[0], report.pairs, "before"), report, "overlaps: |median difference| before")
    _bar(panels[1], draw_overlaps(panels[1], report.pairs, "after"), report, "… and after (outlined: left or rejected)")
    if errors is None:
        figure.supxlabel(f"errors: {report.no_errors}", fontsize="medium")
    else:
        _bar(panels[2], draw_correction(panels[2], errors), report, "background taken out")
        _bar(panels[3], draw_error(panels[3], errors), report, "its standard error, beyond a plane")
    with aside(path) as part:
        figure.savefig(part, format="png", dpi=110)


def _bar(panel: Axes, drawn: Any, report: BackgroundReport, title: str) -> None:
    figure: Any = panel.figure
    figure.colorbar(drawn, ax=panel, shrink=0.85, label=report.unit or "pixel units")
    panel.set_title(title, fontsize="medium")
