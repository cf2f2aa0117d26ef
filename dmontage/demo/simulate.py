"""A simulated 2MASS-like survey: stars and nebulae known in closed form, seen by images that disagree in background.

Each raw image is ``sky + plane + noise``, where sky is the surface brightness integrated over each pixel: for stars by
the error function, for the nebulae by the value at the pixel's centre (their curvature over a pixel adds at most
4e-4 of the noise). A plane of its own is what the image's instrument and atmosphere would have added.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from dmontage.aside import make_folder
from dmontage.demo.sky import paint
from dmontage.demo.truth import ARCSEC, FWHM_TO_SIGMA, Cloud, RawImage, Star, Truth, tangent_frame
from dmontage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["simulate"]

_CENTRE = (83.8, -5.4)  # Orion: near the equator, where rows of images at fixed right ascension steps stay parallel
_OVERLAP = 0.1  # of an image's side, shared with its neighbour
_NOISE = 1.0  # counts per raw pixel
_OFFSET = 20.0  # largest level of an image, and largest change of its plane along each side
_ROTATION = 0.5  # degrees
_JITTER = 1.5  # arcsec: pointings never agree on whole pixels
_FWHM = (2.5, 3.0)  # arcsec, the seeing of an image
_STARS_PER_DEG2 = 2000
_STAR_FLUX = (150.0, 2e5)  # counts; the faintest peaks at 17 times the noise of a pixel
_STAR_SLOPE = 0.75  # N(> flux) ∝ flux^-slope, i.e. counts that grow by 0.3 dex a magnitude
_REACH = 20.0  # arcsec past the images: a star beyond an edge still shines in
_NEBULA = (0.38, 0.22)  # σ of its body over √area/2 of the survey: a third of that, knots included, is above peak/10
_MAX_SIZE = 20.0  # degrees
_MIN_SIDE = 64  # pixels


def simulate(
    folder: str | Path,
    size_deg: float = 1.0,
    seed: int = 1,
    n_pixels: tuple[int, int] = (1024, 512),
    nebula: float = 0.0,
) -> Truth:
    """Write the raw images of a simulated survey, and its truth, into ``folder``.

    Parameters
    ----------
    folder
        Made when absent; may hold an earlier run of the same survey, and no other FITS file.
    size_deg
        Side in degrees of the field that is sure to be covered; 1 degree takes 45 images, and 4 is the least.
    seed
        The same seed gives the same bits, each image from a random stream of its own.
    n_pixels
        (ny, nx) of one image, in 1 arcsec pixels.
    nebula
        Peak, in counts per pixel, of a nebula over a third of the survey, to which knots add; 0 for none. Nothing else
        changes with it.

    Returns
    -------
    Truth
        Also kept as ``truth.json`` beside the images, written last.

    Raises
    ------
    InputError
        A size, a seed or a peak out of range, or a folder that holds other FITS files.
    """
    if not 0 < size_deg <= _MAX_SIZE:
        raise InputError(f"size_deg is {size_deg}; give a field above 0 and up to {_MAX_SIZE} degrees")
    if min(n_pixels) < _MIN_SIDE:
        raise InputError(f"n_pixels is {n_pixels}; an image needs {_MIN_SIDE} pixels or more on each side")
    if seed < 0:
        raise InputError(f"seed is {seed}; give a whole number from 0 up")
    if not 0 <= nebula < math.inf:
        raise InputError(f"nebula is {nebula}; give the peak of its brightness, 0 or more counts per pixel")
    sky_seed, *image_seeds = np.random.SeedSequence(seed).spawn(1 + math.prod(_layout(size_deg, n_pixels)))
    rngs = [np.random.default_rng(child) for child in image_seeds]
    truth = _draw_truth(size_deg, seed, n_pixels, nebula, np.random.default_rng(sky_seed), rngs)
    folder = Path(folder)
    make_folder(folder)
    if strangers := {path.name for path in folder.glob("*.fits")} - {image.name for image in truth.images}:
        raise InputError(f"{folder} holds {len(strangers)} foreign FITS files ({min(strangers)}); name a new folder")
    for image, rng in zip(truth.images, rngs, strict=True):
        _write_image(folder, truth, image, rng)
    truth.save(folder)
    return truth


def _layout(size_deg: float, n_pixels: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of images: the outermost centres lie outside the field, so that no jitter uncovers its rim."""
    rows, columns = (math.ceil(size_deg * 3600 / ((1 - _OVERLAP) * side)) + 1 for side in n_pixels)
    return rows, columns


