"""Figures of a simulated survey: mosaics with and without background matching, the report, a picture with overlays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.wcs import WCS
from matplotlib.figure import Figure

import dmontage as dm
from dmontage.demo.simulate import simulate
from dmontage.view.directions import compass, scale_bar
from dmontage.view.figure import figure
from dmontage.view.grid_wcs import GridWCS
from dmontage.view.norm import norm
from dmontage.view.outlines import outlines
from dmontage.view.overlay import coordinate_grid
from dmontage.view.shrink import shrink, step_for

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass
class Survey:
    """A simulated survey with a nebula, and its mosaics, made when they are first asked for."""

    folder: Path
    size_deg: float

    @cached_property
    def truth(self) -> Any:
        """The true sky."""
        return simulate(self.folder / "raw", self.size_deg, nebula=12.0)

    @cached_property
    def images(self) -> Any:
        """Its images."""
        _ = self.truth
        return dm.scan(self.folder / "raw")

    @cached_property
    def grid(self) -> dm.Grid:
        """The field in the middle, that is sure to be covered."""
        return dm.Grid.around("83.8 -5.4", size=f"{self.size_deg} deg", scale="1 arcsec")

    def mosaic(self, background: str) -> dm.Mosaic:
        """One mosaic of it, over one store for all."""
        return dm.mosaic(self.images, self.grid, store=self.folder / "run.zarr", background=background)

    def data(self, background: str) -> Floats:
        """Its pixels."""
        return np.asarray(self.mosaic(background).compute().data, np.float64)


def _sky_panels(grid: dm.Grid, n: int, width: float, height: float) -> tuple[Figure, list[Any]]:
    drawn = Figure(figsize=(width, height), layout="constrained", dpi=110)
    panels = [drawn.add_subplot(1, n, k + 1, projection=GridWCS(grid)) for k in range(n)]
    for panel in panels:
        panel.coords[0].set_axislabel("RA", minpad=0.6)
        panel.coords[1].set_axislabel("Dec" if panel is panels[0] else " ", minpad=0.3)
        panel.coords[1].set_ticklabel_visible(panel is panels[0])
        for coord in panel.coords:
            coord.set_ticks(number=4)
    return drawn, panels


def matching(survey: Survey) -> Figure:
    """The same images coadded as they are, and with their backgrounds matched."""
    drawn, panels = _sky_panels(survey.grid, 2, 9.0, 4.9)
    for axes, background, title in zip(panels, ("none", "plane"), ("as they are", "matched"), strict=True):
        values = survey.data(background)
        step = step_for(values.shape, 480)
        small = shrink(values, step)
        ny, nx = small.shape
        box = (-0.5, nx * step - 0.5, -0.5, ny * step - 0.5)
        axes.imshow(small, norm=norm(small, high="99.9%"), cmap="gray", extent=box, origin="lower")
        axes.set_title(title)
    return drawn


def background(survey: Survey) -> Figure:
    """What mosaics have beside the true sky: without matching, with levels, with planes."""
    from dmontage.demo.sky import background_spline

    side = 24
    grid = survey.grid
    ny, nx = (n // side for n in grid.shape)
    y, x = (np.arange(n) * side + (side - 1) / 2 for n in (ny, nx))
    sky = background_spline(survey.truth, WCS(grid.to_header()), grid.shape)(y, x)
    drawn, panels = _sky_panels(grid, 3, 9.6, 3.6)
    for axes, how, title in zip(panels, ("none", "level", "plane"), ("none", "level", "plane"), strict=True):
        squares = survey.data(how)[: ny * side, : nx * side].reshape(ny, side, nx, side)
        left = np.nanmedian(squares, axis=(1, 3)) - sky
        left -= np.median(left)
        box = (-0.5, nx * side - 0.5, -0.5, ny * side - 0.5)
        shown = axes.imshow(left, cmap="RdBu_r", vmin=-12, vmax=12, extent=box, origin="lower")
        axes.set_title(f'background="{title}": {left.std():.2g} rms', fontsize="medium")
    drawn.colorbar(shown, ax=panels, shrink=0.8, label="beside the true sky, in σ of a pixel")
    return drawn


def report(survey: Survey) -> Figure:
    """The picture of a background report, as it is written."""
    from matplotlib.image import imread

    dm.background_report(survey.mosaic("plane")).write(survey.folder / "background")
    picture = imread(survey.folder / "background.png")
    drawn = Figure(figsize=(picture.shape[1] / 110, picture.shape[0] / 110), dpi=110)
    drawn.add_axes((0, 0, 1, 1)).imshow(picture, interpolation="nearest", aspect="auto")
    drawn.axes[0].set_axis_off()
    return drawn


def view(survey: Survey) -> Figure:
    """A mosaic with a coordinate grid, outlines of its images, compass and scale bar."""
    values = survey.data("plane")
    step = step_for(values.shape, 620)
    drawn, axes = figure(shrink(values, step), survey.grid, step=step)
    coordinate_grid(axes, "icrs")
    outlines(axes, survey.images, alpha=0.6)
    compass(axes)
    scale_bar(axes, "5 arcmin")
    from dmontage.view.figure import render

    render(drawn)
    return drawn
