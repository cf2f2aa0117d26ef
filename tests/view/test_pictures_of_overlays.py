"""Small pictures of overlays against those that were looked at and found good, in ``baseline/``.

A picture that has changed for the better is looked at, and copied there from the folder that the failure names. Texts
stand some pixels elsewhere in other versions of astropy and matplotlib, so each picture tells by which it was drawn,
and is compared with those of the same; the geometry is tested for all versions, beside this file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import astropy
import matplotlib
import numpy as np
import pytest
from astropy.table import Table
from matplotlib import rc_context, rcParamsDefault
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dmontage.grid import Grid
from dmontage.view.catalog import catalog
from dmontage.view.directions import compass, scale_bar
from dmontage.view.figure import figure, render
from dmontage.view.outlines import coverage, outlines
from dmontage.view.overlay import coordinate_grid
from dmontage.view.quality import depth_picture
from dmontage.view.signs import label, marker

BASELINE = Path(__file__).parent / "baseline"
TOLERANCE = 4.0
"""Root mean square of the difference, of 255: fonts are drawn with other edges on other machines, not elsewhere."""


def waves(grid: Grid) -> NDArray[np.float64]:
    """Values that name their places on the sky: they turn with the picture."""
    y, x = np.mgrid[: grid.shape[0], : grid.shape[1]].astype(float)
    vectors = grid.sky(x, y)
    values = vectors[..., 2] + 0.2 * np.sin(6 * np.arctan2(vectors[..., 1], vectors[..., 0]))
    return np.asarray(np.floor(values * 5) / 5)  # in steps: a small file


def field(moved: float = 0.0) -> Figure:
    """A turned field with two grids and all signs; the marker may be moved, in degrees."""
    grid = Grid.around("05h35m -5d23m", scale="6 arcsec", shape=(200, 260), rotation="20 deg")
    y, x = np.mgrid[:200, :260]
    drawn, axes = figure(np.floor(np.hypot(x - 130, y - 100) / 25) * 25, grid, norm=Normalize(0, 250))
    coordinate_grid(axes)
    coordinate_grid(axes, "galactic", color="orange")
    stars = Table({"ra": [83.70, 83.80, 83.85, 83.75], "dec": [-5.30, -5.40, -5.45, -5.50], "mag": [8.0, 10, 12, 14]})
    catalog(axes, stars, size_by="mag", color_by="mag", label_by="mag")
    marker(axes, 83.75 + moved, -5.38, symbol="plus", color="lime", text="here")
    label(axes, 83.72, -5.46, "there")
    compass(axes)
    scale_bar(axes)
    return drawn


def pole() -> Figure:
    """About a pole, bare, with labels inside."""
    grid = Grid.around("0 89.5", scale="30 arcsec", shape=(240, 240))
    drawn, axes = figure(waves(grid), grid, bare=True, norm=Normalize(0.7, 1.3))
    coordinate_grid(axes)
    outlines(axes, [Grid.around("100 89.8", size="1 deg", scale="30 arcsec")], color="cyan", fill=0.3)
    compass(axes, "top right")
    return drawn


def whole_sky(projection: str) -> Figure:
    """All of the sky with equatorial lines, and images across seams and poles."""
    grid = Grid.around("0 0", scale="1.5 deg", shape=(122, 242), projection=projection, frame="galactic")
    drawn, axes = figure(waves(grid), grid, norm=Normalize(-1.5, 1.5))
    coordinate_grid(axes)
    coordinate_grid(axes, "icrs", color="orange")
    places = ("266 -29", "86 29", "30 75", "180 0")
    images = [Grid.around(place, size=("40 deg", "24 deg"), scale="0.5 deg") for place in places]
    assert outlines(axes, images, color=["red", "lime", "yellow", "magenta"], fill=0.4) == 4
    return drawn


def covered() -> Figure:
    """Images in two rows, one of them turned."""
    images = [Grid.around(f"{lon} {lat}", size="1.1 deg", scale="10 arcsec") for lon in (9, 10, 11) for lat in (10, 11)]
    images.append(Grid.around("10 10.5", size="0.8 deg", scale="10 arcsec", rotation="40 deg"))
    return coverage(images, Grid.fit(images, scale="1 arcmin"), width=240)


def depths() -> Figure:
    """Three steps of depth."""
    depth = np.zeros((120, 160))
    for k in range(3):
        depth[10 + 20 * k : 100, 10 + 30 * k : 130] += 1
    return depth_picture(depth, Grid.around("0 0", scale="1 arcmin", shape=(120, 160)), width=160)


SCENES: dict[str, Callable[[], Figure]] = {
    "field": field,
    "pole": pole,
    "covered": covered,
    "depths": depths,
    "sky-AIT": lambda: whole_sky("AIT"),
    "sky-CAR": lambda: whole_sky("CAR"),
    "sky-HPX": lambda: whole_sky("HPX"),
}


def versions() -> str:
    """Of what draws, without the last number."""
    return ", ".join(
        f"{module.__name__} {'.'.join(module.__version__.split('.')[:2])}" for module in (astropy, matplotlib)
    )


def written(scene: Callable[[], Figure], path: Path) -> Path:
    told = PngInfo()
    told.add_text("Software", versions())
    with rc_context(rcParamsDefault):
        drawn = render(scene())
    Image.fromarray(drawn[..., :3]).save(path, optimize=True, pnginfo=told)
    return path


def differ(baseline: Path, here: Path) -> bool:
    """Whether pictures differ; skips the test where other versions drew the baseline."""
    assert baseline.exists(), f"there is no {baseline}: look at {here}, and copy it there"
    with Image.open(baseline) as image:
        drawn_by = image.info["Software"]
    if drawn_by != versions():
        pytest.skip(f"drawn by {drawn_by}; here is {versions()}")
    return compare_images(str(baseline), str(here), TOLERANCE) is not None


@pytest.mark.parametrize("scene", SCENES)
def test_a_picture_is_as_it_was(scene: str, tmp_path: Path) -> None:
    here = written(SCENES[scene], tmp_path / f"{scene}.png")
    assert not differ(BASELINE / here.name, here)


def test_the_comparison_sees_a_sign_out_of_its_place(tmp_path: Path) -> None:
    """A marker moved by 12 pixels of 260 × 200."""
    here = written(lambda: field(0.02), tmp_path / "moved.png")
    assert differ(BASELINE / "field.png", here)