def _draw_truth(
    size_deg: float,
    seed: int,
    n_pixels: tuple[int, int],
    nebula: float,
    rng: np.random.Generator,
    rngs: list[np.random.Generator],
) -> Truth:
    rows, columns = _layout(size_deg, n_pixels)
    step_y, step_x = ((1 - _OVERLAP) * side for side in n_pixels)
    half_y, half_x = (
        0.5 * ((n - 1) * (1 - _OVERLAP) + 1) * side + _REACH for n, side in zip((rows, columns), n_pixels, strict=True)
    )
    images = []
    for index, image_rng in enumerate(rngs):
        row, column = divmod(index, columns)
        x, y = (column - (columns - 1) / 2) * step_x, (row - (rows - 1) / 2) * step_y
        images.append(_draw_image(f"image-{index:04d}.fits", x, y, n_pixels, image_rng))
    stars = _draw_stars(half_x, half_y, rng)
    clouds = _draw_clouds(half_x, half_y, rng)
    if nebula:
        # Last, so that it takes no other's random numbers.
        clouds += _draw_nebula(nebula, math.sqrt((half_x - _REACH) * (half_y - _REACH)), rng)
    return Truth(*_CENTRE, size_deg, seed, n_pixels, _NOISE, stars, clouds, tuple(images))


def _draw_image(name: str, x: float, y: float, n_pixels: tuple[int, int], rng: np.random.Generator) -> RawImage:
    """An image pointed at tangent-plane offsets ``x``, ``y`` (arcsec) of the field's centre, nearly."""
    jitter_x, jitter_y = rng.uniform(-_JITTER, _JITTER, 2)
    ra, dec = _offset_positions(*_CENTRE, np.array(x + jitter_x), np.array(y + jitter_y))
    level, change_x, change_y = rng.uniform(-_OFFSET, _OFFSET, 3)
    return RawImage(
        name=name,
        # Rounded to what a FITS card holds, so that the truth is what the header says.
        ra=round(float(ra), 10),
        dec=round(float(dec), 10),
        rotation=round(float(rng.uniform(-_ROTATION, _ROTATION)), 10),
        fwhm=float(rng.uniform(*_FWHM)),
        level=float(level),
        slope_x=float(change_x / n_pixels[1]),
        slope_y=float(change_y / n_pixels[0]),
        n_blank=int(rng.integers(1, 13)) if rng.random() < 0.3 else 0,
    )


def _draw_stars(half_x: float, half_y: float, rng: np.random.Generator) -> tuple[Star, ...]:
    count = rng.poisson(_STARS_PER_DEG2 * 4 * half_x * half_y / 3600**2)
    ra, dec = _offset_positions(*_CENTRE, rng.uniform(-half_x, half_x, count), rng.uniform(-half_y, half_y, count))
    faintest, brightest = (flux**-_STAR_SLOPE for flux in _STAR_FLUX)
    flux = rng.uniform(brightest, faintest, count) ** (-1 / _STAR_SLOPE)
    return tuple(Star(*row) for row in np.stack([ra, dec, flux], axis=-1).tolist())


