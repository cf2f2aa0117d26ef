"""Draw: a scene into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import check_writable, layer, one_image
from dmontage.grid.lattice import pixel_offsets
from dmontage.places import made_at
from dmontage.sphere import lengths
from dmontage.view.checked import check_words, checked
from dmontage.view.norm import usual
from dmontage.view.rows import Rows
from dmontage.view.save import check_saved, save
from dmontage.view.shrink import step_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.places import Place
    from dmontage.view.scene import Overlay, Scene

__all__ = ["Drawn", "draw", "images_of"]


class Drawn(NamedTuple):
    """What was written."""

    shape: tuple[int, int]
    """(ny, nx) of the picture."""
    step: int
    """By how much the images were shrunk."""
    notes: tuple[str, ...]
    """What was to be drawn and is not in the picture."""


def draw(scene: Scene, path: Place, images: tuple[Rows, ...] | None = None) -> Drawn:
    """Draw a scene and write it, PNG or JPEG by the name; beside its name first, and renamed when whole.

    Parameters
    ----------
    images
        The scene's images, where the caller has them already (`images_of`).

    Raises
    ------
    InputError
        Of an image, a table, a word or a place to write to that cannot be used, before a pixel is read.
    """
    check_words(scene.overlays)
    images = images_of(scene) if images is None else images
    grid = images[0].grid
    step = step_for(grid.shape, scene.max_side)
    check_saved(str(path), (-(-grid.shape[0] // step), -(-grid.shape[1] // step)))
    check_writable(path, suffixes=None)
    overlays = checked(scene.overlays, grid)
    picture = _coloured(scene, images)
    notes: tuple[str, ...] = ()
    bare = scene.bare or all(overlay.kind != "grid" for overlay in scene.overlays)
    if scene.overlays:
        picture, notes = _drawn_over(picture, grid, overlays, bare=bare)
    with made_at(path) as here:
        save(picture, here, grid if bare else None, step=step if bare else None)
    return Drawn((picture.shape[0], picture.shape[1]), step, notes)


def images_of(scene: Scene) -> tuple[Rows, ...]:
    """The images of a scene; InputError where they do not lie on one grid."""
    images = tuple(Rows(one_image(str(band.path), band.hdu, companions=True)) for band in scene.bands)
    for band, image in zip(scene.bands, images, strict=True):
        if image.grid.shape != images[0].grid.shape or not _same_sky(image.grid, images[0].grid):
            raise InputError(
                f"{band.path} lies on another grid than {scene.bands[0].path}: make mosaics of all three on one "
                "(dmontage mosaic --header)"
            )
    return images


def _same_sky(a: Grid, b: Grid) -> bool:
    """Whether two grids put the same sky into the same pixels, to a tenth of one; their cards may say it otherwise."""
    if a == b:
        return True
    off = lengths(pixel_offsets(b, a))
    return bool(np.isfinite(off).any()) and float(np.nanmax(off)) < 0.1


def _coloured(scene: Scene, images: tuple[Rows, ...]) -> NDArray[np.uint8]:
    """The picture without overlays (ny, nx, 4), the first row at the top."""
    from dmontage.view.colour import colour
    from dmontage.view.picture import picture

    options: dict[str, Any] = {} if scene.softening is None else {"a": scene.softening}
    options |= {"max_side": scene.max_side, "brightness": scene.brightness, "contrast": scene.contrast}
    if len(images) == 1:
        band = scene.bands[0]
        stretch, low, high = usual(layer(images[0].image), band.stretch, band.low, band.high)
        return picture(images[0], cmap=scene.cmap, stretch=stretch, low=low, high=high, **options)
    for name in ("stretch", "low", "high"):
        each = [getattr(band, name) for band in scene.bands]
        if any(value is not None for value in each):
            options[name] = each
    options["alike"] = len({image.image.bunit.lower() for image in images}) == 1
    red, green, blue = images
    return colour(red, green, blue, method=scene.method, power=scene.power, saturation=scene.saturation, **options)


def _drawn_over(
    picture: NDArray[np.uint8], grid: Grid, overlays: tuple[Overlay, ...], *, bare: bool
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The picture with its overlays, and which of these are not in it."""
    from dmontage.view.figure import figure, render

    drawn, axes = figure(picture, grid, bare=bare)
    notes = []
    for overlay in overlays:
        made = _functions()[overlay.kind](axes, **overlay.options)
        seen = len(made.get_offsets()) if overlay.kind == "catalog" else made
        if overlay.kind in _MISSING and not seen:
            notes.append(_MISSING[overlay.kind].format(**{"lon": 0.0, "lat": 0.0, "text": ""} | dict(overlay.options)))
    return render(drawn), tuple(notes)


_MISSING = {
    "marker": "the mark {text} at {lon:.5f} {lat:.5f} lies outside the picture",
    "label": "the label {text} at {lon:.5f} {lat:.5f} lies outside the picture",
    "catalog": "no row of the catalogue lies in the picture",
    "images": "none of the images to outline lies in the picture",
}


def _functions() -> Mapping[str, Callable[..., Any]]:
    from dmontage.view.catalog import catalog
    from dmontage.view.directions import compass, scale_bar
    from dmontage.view.outlines import outlines
    from dmontage.view.overlay import coordinate_grid
    from dmontage.view.signs import label, marker

    return {"grid": coordinate_grid, "catalog": catalog, "images": outlines, "marker": marker, "label": label,
            "compass": compass, "scale bar": scale_bar}  # fmt: skip
