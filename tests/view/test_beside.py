"""Texts beside symbols: on a free side, none over another."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from astropy.table import Table
from astropy.visualization.wcsaxes import WCSAxes

from dmontage.grid import Grid
from dmontage.view.catalog import catalog
from dmontage.view.figure import empty_figure, render
from dmontage.view.signs import label, marker

GRID = Grid.around("0 0", scale="1 arcsec", shape=(200, 300))


def boxes(axes: WCSAxes) -> dict[str, Any]:
    """Where the texts stand in the finished figure."""
    render(axes.figure)
    renderer = axes.figure.canvas.get_renderer()
    return {text.get_text(): text.get_window_extent(renderer) for text in axes.texts}


def at(x: float, y: float) -> tuple[float, float]:
    """Degrees of a pixel."""
    lon, lat = GRID.wcs().all_pix2world([[x, y]], 0)[0]
    return float(lon), float(lat)


def test_marks_that_are_neighbours_keep_their_texts_apart() -> None:
    axes = empty_figure(GRID, 300)[1]
    label(axes, *at(75, 150), "a label")
    for k, place in enumerate([(45, 150), (150, 100), (158, 103), (154, 95), (280, 50)]):
        marker(axes, *at(*place), text=f"mark {k}", size=6.0)
    found = boxes(axes)
    assert len(found) == 6
    assert not any(a.overlaps(b) for a, b in combinations(found.values(), 2))
    assert found["mark 0"].x1 < axes.transData.transform((45, 150))[0]  # the label is on the right
    assert found["mark 4"].x1 < axes.bbox.x1  # turned inwards at the edge


def test_a_mark_s_text_is_kept_and_a_catalogue_s_label_dropped() -> None:
    axes = empty_figure(GRID, 300)[1]
    for k in range(8):
        marker(axes, *at(150, 100), text=f"mark {k}")
    assert len(boxes(axes)) == 8
    rng = np.random.default_rng(1)
    places = np.array([at(*place) for place in rng.uniform((100, 70), (200, 130), (60, 2))])
    names = [f"star {k}" for k in range(60)]
    catalog(axes, Table({"ra": places[:, 0], "dec": places[:, 1], "name": names}), label_by="name")
    found = boxes(axes)
    stars = [name for name in found if name.startswith("star")]
    assert 5 < len(stars) < 40
    assert not any(found[a].overlaps(found[b]) for a, b in combinations(stars, 2))
    assert not any(found[a].overlaps(found[f"mark {k}"]) for a in stars for k in range(8))
