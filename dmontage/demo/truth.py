"""The truth of a simulated survey: its nouns, what they are in closed form, and the file that keeps them (level 6)."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.aside import aside
from dmontage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ARCSEC", "FWHM_TO_SIGMA", "TRUTH_NAME", "Cloud", "RawImage", "Star", "Truth", "tangent_frame", "unit_vectors",
]  # fmt: skip

ARCSEC = math.pi / 648_000
"""One arcsecond in radians."""
FWHM_TO_SIGMA = 1 / math.sqrt(8 * math.log(2))
TRUTH_NAME = "truth.json"


class Star(NamedTuple):
    """A point source: position in degrees (ICRS), total flux in counts."""

    ra: float
    dec: float
    flux: float


class Cloud(NamedTuple):
    """An elliptical Gaussian nebula: position in degrees, peak in counts per pixel, both σ in arcsec."""

    ra: float
    dec: float
    peak: float
    sigma_major: float
    sigma_minor: float
    angle: float
    """Of the major axis, degrees east of north."""


class RawImage(NamedTuple):
    """One raw image: centre and rotation (degrees), seeing (arcsec), and the plane added about its centre (counts)."""

    name: str
    ra: float
    dec: float
    rotation: float
    fwhm: float
    level: float
    slope_x: float
    """Counts per pixel, along x."""
    slope_y: float
    n_blank: int


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that was put into a simulated survey."""

    ra: float
    """Centre of the field, degrees."""
    dec: float
    size_deg: float
    """Side of the square that the images are sure to cover."""
    seed: int
    n_pixels: tuple[int, int]
    """(ny, nx) of every raw image, of 1 arcsec pixels."""
    noise: float
    """Standard deviation of a raw pixel, counts."""
    stars: tuple[Star, ...]
    clouds: tuple[Cloud, ...]
    images: tuple[RawImage, ...]

    @property
    def seeing(self) -> float:
        """Mean σ of the images' stars, arcsec."""
        return FWHM_TO_SIGMA * float(np.mean([image.fwhm for image in self.images]))

    def sky_background(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
        """Extended emission at ``ra``, ``dec`` (degrees, broadcast), in counts per raw pixel; no stars, no planes.

        Parameters
        ----------
        ra, dec
            Degrees, ICRS; they broadcast.

        Returns
        -------
        float64
            Of the shape that they broadcast to.
        """
        sky = unit_vectors(ra, dec)
        total = np.zeros(sky.shape[:-1])
        for cloud in self.clouds:
            east, north, centre = tangent_frame(cloud.ra, cloud.dec)
            sin_pa, cos_pa = math.sin(math.radians(cloud.angle)), math.cos(math.radians(cloud.angle))
            along = sky @ (sin_pa * east + cos_pa * north) / (cloud.sigma_major * ARCSEC)
            across = sky @ (cos_pa * east - sin_pa * north) / (cloud.sigma_minor * ARCSEC)
            # The offsets are direction cosines, which repeat on the far side of the sky.
            total += np.where(sky @ centre > 0, cloud.peak * np.exp(-0.5 * (along**2 + across**2)), 0.0)
        return total

    def save(self, folder: str | Path) -> Path:
        """Write ``truth.json`` into ``folder``, aside first and then renamed.

        Parameters
        ----------
        folder
            Where the images are.

        Returns
        -------
        Path
            Of the file.
        """
        path = Path(folder, TRUTH_NAME)
        tables = {name: [row._asdict() for row in getattr(self, name)] for name in ("stars", "clouds", "images")}
        with aside(path) as part:
            part.write_text(json.dumps(asdict(self) | tables, indent=1), encoding="utf-8")
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Truth:
        """Read ``truth.json`` from ``folder``; InputError when it is absent or is not one.

        Parameters
        ----------
        folder
            Where the images are.

        Returns
        -------
        Truth
            What was saved.
        """
        path = Path(folder, TRUTH_NAME)
        try:
            table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            table["n_pixels"] = tuple(table["n_pixels"])
            table["stars"] = tuple(Star(**row) for row in table["stars"])
            table["clouds"] = tuple(Cloud(**row) for row in table["clouds"])
            table["images"] = tuple(RawImage(**row) for row in table["images"])
            return cls(**table)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is not the truth of a simulated survey ({error}); make one with simulate"
            ) from error


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
    """Directions (..., 3) of positions in degrees."""
    a, d = np.broadcast_arrays(np.radians(ra), np.radians(dec))
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def tangent_frame(ra: float, dec: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal (east, north, outward) at a position in degrees."""
    centre, north = unit_vectors(ra, dec), unit_vectors(ra, dec + 90)
    return np.cross(north, centre), north, centre
