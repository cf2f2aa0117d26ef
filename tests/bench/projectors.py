"""One call for every tool that projects an image: ``(values, header in, header out) -> (mean, area)``.

Mean is surface brightness, NaN where nothing falls, area in steradian, both (ny, nx) float64 on the grid of the header
out. Programs run in processes of their own, and are ended after `LIMIT` seconds; a tool that fails raises `ToolFailed`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from machine import swarp_program
from numpy.typing import NDArray

import dmontage as dm
from dmontage.grid import Grid
from dmontage.mapping import fit_mapping

Floats = NDArray[np.float64]
Projector = Callable[[Floats, fits.Header, fits.Header], tuple[Floats, Floats]]

LIMIT = 60.0


class ToolFailed(Exception):
    """A tool gave an error, or no answer in time."""


def shape_of(header: fits.Header) -> tuple[int, int]:
    """(ny, nx)."""
    return int(header["NAXIS2"]), int(header["NAXIS1"])


def solid_angles(header: fits.Header) -> Floats:
    """Of each pixel, steradian: for TAN by quadrature of its analytic Jacobian, else by this package's polygons."""
    grid = Grid.from_header(header)
    if not header["CTYPE1"].endswith("TAN"):
        found: Floats = grid.solid_angle(grid.window)
        return found
    wcs = WCS(header)
    cell = np.radians(wcs.pixel_scale_matrix)
    nodes, weights = np.polynomial.legendre.leggauss(3)
    total = np.zeros(shape_of(header))
    y, x = np.indices(total.shape) - (np.array(wcs.wcs.crpix)[::-1] - 1)[:, None, None]
    for dy, wy in zip(nodes / 2, weights / 2, strict=True):
        for dx, wx in zip(nodes / 2, weights / 2, strict=True):
            u, v = (row[0] * (x + dx) + row[1] * (y + dy) for row in cell)
            total += wy * wx * (1 + u**2 + v**2) ** -1.5
    return total * abs(float(np.linalg.det(cell)))


def by_dmontage(method: str = "auto", **options: Any) -> Projector:
    """`dmontage.project`."""

    def project(values: Floats, header_in: fits.Header, header_out: fits.Header) -> tuple[Floats, Floats]:
        mean, area = dm.project((values, header_in), header_out, method=method, **options)
        grid = Grid.from_header(header_out)
        # Edges of coarse pixels are cut into parts: the same for a pixel's overlaps as for its own solid angle.
        parts = fit_mapping(Grid.from_header(header_in), grid).sub_out
        return mean.compute(), area.compute() * grid.solid_angle(grid.window, parts)

    return project


def by_montage(program: str, *flags: str) -> Projector:
    """mProject or mProjectPP, in double precision, on the whole region."""

    def project(values: Floats, header_in: fits.Header, header_out: fits.Header) -> tuple[Floats, Floats]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            put(folder, values, header_in, header_out)
            run([program, "-f", *flags, "in.fits", "out.fits", "grid.hdr"], folder)
            return take(folder)

    return project


def by_montagepy(function: str, **options: Any) -> Projector:
    """The same of MontagePy, in a process of its own: it may end it."""
    code = (
        f"from MontagePy.main import {function}; import sys\n"
        f"done = {function}('in.fits', 'out.fits', 'grid.hdr', fullRegion=True, **{options!r})\n"
        "sys.exit(str(done) if done['status'] != '0' else 0)"
    )

    def project(values: Floats, header_in: fits.Header, header_out: fits.Header) -> tuple[Floats, Floats]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            put(folder, values, header_in, header_out)
            run([sys.executable, "-c", code], folder)
            return take(folder)

    return project


def by_reproject(kind: str) -> Projector:
    """reproject_exact and its relations; area is the footprint's part of each pixel."""

    def project(values: Floats, header_in: fits.Header, header_out: fits.Header) -> tuple[Floats, Floats]:
        import reproject

        function = getattr(reproject, f"reproject_{kind}")
        try:
            mean, part = function((values, WCS(header_in)), WCS(header_out), shape_out=shape_of(header_out))
        except Exception as error:
            raise ToolFailed(f"{type(error).__name__}: {error}") from error
        return np.where(part > 0, mean, np.nan), part * solid_angles(header_out)

    return project


