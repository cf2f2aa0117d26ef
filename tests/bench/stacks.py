"""One call for every tool that coadds images on one grid: ``(images, areas, word) -> mosaic``, (ny, nx) float64.

Areas are parts of a pixel, or None where there are no area files; words are "mean", "median" and "count". Programs run
in processes of their own, and are ended after some time; a tool that fails raises `ToolFailed`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from headers import header
from machine import swarp_program
from projectors import Floats, ToolFailed, run, shape_of, solid_angles

import dmontage as dm
from dmontage.grid import Grid

Stack = Callable[[Sequence[Floats], Sequence[float] | None, str], Floats]

SIDE = 64
GRID = header(SIDE)


def _write(folder: Path, images: Sequence[Floats], areas: Sequence[float] | None) -> None:
    """Images and areas in ``raw``, and the grid's template."""
    raw = folder / "raw"
    raw.mkdir()
    for k, image in enumerate(images):
        fits.PrimaryHDU(image.astype(np.float32), GRID).writeto(raw / f"i{k:04d}.fits")
        if areas is not None:
            area = areas[k] * np.isfinite(image) * solid_angles(GRID)
            fits.PrimaryHDU(area, GRID).writeto(raw / f"i{k:04d}_area.fits")
    (folder / "grid.hdr").write_text("\n".join([*(card.image.rstrip() for card in GRID.cards), "END"]) + "\n")


def by_dmontage(images: Sequence[Floats], areas: Sequence[float] | None, word: str) -> Floats:
    """`dmontage.coadd`."""
    with tempfile.TemporaryDirectory() as name:
        _write(Path(name), images, areas)
        made = dm.coadd(Path(name, "raw"), Grid.from_header(GRID), combine=word)
        return np.asarray(made.compute().data, dtype=float)


def by_montage(images: Sequence[Floats], areas: Sequence[float] | None, word: str) -> Floats:
    """mImgtbl and mAdd."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, images, areas)
        run(["mImgtbl", "raw", "images.tbl"], folder)
        if areas is not None:
            lines = (folder / "images.tbl").read_text().splitlines(keepends=True)
            (folder / "images.tbl").write_text("".join(line for line in lines if "_area" not in line))
        plain = ["-n"] if areas is None else []
        run(["mAdd", "-e", *plain, "-a", word, "-p", "raw", "images.tbl", "grid.hdr", "out.fits"], folder)
        return np.asarray(fits.getdata(folder / "out.fits"), dtype=float)


def by_montagepy(images: Sequence[Floats], areas: Sequence[float] | None, word: str) -> Floats:
    """The same functions of MontagePy, in a process of its own."""
    options = f"shrink=False, haveAreas={areas is not None}, coadd={('mean', 'median', 'count').index(word)}"
    code = (
        "from MontagePy.main import mImgtbl, mAdd; import sys\n"
        "mImgtbl('raw', 'images.tbl')\n"
        "lines = [line for line in open('images.tbl') if '_area' not in line]\n"
        "open('images.tbl', 'w').writelines(lines)\n"
        f"done = mAdd('raw', 'images.tbl', 'grid.hdr', 'out.fits', {options})\n"
        "sys.exit(str(done) if done['status'] != '0' else 0)"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, images, areas)
        run([sys.executable, "-c", code], folder)
        return np.asarray(fits.getdata(folder / "out.fits"), dtype=float)


def by_reproject(images: Sequence[Floats], areas: Sequence[float] | None, word: str) -> Floats:
    """reproject_and_coadd, whose projection onto the same grid changes nothing."""
    from reproject import reproject_interp
    from reproject.mosaicking import reproject_and_coadd

    try:
        made, _ = reproject_and_coadd(
            [(image, WCS(GRID)) for image in images], WCS(GRID), shape_out=shape_of(GRID),
            reproject_function=reproject_interp, combine_function=word,
            input_weights=None if areas is None else [np.full(shape_of(GRID), area) for area in areas],
        )  # fmt: skip
    except Exception as error:
        raise ToolFailed(f"{type(error).__name__}: {error}") from error
    return np.asarray(made, dtype=float)


def by_swarp(images: Sequence[Floats], areas: Sequence[float] | None, word: str) -> Floats:
    """SWarp without resampling; areas are weights."""
    program = swarp_program()
    assert program is not None and areas is None
    options = {
        "COMBINE_TYPE": {"mean": "AVERAGE", "median": "MEDIAN"}[word], "SUBTRACT_BACK": "N", "RESAMPLE": "N",
        "IMAGEOUT_NAME": "out.fits", "WEIGHTOUT_NAME": "weight.fits", "VERBOSE_TYPE": "QUIET", "WRITE_XML": "N",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, images, areas)
        files = sorted(str(path) for path in (folder / "raw").glob("*.fits"))
        run([program, *files, *(word for key, value in options.items() for word in (f"-{key}", value))], folder)
        return np.asarray(fits.getdata(folder / "out.fits"), dtype=float)


STACKS: dict[str, tuple[str, Stack]] = {
    "dmontage": ("dmontage", by_dmontage),
    "Montage": ("Montage", by_montage),
    "MontagePy": ("MontagePy", by_montagepy),
    "reproject": ("reproject", by_reproject),
    "SWarp": ("SWarp", by_swarp),
}
"""By column: the tool that must be installed, and its call."""