def _draw_clouds(half_x: float, half_y: float, rng: np.random.Generator) -> tuple[Cloud, ...]:
    """Broad nebulae and smaller knots; the first knot is near the centre, so that the smallest field has emission."""
    area = 4 * half_x * half_y / 3600**2
    broad, knots = max(1, round(3 * area)), max(2, round(8 * area))
    count = broad + knots
    is_knot = np.arange(count) >= broad
    x, y = rng.uniform(-half_x, half_x, count), rng.uniform(-half_y, half_y, count)
    x[broad], y[broad] = 0.1 * x[broad], 0.1 * y[broad]
    major = np.where(
        is_knot, rng.uniform(5, 8, count), rng.uniform(10, 20, count)
    )  # arcmin, full width at half maximum
    minor = major * np.where(is_knot, rng.uniform(0.6, 1, count), rng.uniform(0.35, 0.7, count))
    peak = np.where(is_knot, rng.uniform(5, 12, count), rng.uniform(10, 30, count))
    ra, dec = _offset_positions(*_CENTRE, x, y)
    sigma_major, sigma_minor = (60 * FWHM_TO_SIGMA * width for width in (major, minor))
    columns = [ra, dec, peak, sigma_major, sigma_minor, rng.uniform(0, 180, count)]
    return tuple(Cloud(*row) for row in np.stack(columns, axis=-1).tolist())


def _draw_nebula(peak: float, half: float, rng: np.random.Generator) -> tuple[Cloud, ...]:
    """A body over a third of a survey of side 2 ``half`` (arcsec), off its middle, and four knots along it."""
    angle = rng.uniform(0, 180)
    x, y = half * rng.uniform(0.05, 0.2, 2) * rng.choice((-1, 1), 2)
    along = np.array([0, -0.5, -0.2, 0.2, 0.5]) * half + np.append(0, rng.uniform(-0.1, 0.1, 4)) * half
    across = np.append(0, rng.uniform(-0.2, 0.2, 4)) * half
    sin, cos = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    ra, dec = _offset_positions(*_CENTRE, x + along * sin + across * cos, y + along * cos - across * sin)
    sigma_major = np.append(_NEBULA[0], rng.uniform(0.15, 0.25, 4)) * half
    sigma_minor = np.append(_NEBULA[1], rng.uniform(0.12, 0.15, 4)) * half
    peaks = peak * np.append(1, rng.uniform(0.1, 0.3, 4))
    columns = [ra, dec, peaks, sigma_major, sigma_minor, np.append(angle, rng.uniform(0, 180, 4))]
    return tuple(Cloud(*row) for row in np.stack(columns, axis=-1).tolist())


def _offset_positions(
    ra: float, dec: float, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions (degrees) at tangent-plane offsets east ``x`` and north ``y`` (arcsec) of ``ra``, ``dec``."""
    east, north, centre = tangent_frame(ra, dec)
    sky = centre + ARCSEC * (x[..., None] * east + y[..., None] * north)
    right_ascension = np.degrees(np.arctan2(sky[..., 1], sky[..., 0])) % 360
    return right_ascension, np.degrees(np.arctan2(sky[..., 2], np.hypot(sky[..., 0], sky[..., 1])))


def _header(truth: Truth, image: RawImage) -> fits.Header:
    """The header of a raw image: SIN with CDELT and CROTA2, east to the left."""
    ny, nx = truth.n_pixels
    cards = {
        "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "RADESYS": "ICRS", "CUNIT1": "deg", "CUNIT2": "deg",
        "CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2, "CRVAL1": image.ra, "CRVAL2": image.dec,
        "CDELT1": -1 / 3600, "CDELT2": 1 / 3600, "CROTA2": image.rotation, "OBJECT": "simulated sky",
    }  # fmt: skip
    return fits.Header(cards.items())


def _write_image(folder: Path, truth: Truth, image: RawImage, rng: np.random.Generator) -> None:
    ny, nx = truth.n_pixels
    header = _header(truth, image)
    data = paint(truth, WCS(header), truth.n_pixels, image.fwhm)
    x, y = np.arange(nx) - (nx - 1) / 2, np.arange(ny) - (ny - 1) / 2
    data += image.level + image.slope_x * x + image.slope_y * y[:, None]
    values = data.astype(np.float32)
    values += truth.noise * rng.standard_normal(values.shape, dtype=np.float32)
    values.flat[rng.choice(values.size, image.n_blank, replace=False)] = np.nan
    fits.PrimaryHDU(values, header).writeto(folder / image.name, overwrite=True)