def by_swarp(values: Floats, header_in: fits.Header, header_out: fits.Header) -> tuple[Floats, Floats]:
    """SWarp, Lanczos-3, values as surface brightness; where its weight is not 0 a pixel counts as covered."""
    program = swarp_program()
    assert program is not None
    options = {
        "COMBINE_TYPE": "AVERAGE", "SUBTRACT_BACK": "N", "FSCALASTRO_TYPE": "NONE", "RESAMPLE_DIR": ".",
        "IMAGEOUT_NAME": "out.fits", "WEIGHTOUT_NAME": "weight.fits", "VERBOSE_TYPE": "QUIET", "WRITE_XML": "N",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put(folder, values, header_in, header_out)
        shutil.copy(folder / "grid.hdr", folder / "out.head")
        run([program, "in.fits", *(word for key, value in options.items() for word in (f"-{key}", value))], folder)
        mean, weight = (fits.getdata(folder / file).astype(float) for file in ("out.fits", "weight.fits"))
    covered = weight > 0
    return np.where(covered, mean, np.nan), covered * solid_angles(header_out)


def by_drizzle() -> Projector:
    """STScI drizzle, square drops; area is its weight map (pixels of the input) times their mean."""

    def project(values: Floats, header_in: fits.Header, header_out: fits.Header) -> tuple[Floats, Floats]:
        from drizzle.resample import Drizzle
        from drizzle.utils import calc_pixmap

        out = Drizzle(kernel="square", out_shape=shape_of(header_out), disable_ctx=True, fillval="nan")
        pixmap = calc_pixmap(WCS(header_in), WCS(header_out))
        finite = np.isfinite(values)  # its way of leaving out blanks: weight 0
        out.add_image(
            np.where(finite, values, 0).astype(np.float32), exptime=1.0, pixmap=pixmap, pixfrac=1.0,
            weight_map=finite.astype(np.float32), in_units="cps",
        )  # fmt: skip
        part = out.out_wht.astype(float)
        return np.where(part > 0, out.out_img.astype(float), np.nan), part * solid_angles(header_in).mean()

    return project


PROJECTORS: dict[str, tuple[str, Projector]] = {
    "dmontage": ("dmontage", by_dmontage()),
    "mProject": ("Montage", by_montage("mProject")),
    "mProjectPP": ("Montage", by_montage("mProjectPP")),
    "MontagePy mProject": ("MontagePy", by_montagepy("mProject")),
    "reproject_exact": ("reproject", by_reproject("exact")),
    "SWarp": ("SWarp", by_swarp),
    "drizzle": ("drizzle", by_drizzle()),
}
"""By column: the tool that must be installed, and its call."""


def put(folder: Path, values: Floats, header_in: fits.Header, header_out: fits.Header) -> None:
    """What a program reads: ``in.fits`` and ``grid.hdr``."""
    fits.PrimaryHDU(values, header_in).writeto(folder / "in.fits")
    (folder / "grid.hdr").write_text("\n".join([*(card.image.rstrip() for card in header_out.cards), "END"]) + "\n")


def take(folder: Path) -> tuple[Floats, Floats]:
    """What Montage's programs wrote."""
    mean, area = (fits.getdata(folder / name).astype(float) for name in ("out.fits", "out_area.fits"))
    return np.where(area > 0, mean, np.nan), np.where(np.isfinite(area), area, 0.0)


def run(command: list[str], folder: Path) -> str:
    """Output of a program."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise ToolFailed(f"{command[0]}: no answer in {LIMIT:.0f} s") from None
    if done.returncode or 'stat="ERROR"' in done.stdout:
        raise ToolFailed(f"{command[0]}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout
