"""dmontage: science-grade mosaics of the sky, as a distributed array engine.

::

    import dmontage as dm
    images = dm.scan("raw/")
    grid = dm.Grid.around("05h35m -5d23m", size="1 deg", scale="1 arcsec")   # or .from_header(...), .fit(images)
    print(dm.plan(images, grid))
    mosaic = dm.mosaic(images, grid)                                         # lazy
    mosaic.cutout("05h35m17s -5d23m28s", "5 arcmin").compute()
    mosaic.write("mosaic.fits")
    dm.mosaics(images, grid, group_by="FILTER").write("mosaic.fits")         # one of each band
    mean, area = dm.project("image.fits", grid)                              # one image, lazily

Pixel values are surface brightness: a constant sky stays that constant, whatever the size of the output's pixels.
Arrays are ``[y, x]``, pixel centres lie at integers, blank is NaN; sizes and scales are astropy Quantities or text.

Levels: a module imports from lower levels only. 0 kernels, window, headers, sphere, polynomial, noise, shown · 1 grid,
quality · 2 mapping, model · 3 fits_files, store, planner, background · 4 graph · 5 pipeline · 6 view, demo ·
7 report, montage · 8 cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmontage._version import __version__
from dmontage.shown import draw_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from dmontage.errors import InputError
    from dmontage.fits_files import scan
    from dmontage.grid import Grid
    from dmontage.pipeline import Bands, Mosaic, coadd, mosaic, mosaics, plan, project, solve_runs, status, verify
    from dmontage.report import background_report
    from dmontage.window import Window

__all__ = [
    "Bands", "Grid", "InputError", "Mosaic", "Window", "__version__", "background_report", "coadd", "mosaic", "mosaics",
    "plan", "project", "scan", "solve_runs", "status", "verify",
]  # fmt: skip

_HOMES = {
    "Bands": "pipeline",
    "Grid": "grid",
    "InputError": "errors",
    "Mosaic": "pipeline",
    "Window": "window",
    "background_report": "report",
    "coadd": "pipeline",
    "mosaic": "pipeline",
    "mosaics": "pipeline",
    "plan": "pipeline",
    "project": "pipeline",
    "scan": "fits_files",
    "solve_runs": "pipeline",
    "status": "pipeline",
    "verify": "pipeline",
}


def _drawer(module: str, function: str) -> Callable[..., Any]:
    """A function of ``dmontage.view`` that is imported when it is first called."""

    def draw(value: object, *args: Any, **how: Any) -> Any:
        from importlib import import_module

        return getattr(import_module(f"dmontage.view.{module}"), function)(value, *args, **how)

    return draw


for _way, _function in (("html", "html"), ("plot", "plot"), ("explore", "explore")):
    draw_by(_way, _drawer(_way, _function))


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``import dmontage`` itself costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dmontage' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"dmontage.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
