"""What notebooks show of values: tables of their numbers, the layout of the images, a small picture.

Self-contained HTML below 100 kB. It has the colours of the page around it, light or dark. Nothing is computed for it: a
picture appears where the pixels are kept already. The tables say what printing the value says, line by line.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.headers import in_unit
from dmontage.planner.text import human
from dmontage.sphere import lonlat
from dmontage.view.sketch import MOST, Sketch, grid_sketch, plan_sketch, sky_sketch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dmontage.grid import Grid
    from dmontage.model import Images
    from dmontage.pipeline import Bands, Mosaic, Summary
    from dmontage.planner import BandPlans, MosaicPlan

__all__ = ["html"]

_LINES = 40
"""Lines of a table at most, and characters of a line."""
_CHARACTERS = 600

_STYLE = """<style>
.dm{color:var(--jp-content-font-color1,inherit);font-size:13px;line-height:1.35}
.dm .dm-h{margin:0 0 .4em;font-weight:600}
.dm .dm-h span{font-weight:400;opacity:.75}
.dm .dm-b{display:flex;flex-wrap:wrap;gap:1em 1.5em;align-items:flex-start}
.dm table{border-collapse:collapse;margin:0;font-size:12px;background:transparent;color:inherit;border:0}
.dm tr,.dm tr:nth-child(even),.dm tr:hover{background:transparent}
.dm td,.dm th{padding:.1em .8em .1em 0;text-align:left;vertical-align:top;border:0;color:inherit;background:transparent;
max-width:38em;white-space:normal;overflow-wrap:anywhere}
.dm th{font-weight:600;opacity:.75;white-space:nowrap}
.dm td.dm-n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.dm tr.dm-w td{color:var(--jp-warn-color0,#b26a00)}
.dm figure{margin:0;max-width:264px}
.dm figcaption{font-size:11px;opacity:.75}
.dm svg{display:block;overflow:visible;max-width:100%}
.dm img{display:block;image-rendering:auto;max-width:256px;outline:1px solid rgba(128,128,128,.5)}
.dm .dm-i{fill:currentColor;fill-opacity:.08;stroke:currentColor;stroke-opacity:.55;stroke-width:.8}
.dm .dm-g{fill:none;stroke:var(--jp-brand-color1,#2b7de0);stroke-width:1.6}
.dm .dm-a{stroke:var(--jp-brand-color1,#2b7de0);stroke-width:1.6}
.dm .dm-t{fill:var(--jp-brand-color1,#2b7de0);font-size:11px;text-anchor:middle}
.dm details{margin-top:.4em}
.dm summary{cursor:pointer;opacity:.75}
.dm pre{margin:.2em 0 0;font-size:11px;color:inherit;background:transparent}
</style>"""


def html(value: Any) -> str | None:
    """A value of this package as HTML; None for what is not known here."""
    for kind in type(value).__mro__:
        way = _WAYS.get(kind.__name__)
        if way is not None and kind.__module__.startswith("dmontage."):
            return f'<div class="dm">{_STYLE}{way(value)}</div>'
    return None


def _plan(plan: MosaicPlan) -> str:
    ny, nx = plan.grid.shape
    title = _title("Plan", f"{nx} × {ny} pixels of {plan.n_images} images")
    return title + _beside(_table(str(plan).splitlines()), _figure(plan_sketch(plan)))


def _band_plans(plans: BandPlans) -> str:
    title = _title("Plans", f"of {len(plans)} bands by {plans.group_by}")
    top, _, _ = str(plans).partition("\n\n")
    each = (
        _folded(
            f"{name}: {plan.n_images} images",
            _beside(_table(str(plan).splitlines()), _figure(plan_sketch(plan, MOST // 3))),
        )
        for name, plan in list(plans.items())[:3]
    )
    more = f"<div>and {len(plans) - 3} bands more</div>" if len(plans) > 3 else ""
    return title + _table(top.splitlines()) + "".join(each) + more


def _summary(summary: Summary) -> str:
    return _title("Summary", "of what was done") + _table(str(summary).splitlines())


def _mosaic(mosaic: Mosaic) -> str:
    from dmontage.view.thumbnail import thumbnail

    plan, (ny, nx) = mosaic.plan, mosaic.grid.shape
    title = _title("Mosaic", f"{nx} × {ny} of {plan.n_images} images, {plan.background}, {plan.combine}")
    small = thumbnail(mosaic)
    lines = str(mosaic.summary if mosaic.summary.seconds else plan).splitlines()
    below = _folded("plan", _table(str(plan).splitlines())) if mosaic.summary.seconds else ""
    return title + _beside(_figure(small), _figure(plan_sketch(plan)), _table(lines)) + below


def _bands(bands: Bands) -> str:
    from dmontage.view.thumbnail import thumbnail

    ny, nx = bands.grid.shape
    title = _title("Bands", f"{', '.join(bands)} by {bands.plan.group_by}, {nx} × {ny}")
    shown = [(name, mosaic, thumbnail(mosaic, 96)) for name, mosaic in list(bands.items())[:8]]
    cells = "".join(
        f"<figure><figcaption><b>{_text(name)}</b> {mosaic.plan.n_images} images</figcaption>{small.svg}"
        f"<figcaption>{_text(small.caption)}</figcaption></figure>"
        for name, mosaic, small in shown
    )
    more = f"<div>and {len(bands) - len(shown)} bands more</div>" if len(bands) > len(shown) else ""
    return title + _beside(cells) + more


def _images(images: Images) -> str:
    mpix = sum(ref.grid.window.size for ref in images) / 1e6
    title = _title("Images", f"{len(images)} images, {mpix:.1f} Mpix, {len(images.skipped)} skipped")
    head = "".join(f"<th>{word}</th>" for word in ("image", "pixels", "arcsec", "WCS", "unit", "file"))
    rows = "".join(_image_row(ref) for ref in images[: _LINES // 2])
    more = len(images) - _LINES // 2
    rows += f'<tr><td colspan="6">... and {more} more</td></tr>' if more > 0 else ""
    table = f"<table><tr>{head}</tr>{rows}</table>"
    left_out = _folded(f"{len(images.skipped)} skipped", _rows(("", str(text)) for text in images.skipped))
    return title + _beside(table, _figure(sky_sketch(images))) + (left_out if images.skipped else "")


def _image_row(ref: Any) -> str:
    ny, nx = ref.grid.shape
    shape = " × ".join(str(n) for n in (nx, ny, *reversed(ref.planes)))
    numbers = f'<td class="dm-n">{shape}</td><td class="dm-n">{math.degrees(ref.grid.scale) * 3600:.4g}</td>'
    return (
        f"<tr><td>{_text(ref.name)}</td>{numbers}<td>{_text(f'{ref.grid.kind} ({ref.grid.frame.name})')}</td>"
        f'<td>{_text(ref.bunit)}</td><td class="dm-n">{human(ref.size)}</td></tr>'
    )


def _grid(grid: Grid) -> str:
    ny, nx = grid.shape
    side = math.degrees(grid.scale)
    lines = [
        ("pixels", f"{nx} × {ny}, {nx * ny / 1e6:.4g} Mpix, {human(4 * nx * ny)} of float32"),
        ("scale", f"{side * 3600:.4g} arcsec"),
        ("extent", f"{_angle(nx * side)} × {_angle(ny * side)}"),
        ("middle", _middle(grid)),
        ("WCS", f"{grid.kind} ({grid.frame.name})"),
    ]
    if grid.tables:
        lines.append(("tables", f"{human(len(grid.tables))} beside the cards"))
    cards = grid.header.splitlines()
    header = _folded("header", f"<pre>{escape(chr(10).join(cards[:100]))}</pre>") if cards else ""
    title = _title("Grid", f"{nx} × {ny} pixels of {side * 3600:.4g} arcsec")
    return title + _beside(_rows(lines), _figure(grid_sketch(grid))) + header


def _middle(grid: Grid) -> str:
    """Where its middle lies on the sky, degrees, and hours for equatorial frames."""
    from astropy.coordinates import SkyCoord

    from dmontage.view.grid_wcs import axis_names

    ny, nx = grid.shape
    vector = grid.sky(np.array((nx - 1) / 2), np.array((ny - 1) / 2))
    if not np.isfinite(vector).all():
        return "not on the sky"
    lon, lat = (float(angle) for angle in lonlat(vector))
    said = f"{lon:.6f} {lat:+.6f} deg"
    if axis_names(grid.frame).hours:
        said += f" ({SkyCoord(lon, lat, unit='deg').to_string('hmsdms', precision=1)})"
    return said


def _angle(degrees: float) -> str:
    number, unit = in_unit(degrees)
    return f"{number:.4g} {unit}"


def _table(lines: Sequence[str]) -> str:
    """Lines of a printed text as a table: what stands before column 12 is the word, the rest is said of it."""
    return _rows((line[:12].strip(), line[12:]) for line in lines if line.strip())


def _rows(lines: Iterable[tuple[str, str]]) -> str:
    lines = list(lines)
    cut = [f"<tr{_mark(word)}><th>{_text(word)}</th><td>{_text(said)}</td></tr>" for word, said in lines[:_LINES]]
    more = len(lines) - _LINES
    cut += [f"<tr><th></th><td>... and {more} lines more</td></tr>"] if more > 0 else []
    return f"<table>{''.join(cut)}</table>"


def _mark(word: str) -> str:
    return ' class="dm-w"' if word == "warning" else ""


def _text(said: str) -> str:
    return escape(said if len(said) <= _CHARACTERS else f"{said[:_CHARACTERS]}…")


def _title(word: str, said: str) -> str:
    return f'<div class="dm-h">{word} <span>{_text(said)}</span></div>'


def _figure(layout: Sketch | None) -> str:
    if layout is None:
        return ""
    return f"<figure>{layout.svg}<figcaption>{_text(layout.caption)}</figcaption></figure>"


def _beside(*parts: str) -> str:
    return f'<div class="dm-b">{"".join(part for part in parts if part)}</div>'


def _folded(word: str, inside: str) -> str:
    return f"<details><summary>{_text(word)}</summary>{inside}</details>"


_WAYS: dict[str, Callable[[Any], str]] = {
    "BandPlans": _band_plans,
    "Bands": _bands,
    "Grid": _grid,
    "Images": _images,
    "Mosaic": _mosaic,
    "MosaicPlan": _plan,
    "Summary": _summary,
}
"""By the names of classes: importing them all would take a second that a grid does not need."""
