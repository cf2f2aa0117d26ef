"""mBackground, mBgExec, mFlatten: planes taken out of images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import other_cards, read, write_images
from dmontage.montage.covered import Covered, area_name, reference_pixel
from dmontage.montage.each import absolute, check_apart, check_folder, each, tell
from dmontage.montage.fitplane import fitted
from dmontage.montage.inputs import plane_in
from dmontage.montage.tables import read_images, read_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.model import ImageRef

__all__ = ["mBackground", "mBgExec", "mFlatten"]


def mBackground(
    input_file: str, output_file: str, A: float, B: float, C: float, noAreas: bool = False, debug: int = 0
) -> dict[str, Any]:
    """Subtract a plane from an image, and copy its area file.

    Parameters
    ----------
    input_file, output_file
        The image, and that which is written: float64, blank where nothing is covered.
    A, B, C
        The plane ``A x + B y + C``, x and y in pixels counted from zero, less CRPIX1 and CRPIX2.
    noAreas
        Neither read nor write area files.
    debug
        Not used.

    Returns
    -------
    dict
        "time" in seconds.
    """
    start = time.perf_counter()
    if not np.isfinite([A, B, C]).all():
        raise InputError(f"the plane {A} x + {B} y + {C} has numbers that are not finite")
    covered = Covered.of(input_file, noAreas)
    values = np.asarray(read(covered.image), np.float64)
    files = []
    if covered.area is not None:
        areas = covered.areas()
        values = np.where(areas > 0, values, np.nan)
        files.append(_like(covered.area, area_name(output_file), areas))
    files.append(_like(covered.image, output_file, _less(values, covered, A, B, C)))
    write_images(files)
    return {"time": time.perf_counter() - start}


def _less(values: NDArray[np.float64], covered: Covered, a: float, b: float, c: float) -> NDArray[np.float64]:
    (ny, nx), (crpix1, crpix2) = values.shape, reference_pixel(covered.image.grid)
    return np.asarray(values - (a * (np.arange(nx) - crpix1) + (b * (np.arange(ny) - crpix2) + c)[:, None]))


def _like(image: ImageRef, path: str, values: NDArray[np.float64]) -> tuple[str, NDArray[np.float64], Grid, Any]:
    """A file to write with the cards of an image."""
    return path, values, image.grid, other_cards(image)


def mBgExec(
    path: str, tblfile: str, fitfile: str, corrdir: str, noAreas: bool = False, debug: int = 0
) -> dict[str, Any]:
    """Subtract its correction from each image of a table; one without a correction is copied.

    Parameters
    ----------
    path
        Folder of the images.
    tblfile
        Table of the images.
    fitfile
        Table of the corrections, by mBgModel.
    corrdir
        Folder for the corrected images.
    noAreas
        Neither read nor write area files.
    debug
        Not used.

    Returns
    -------
    dict
        "count" of the images, "nocorrection" of those that have none, "failed" of those not written (the log names
        them).

    Raises
    ------
    InputError
        Where a table or the folder cannot be used, or two images would have one name.
    """
    images = read_images(tblfile, path)
    corrections = {
        row["id"]: (row["a"], row["b"], row["c"])
        for row in read_rows(fitfile, {"id": int} | dict.fromkeys("abc", float), "Invalid corrections file: {}")
    }
    check_folder(corrdir)
    none = (0.0, 0.0, 0.0)
    jobs = [
        (absolute(image.path), absolute(corrdir, Path(image.name).name), *corrections.get(image.cntr, none), noAreas)
        for image in images
    ]
    check_apart(jobs)
    results = each(mBackground, jobs)
    return {
        "count": len(images),
        "nocorrection": sum(image.cntr not in corrections for image in images),
        "failed": tell("mBgExec", zip((image.name for image in images), results, strict=True)),
    }


def mFlatten(
    infile: str, outfile: str, levelOnly: bool = False, border: int = 0, debug: bool = False
) -> dict[str, Any]:
    """Fit a plane to an image and subtract it.

    Parameters
    ----------
    infile, outfile
        The image, and that which is written; its area file, where there is one, is copied.
    levelOnly
        Only a level.
    border
        Pixels on each side that do not count.
    debug
        Not used.

    Returns
    -------
    dict
        "a", "b", "c" of the plane, as mFitplane has them.
    """
    image = plane_in(infile)
    fit = fitted(np.asarray(read(image), np.float64), image.grid, infile, level_only=levelOnly, border=border)
    a, b, c = (fit[name] for name in ("a", "b", "c"))
    mBackground(infile, outfile, a, b, c, noAreas=not Path(area_name(infile)).is_file())
    return {"a": a, "b": b, "c": c}
