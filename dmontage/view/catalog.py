"""Catalogues on a picture: a symbol at each row's place, its size and colour told by columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import read_table
from dmontage.view.beside import Beside
from dmontage.view.figure import grid_wcs
from dmontage.view.places_of import check_column, column, places_of
from dmontage.view.signs import inside, symbol_named, symbols

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame
    from astropy.table import Table
    from astropy.visualization.wcsaxes import WCSAxes
    from matplotlib.collections import PathCollection
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["SCALES", "catalog", "symbol_sizes"]

SCALES = ("flux", "mag", "log")


def catalog(
    axes: WCSAxes,
    table: Table | str | Path,
    *,
    lon: str | None = None,
    lat: str | None = None,
    frame: str | BaseCoordinateFrame | None = None,
    size_by: str | None = None,
    scale: str = "mag",
    sizes: tuple[float, float] = (3.0, 18.0),
    color: Any = "yellow",
    color_by: str | None = None,
    cmap: Any = "cool",
    symbol: str = "circle",
    filled: bool = False,
    label_by: str | None = None,
) -> PathCollection:
    """The rows of a catalogue that lie in the picture.

    Parameters
    ----------
    axes
        Of `dmontage.view.figure.figure`.
    table
        An astropy Table, or the path of a FITS, VOTable, IPAC, ECSV or CSV table.
    lon, lat
        Columns of the coordinates; found by their usual names and UCDs if not given.
    frame
        Of the coordinates; what the columns' names mean (``ra``: ICRS, ``glon``: galactic) if not given.
    size_by, scale, sizes
        Column that sizes the symbols; it holds fluxes whose area is proportional to them ("flux"), fluxes whose
        logarithm is proportional to the diameter ("log"), or magnitudes, linear in the diameter ("mag"): the same
        stars have the same sizes by "log" and by "mag". The smallest and largest diameter, in points, are those of
        the faintest and brightest row in the picture; for "flux" the brightest has the largest, and none less than
        the smallest. Rows without a size are not drawn.
    color, color_by, cmap
        One colour, or the column and the colour map that tell it; the bar is `dmontage.view.figure.color_bar` of what
        is returned. Rows without a number are grey.
    symbol, filled
        "circle", "square", "diamond", "triangle", "pentagon", "hexagon", "star", "plus", "cross", "dot",
        or a matplotlib marker; outlined, or filled.
    label_by
        Column of text to write beside the symbols, the largest first, but where all sides are taken by other texts.

    Returns
    -------
    PathCollection
        matplotlib's collection of the symbols.

    Raises
    ------
    InputError
        If there is no such table or column (all columns are named then), or the scale is none of these.
    """
    if scale not in SCALES:
        raise InputError(f"scale {scale!r} is not one of {', '.join(SCALES)}")
    rows = read_table(str(table), "catalogue") if isinstance(table, (str, Path)) else table
    wcs = grid_wcs(axes)
    x, y = wcs.pixel(places_of(rows, lon, lat, frame, wcs.grid.frame))
    shown = np.flatnonzero(inside(axes, x, y))
    diameters = np.full(shown.size, 0.5 * sum(sizes))
    if size_by is not None:
        diameters = symbol_sizes(column(rows, size_by, "size_by")[shown], scale, sizes)
        shown, diameters = shown[np.isfinite(diameters)], diameters[np.isfinite(diameters)]
    # The large ones below, so that small ones stay in sight.
    order = np.argsort(-diameters, kind="stable")
    shown, diameters = shown[order], diameters[order]
    drawn = symbols(axes, x[shown], y[shown], diameters, symbol_named(symbol))
    _colour(drawn, None if color_by is None else column(rows, color_by, "color_by")[shown], color, cmap, filled=filled)
    if label_by is not None:
        check_column(rows, label_by, "label_by")
        beside = Beside(axes)
        for k, diameter in zip(shown, diameters, strict=True):
            text = rows[label_by][k]
            if text is None or text is np.ma.masked:
                continue
            place, style = (float(x[k]), float(y[k])), {"fontsize": "small", "parse_math": False}  # "$" is just that
            beside.write(str(text), place, color, 0.5 * float(diameter) + 2.0, keep=False, **style)
    return drawn


def symbol_sizes(values: Floats, scale: str, sizes: tuple[float, float]) -> Floats:
    """Diameters in points of symbols (n,) for fluxes or magnitudes, as `catalog` tells; NaN where there is none."""
    least, most = sizes
    if not 0 < least <= most:
        raise InputError(f"sizes {sizes} are not two diameters in points, the smallest first")
    bright = np.where(values > 0, values, np.nan) if scale != "mag" else -values
    bright = np.where(np.isfinite(bright), bright, np.nan)
    if not np.isfinite(bright).any():
        return np.full(values.shape, np.nan)
    if scale == "flux":
        return np.asarray(np.maximum(most * np.sqrt(bright / np.nanmax(bright)), least))
    if scale == "log":
        bright = np.log10(bright)
    low, high = np.nanmin(bright), np.nanmax(bright)
    part = (bright - low) / (high - low) if high > low else np.where(np.isfinite(bright), 0.5, np.nan)
    return np.asarray(least + (most - least) * part)


def _colour(drawn: PathCollection, values: Floats | None, color: Any, cmap: Any, *, filled: bool) -> None:
    """Colours of outlines, and of bodies where these are filled."""
    if values is None or not np.isfinite(values).any():
        drawn.set_edgecolor(color if values is None else "0.6")
    else:
        from matplotlib import colormaps

        shades = colormaps.get_cmap(cmap).with_extremes(bad="0.6")
        drawn.set_array(np.ma.masked_invalid(values))
        drawn.set_cmap(shades)
        drawn.autoscale()
        edges: Any = "face" if filled else shades(drawn.norm(np.ma.masked_invalid(values)))
        drawn.set_edgecolor(edges)
    if not filled:
        drawn.set_facecolor("none")
    elif values is None:
        drawn.set_facecolor(color)
