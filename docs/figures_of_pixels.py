"""Figures of what happens to pixels: overlap, units, clipping, noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

import dmontage as dm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CENTRE = "83.8 -5.4"
BLUE, RED = "#1f6fb2", "#c44e38"


def _panels(n: int, width: float = 9.0, height: float = 3.2) -> tuple[Figure, list[Any]]:
    drawn = Figure(figsize=(width, height), layout="constrained", dpi=110)
    return drawn, list(np.atleast_1d(drawn.subplots(1, n)))


def _image(axes: Any, values: NDArray[Any], title: str, **style: Any) -> Any:
    shown = axes.imshow(values, origin="lower", interpolation="nearest", **style)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize="medium")
    return shown


def overlap() -> Figure:
    """Pixels of an image over those of a grid, and the area that `dm.project` finds."""
    grid = dm.Grid.around(CENTRE, scale="1 arcsec", shape=(7, 9))
    image = dm.Grid.around(CENTRE, scale="1.25 arcsec", shape=(3, 4), rotation="17 deg")
    _, area = dm.project((np.ones(image.shape), image), grid)
    x, y = grid.pixel(image.corners(image.window))
    drawn, (left, right) = _panels(2)
    for axes in (left, right):
        for k in range(8):
            axes.axhline(k - 0.5, color="0.75", lw=0.8)
        for k in range(10):
            axes.axvline(k - 0.5, color="0.75", lw=0.8)
        axes.set(xlim=(-0.6, 8.6), ylim=(-0.6, 6.6), aspect="equal")
    _image(right, area.compute(), "area: the covered part of each", cmap="Blues", vmin=0, vmax=1.3)
    for (row, column), part in np.ndenumerate(area.compute()):
        if part > 0:
            ink = "white" if part > 0.7 else "black"
            right.text(column, row, f"{part:.2f}", ha="center", va="center", fontsize=7, color=ink)
    for lines in (np.stack([x, y], -1), np.stack([x, y], -1).swapaxes(0, 1)):
        for line in lines:
            left.plot(*line.T, color=BLUE, lw=1.6)
    rim = [np.r_[a[0], a[1:, -1], a[-1, -2::-1], a[-2:0:-1, 0]] for a in (x, y)]
    left.fill(*rim, color=BLUE, alpha=0.15)
    left.set(xticks=[], yticks=[])
    left.set_title("pixels of the image, over those of the grid", fontsize="medium")
    return drawn


def units() -> Figure:
    """One source on pixels of three sizes, by both units."""
    grid = dm.Grid.around(CENTRE, scale="1 arcsec", shape=(24, 24))
    y, x = np.mgrid[:24, :24] - 11.5
    source = np.exp(-(x**2 + y**2) / (2 * 2.5**2))
    source *= 1000 / source.sum()
    drawn = Figure(figsize=(9.0, 5.0), layout="constrained", dpi=110)
    panels = drawn.subplots(2, 3)
    for line, unit in zip(panels, ("surface_brightness", "flux_per_pixel"), strict=True):
        for axes, scale in zip(line, (0.5, 1.0, 2.0), strict=True):
            out = dm.Grid.around(CENTRE, scale=f"{scale} arcsec", shape=(int(24 / scale),) * 2)
            mean = np.nan_to_num(dm.project((source, grid), out, unit=unit)[0].compute())
            shown = _image(axes, mean, f'{scale:g}" pixels: largest {mean.max():.0f}, sum {mean.sum():.0f}', vmin=0)
            drawn.colorbar(shown, ax=axes, shrink=0.85)
        line[0].set_ylabel(f'unit="{unit}"')
    return drawn


def _with_cosmic_rays(n: int, shape: tuple[int, int]) -> Floats:
    """Images of one star field, with noise of 1 and tracks of their own."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[: shape[0], : shape[1]]
    places = zip(rng.uniform(0, shape[1], 25), rng.uniform(0, shape[0], 25), rng.pareto(1, 25) * 6, strict=True)
    sky = sum(flux * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 4.5) for x0, y0, flux in places)
    images = sky + rng.normal(size=(n, *shape))
    for image in images:
        for _ in range(5):
            (y0, x0), angle, length = rng.uniform(0, shape), rng.uniform(0, np.pi), rng.uniform(2, 14)
            t = np.arange(0, length, 0.5)
            rows, columns = (y0 + t * np.sin(angle)).astype(int), (x0 + t * np.cos(angle)).astype(int)
            inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
            image[rows[inside], columns[inside]] += rng.uniform(15, 60)
    return np.asarray(images)


def clipping() -> Figure:
    """Mean, median and clipped mean of images with cosmic rays."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from astropy.io import fits

    grid = dm.Grid.around(CENTRE, scale="1 arcsec", shape=(70, 70))
    drawn, panels = _panels(4, height=2.7)
    with TemporaryDirectory() as folder:
        for k, image in enumerate(_with_cosmic_rays(7, grid.shape)):
            fits.writeto(Path(folder) / f"{k}.fits", image.astype(np.float32), grid.to_header())
        for axes, combine in zip(panels, ("mean", "median", "clip"), strict=False):
            mosaic = dm.mosaic(folder, grid, background="none", combine=combine)
            _image(axes, mosaic.compute().data, combine, cmap="gray", vmin=-1, vmax=8)
        clipped = dm.mosaic(folder, grid, background="none", combine="clip", also=("rejected",))
        _image(panels[3], clipped.rejected.compute(), "rejected", cmap="gray_r", vmin=0, vmax=2)
    return drawn


def noise() -> Figure:
    """How much noisier means over squares are than variances of single pixels say."""
    grid = dm.Grid.around(CENTRE, scale="1 arcsec", shape=(150, 150))
    out = dm.Grid.around(CENTRE, scale="1 arcsec", shape=(96, 96), rotation="30 deg")
    values = np.random.default_rng(2).normal(size=(200, *grid.shape))
    mean, _ = dm.project((values, grid), out)
    _, _, variance = dm.project((values[0], grid), out, variance=np.ones(grid.shape))
    mean, variance = mean.compute(), variance.compute()
    sides = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24])
    ratios = [_over(mean, side) / np.sqrt(_blocks(variance, side).mean() / side**2) for side in sides]
    drawn, (axes,) = _panels(1, 6.0, 3.4)
    axes.plot(sides, ratios, "o-", color=BLUE, label="measured")
    axes.axhline(1.5, color=RED, ls="--", label="R (NOISECOR)")
    axes.axhline(1.0, color="0.5", ls=":", label="by variances alone")
    axes.set(xlabel="side of the square, output pixels", ylabel="σ of its mean over what variances say")
    axes.set_ylim(0.9, 1.6)
    axes.legend(frameon=False)
    return drawn


def _blocks(values: Floats, side: int) -> Floats:
    """Means over squares of the last two axes."""
    n = values.shape[-1] // side
    cut = values[..., : n * side, : n * side]
    return np.asarray(cut.reshape(*cut.shape[:-2], n, side, n, side).mean((-3, -1)))


def _over(values: Floats, side: int) -> float:
    """Standard deviation of the means over squares."""
    return float(_blocks(values, side).std())
