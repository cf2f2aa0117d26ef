"""What must hold of plane fits and of the corrections of backgrounds (C17: `bench_background.py`)."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from checks import Check, check_of
from headers import header
from projectors import Floats, ToolFailed
from toolkit import TOOLKITS, Toolkit

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "kernels"), str(TESTS / "montage")]

from surveys import SHAPE, image_header, write_image  # noqa: E402
from test_conformance import flatness  # noqa: E402
from test_corrections import fit_row, mesh  # noqa: E402
from test_plane_fit import TRUTH, draw, offsets  # noqa: E402

import dmontage as dm  # noqa: E402
from dmontage.kernels.plane_fit import fit_plane  # noqa: E402
from dmontage.montage.fitplane import FIT_COLUMNS  # noqa: E402
from dmontage.montage.tables import read_rows, write_rows  # noqa: E402

# -- plane fits: C16 ---------------------------------------------------------------------------------------------------


def fitted(call: Toolkit) -> tuple[Floats, Floats]:
    """Errors of level and slopes of two planes, (2, 3), in standard errors, and the rms that is told of each, (2,).

    Sources are above the plane, or on both of its sides. The standard errors are those of the pixels without sources.
    """
    errors, rms = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for both in (False, True):
            values, x0, y0 = draw(np.random.default_rng(3), (400, 300), both=both)
            head = header(0, NAXIS1=300, NAXIS2=400, CRPIX1=x0 + 1, CRPIX2=y0 + 1)
            fits.PrimaryHDU(values, head).writeto(folder / "d.fits", overwrite=True)
            told = call(folder, "mFitplane", "d.fits")
            # Their x and y are counted from zero, less CRPIX.
            found = np.array([told["c"] - told["a"] - told["b"], told["a"], told["b"]])
            spread = np.array([1, (300**2 - 1) / 12, (400**2 - 1) / 12])
            errors.append((found - TRUTH) * np.sqrt(0.95 * values.size * spread))
            rms.append(told["rms"])
    return np.array(errors), np.array(rms)


def plane_found(call: Toolkit) -> float:
    """Largest error of levels and slopes, in standard errors."""
    return float(np.abs(fitted(call)[0]).max())


def noise_told(call: Toolkit) -> float:
    """Largest difference of the rms that is told from the noise, which is 1."""
    return float(np.abs(fitted(call)[1] - 1).max())


def errors_stated(draws: int = 500) -> float:
    """χ² of level and slopes with the errors that are stated, over 3, less 1."""
    rng, chi2 = np.random.default_rng(4), np.empty(draws)
    for k in range(draws):
        values, x0, y0 = draw(rng, (60, 80))
        fit = fit_plane(values, 0, 0, x0, y0)
        error = offsets(fit)
        chi2[k] = error @ fit.information @ error
    return abs(float(chi2.mean()) / 3 - 1)


# -- groups, and what disagrees: C18, C19 ------------------------------------------------------------------------------

LEVELS = (4.0, 0.0, -10.0, 0.0, 42.0)
"""Of five images: two that touch, two others that do, and one alone."""
IMAGES = {"cntr": int, "fname": str, "naxis1": int, "naxis2": int, "crpix1": float, "crpix2": float}
FITS = {"plus": int, "minus": int} | FIT_COLUMNS


def write_fits(folder: Path, rows: list[dict[str, float]]) -> None:
    """``f.tbl``, with the places of the pixels, which Montage asks for, from the boxes about them."""
    for row in rows:
        row |= {"xcenter": row["boxx"], "ycenter": row["boxy"]}
        for axis, side in (("x", "boxwidth"), ("y", "boxheight")):
            row |= {f"{axis}min": row[f"box{axis}"] - row[side] / 2, f"{axis}max": row[f"box{axis}"] + row[side] / 2}
    write_rows(str(folder / "f.tbl"), FITS, [[row[key] for key in FITS] for row in rows])


def model(call: Toolkit, folder: Path, *flags: str, **options: Any) -> list[dict[str, float]]:
    """mBgModel's corrections by the tables ``i.tbl`` and ``f.tbl``, in order."""
    call(folder, "mBgModel", "i.tbl", "f.tbl", "c.tbl", flags=("-a", *flags), useall=True, **options)
    rows = read_rows(str(folder / "c.tbl"), ("id", "a", "b", "c"))
    return sorted(rows, key=lambda row: row["id"])


def levels_by_tables(call: Toolkit) -> Floats:
    """Corrections of the five images' levels; of an image that is not in the answer, zero."""
    with tempfile.TemporaryDirectory() as name:
        folder, found = Path(name), np.zeros(5)
        left = [1e3 * (k // 2) + 50 * (k % 2) for k in range(5)]
        write_rows(str(folder / "i.tbl"), IMAGES, [[k, f"{k}.fits", 60, 60, -left[k], 0.0] for k in range(5)])
        lines = [fit_row(k, k + 1, np.array([0, 0, LEVELS[k] - LEVELS[k + 1]]), np.array([left[k] + 55, 30]))
                 for k in (0, 2)]  # fmt: skip
        write_fits(folder, [dict(zip(FITS, line, strict=True)) for line in lines])
        for row in model(call, folder):
            k = int(row["id"])
            found[k] = row["c"] + row["a"] * (left[k] + 30) + row["b"] * 30
    return found


def levels_by_reproject() -> Floats:
    """Corrections of reproject_and_coadd, read off its mosaic."""
    from reproject import reproject_interp
    from reproject.mosaicking import reproject_and_coadd

    left = np.array([0, 50, 200, 250, 400])
    images = [
        (np.full((60, 60), level), WCS(header(60, CRPIX1=30.5 - x))) for level, x in zip(LEVELS, left, strict=True)
    ]
    try:
        made, _ = reproject_and_coadd(
            images, WCS(header(60, NAXIS1=460)), shape_out=(60, 460), reproject_function=reproject_interp,
            match_background=True,
        )  # fmt: skip
    except Exception as error:
        raise ToolFailed(f"{type(error).__name__}: {error}") from error
    alone = left + np.array([20, 40, 20, 40, 30])  # columns that are of one image only
    found: Floats = np.array(LEVELS) - made[30, alone]
    return found


def groups(levels: Callable[[], Floats]) -> float:
    """Largest error of five images' corrections: differences within groups, and zero for the image alone."""
    found = levels()
    within = found[[0, 2]] - found[[1, 3]] - np.array([4.0, -10.0])
    return float(np.max(np.abs([*within, found[4]])))


def untold() -> float:
    """Of an image without a pair and of two groups: how many the mosaic's summary does not tell."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for k, (dx, dy) in enumerate([(0, 0), (60, 0), (0, 400), (60, 400), (400, 0)]):
            write_image(folder / f"{k}.fits", np.full(SHAPE, LEVELS[k], np.float32), image_header(dx, dy))
        made = dm.mosaic(folder)
        made.compute()
    told = str(made.summary)
    return float(("4.fits" not in told) + ("2 groups" not in told))


def slopes(call: Toolkit) -> float:
    """Largest slope of corrections by levels alone, of sixteen images that have slopes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mesh(folder, 4, 0.0)
        write_fits(folder, read_rows(str(folder / "f.tbl"), tuple(FITS)))
        found = model(call, folder, "-l", noslope=True)
    return max(abs(row[key]) for row in found for key in "ab")


def bend(call: Toolkit, image: int | None = None) -> float:
    """Largest error of sixteen images' levels, one plane taken out, where a pair or an image is off by up to 1e4.

    The levels of a wrong image, each of whose pairs is off in its own way, are not looked at.
    """
    side, rng = 4, np.random.default_rng(21)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        planes = mesh(folder, side, 0.0)
        rows = read_rows(str(folder / "f.tbl"), tuple(FITS))
        for k, row in enumerate(rows):
            row["rms"] = 1.0
            if image is None:
                row["c"] += 1e4 * (k == 7)
            elif image + 100 in (row["plus"], row["minus"]):  # its numbers begin there
                row["c"] += 1e4 * rng.uniform(-1, 1)
        write_fits(folder, rows)
        found = model(call, folder)
    if len(found) != side**2:
        raise ToolFailed(f"mBgModel: {len(found)} corrections of {side**2} images")
    y, x = np.divmod(np.arange(side**2), side)
    error = np.array([(row["a"], row["b"], row["c"]) for row in found]) - planes
    levels = error[:, 2] + (error[:, :2] * (50 * np.column_stack([x, y]) + 30)).sum(axis=1)
    others = np.arange(side**2) != image
    design = np.column_stack([np.ones(side**2), x, y])[others]
    return float(np.abs(levels[others] - design @ np.linalg.lstsq(design, levels[others], rcond=None)[0]).max())


# -- covariance: C20 ---------------------------------------------------------------------------------------------------


def covariance() -> float:
    """Flatness of the backgrounds of two small skies over what their covariance says, or the reverse."""
    with tempfile.TemporaryDirectory() as name:
        results = [flatness(Path(name, str(seed)), seed, 0.16, (256, 128)) for seed in (1, 2)]
    measured, predicted = np.sqrt(np.mean(np.square(results), axis=0))
    return float(max(measured / predicted, predicted / measured))


GROUPS = {name: (tool, partial(levels_by_tables, call)) for name, (tool, call) in TOOLKITS.items()}
BACKGROUND: list[Check] = [
    check_of("C16 plane under 5 % of sources: largest error, in standard errors", 3, TOOLKITS, plane_found),
    check_of("C16 rms that is told of noise of 1, less 1", 0.015, TOOLKITS, noise_told),
    Check("C16 χ² of the stated errors of 500 draws over 3, less 1", 3 * (2 / 1500) ** 0.5, {
        "dmontage": ("dmontage", errors_stated),
    }),
    check_of("C18 two groups and an image alone: largest error of a correction", 1e-9,
             GROUPS | {"reproject": ("reproject", levels_by_reproject)}, groups),
    Check("C18 groups and images alone that are not told of", 0, {"dmontage": ("dmontage", untold)}),
    check_of("C19 levels alone: largest slope", 0, TOOLKITS, slopes),
    check_of("C19 a pair off by 1e4: largest error of a level", 10, TOOLKITS, bend),
    check_of("C19 an image off by up to 1e4: largest error of another's level", 10, TOOLKITS, bend, 5),
    Check("C20 rms of the background over what is stated, or the reverse", 1.5, {"dmontage": ("dmontage", covariance)}),
]  # fmt: skip
