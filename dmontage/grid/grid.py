"""The Grid itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.fits import Card, Header
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

from dmontage.errors import InputError
from dmontage.grid.measures import check_round_trip, middle_side, solid_angles
from dmontage.grid.recipes import FRAMES, ZENITHAL, fitted_cards, frame_named, place, regular_cards
from dmontage.headers import (
    angle,
    build_wcs,
    card_text,
    checked_cards,
    checked_shape,
    header_of,
    header_text,
    parse_header,
)
from dmontage.sphere import lonlat, rotate_frame, unit_vectors
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.coordinates import BaseCoordinateFrame, SkyCoord
    from numpy.typing import NDArray

__all__ = ["Grid"]

_SAME_LATTICE = 1e-11
"""Pixels, less than what the WCS itself rounds by."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A celestial WCS with a shape: where images and mosaics live."""

    header: str
    """FITS cards of the WCS, one a line, with full double precision; no NAXIS, no END."""
    shape: tuple[int, int]
    """(ny, nx) pixels."""

    @classmethod
    def from_header(cls, source: Header | WCS | str | Path, shape: tuple[int, int] | None = None) -> Grid:
        """The grid that a header describes.

        Parameters
        ----------
        source
            A FITS Header, an astropy WCS, or the path of a template (``.hdr``: one card a line) or of a FITS file,
            whose primary header is taken.
        shape
            (ny, nx) where the header has no NAXIS1 and NAXIS2.

        Raises
        ------
        InputError
            If there is no celestial WCS in it, or a value of it is not usable.
        """
        if isinstance(source, WCS):
            shape = shape if shape is not None else source.array_shape
            source = header_of(source)
        elif not isinstance(source, Header):
            source = parse_header(header_text(source), name=str(source))
        cards = checked_cards(source)
        grid = cls("\n".join(card_text(key, value) for key, value in cards.items()), checked_shape(source, shape))
        check_round_trip(grid)
        return grid

    @classmethod
    def around(
        cls,
        center: str | SkyCoord,
        size: Any = None,
        scale: Any = "1 arcsec",
        projection: str = "TAN",
        frame: str = "icrs",
        rotation: Any = "0 deg",
        *,
        shape: tuple[int, int] | None = None,
    ) -> Grid:
        """A grid about a place on the sky; it needs no network.

        Parameters
        ----------
        center
            "05h35m -5d23m", "83.82 -5.39" (degrees in ``frame``), or a SkyCoord.
        size
            Angle ("1 deg") or a pair (width, height).
        scale
            Side of a pixel.
        projection
            FITS code: TAN, SIN, CAR, AIT, ...; cylindrical and all-sky ones keep their equator on that of the frame.
        frame
            "icrs", "fk5", "fk4" or "galactic".
        rotation
            CROTA2: turns the image's y axis from north towards west.
        shape
            (ny, nx), instead of ``size``.
        """
        scale_deg = angle(scale, "scale")
        if shape is None:
            if size is None:
                raise InputError(
                    "a grid needs a size (an angle such as '1 deg') or a shape (ny, nx); neither was given"
                )
            sides = size if isinstance(size, (tuple, list)) else (size, size)
            width, height = (angle(side, "size") for side in sides)
            if max(width, height) > 360:
                raise InputError(f"size {size!r} is more than the sky: at most 360 deg")
            shape = (max(round(height / scale_deg), 1), max(round(width / scale_deg), 1))
        lon, lat = place(center, frame_named(frame))
        ny, nx = shape
        cards = regular_cards(lon, lat, scale_deg, projection, frame, angle(rotation, "rotation", positive=False))
        if projection.upper() not in ZENITHAL:
            x, y = build_wcs(cards).wcs_world2pix([[lon, lat]], 0)[0]
            cards |= {"CRPIX1": cards["CRPIX1"] + (nx - 1) / 2 - x, "CRPIX2": cards["CRPIX2"] + (ny - 1) / 2 - y}
        else:
            cards |= {"CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2}
        grid = cls("\n".join(card_text(key, value) for key, value in cards.items()), checked_shape(Header(), shape))
        check_round_trip(grid)
        return grid

    @classmethod
    def fit(
        cls,
        images: Sequence[Any],
        scale: Any = None,
        projection: str = "TAN",
        frame: str | None = None,
        rotation: Any = "0 deg",
    ) -> Grid:
        """The smallest grid, north up, that holds all images.

        Parameters
        ----------
        images
            What `dmontage.scan` gives, or Grids.
        scale
            Side of a pixel; that of the finest image if not given.
        projection, frame, rotation
            As for `around`; the frame is the images' own where they agree on one of the four, else ICRS.
        """
        grids: list[Grid] = [getattr(image, "grid", image) for image in images]
        if not grids:
            raise InputError("a grid cannot be fitted to no images: give at least one image, or a centre and a size")
        if frame is None:
            names = {grid.frame.name for grid in grids}
            frame = names.pop() if len(names) == 1 and names <= set(FRAMES) else "icrs"
        target = frame_named(frame)
        points = np.concatenate([grid.points_in(target) for grid in grids])
        scale_deg = angle(scale, "scale") if scale is not None else math.degrees(min(grid.scale for grid in grids))
        cards, shape = fitted_cards(points, scale_deg, projection, frame, angle(rotation, "rotation", positive=False))
        return cls("\n".join(card_text(key, value) for key, value in cards.items()), shape)

    def wcs(self) -> WCS:
        """A new astropy WCS (0.9 ms); it belongs to the caller's thread."""
        wcs = build_wcs(self.to_header(naxis=False))
        wcs.array_shape = self.shape
        return wcs

    def to_header(self, *, naxis: bool = True) -> Header:
        """The cards as a FITS Header, with NAXIS1 and NAXIS2 unless told otherwise."""
        header = Header([Card.fromstring(line) for line in self.header.splitlines()])
        if naxis:
            header.insert(0, ("NAXIS", 2))
            header.insert(1, ("NAXIS1", self.shape[1]))
            header.insert(2, ("NAXIS2", self.shape[0]))
        return header

    def to_template(self) -> str:
        """The grid as a Montage template: one card a line, END last."""
        ny, nx = self.shape
        top = [
            card_text("SIMPLE", True),
            card_text("BITPIX", -32),
            card_text("NAXIS", 2),
            card_text("NAXIS1", nx),
            card_text("NAXIS2", ny),
        ]
        return "\n".join([*top, self.header, "END"]) + "\n"

    @property
    def window(self) -> Window:
        """All its pixels."""
        return Window.of_shape(self.shape)

    @property
    def frame(self) -> BaseCoordinateFrame:
        """The astropy frame of its sky coordinates."""
        return wcs_to_celestial_frame(self.wcs())

    @property
    def scale(self) -> float:
        """Side of its middle pixel in radians (the root of its solid angle)."""
        return middle_side(self)

    def sky(self, x: NDArray[np.float64], y: NDArray[np.float64], wcs: WCS | None = None) -> NDArray[np.float64]:
        """Unit vectors, shape (..., 3), at pixel coordinates ``x``, ``y``; NaN where the projection has no sky.

        ``wcs`` saves building one where the caller has its own.
        """
        x, y = np.broadcast_arrays(x, y)
        wcs = wcs or self.wcs()
        world = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
        lon, lat = world[wcs.wcs.lng], world[wcs.wcs.lat]
        return unit_vectors(np.radians(lon), np.radians(lat)).reshape(*x.shape, 3)

    def pixel(
        self, vectors: NDArray[np.float64], wcs: WCS | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel coordinates (x, y) of unit vectors of this grid's frame, shape (..., 3); NaN where there are none."""
        lon, lat = lonlat(vectors.reshape(-1, 3))
        wcs = wcs or self.wcs()
        world = (lon, lat) if wcs.wcs.lng == 0 else (lat, lon)
        if wcs.sip is None:
            x, y = wcs.wcs_world2pix(*world, 0)
        else:
            x, y = wcs.all_world2pix(*world, 0, tolerance=1e-9, maxiter=50, quiet=True)
        return x.reshape(vectors.shape[:-1]), y.reshape(vectors.shape[:-1])

    def corners(self, window: Window, sub: int = 1) -> NDArray[np.float64]:
        """Unit vectors of the pixel corners in a window, shape (ny·sub + 1, nx·sub + 1, 3), in this grid's frame."""
        ny, nx = window.shape
        x = window.x0 - 0.5 + np.arange(nx * sub + 1) / sub
        y = window.y0 - 0.5 + np.arange(ny * sub + 1) / sub
        return self.sky(x[None, :], y[:, None])

    def points_in(self, frame: BaseCoordinateFrame) -> NDArray[np.float64]:
        """Unit vectors (n, 3), in a frame, that span the grid: its edge, a mesh inside, and the poles that it holds."""
        ny, nx = self.shape
        n_edge = min(max(nx, ny), 256) + 1
        t, m = np.linspace(0.0, 1.0, n_edge), np.linspace(0.0, 1.0, 17)
        zero, one = np.zeros(n_edge), np.ones(n_edge)
        x = np.concatenate([t, one, t, zero, np.repeat(m, 17)]) * nx - 0.5
        y = np.concatenate([zero, t, one, t, np.tile(m, 17)]) * ny - 0.5
        vectors = self.sky(x, y)
        mine = self.frame
        # All longitudes meet at a pole: a ring of a quarter pixel about it has them all.
        ring = unit_vectors(np.linspace(0.0, 2 * np.pi, 721), np.full(721, np.pi / 2 - self.scale / 4))
        poles = np.concatenate([ring, ring * [1.0, 1.0, -1.0], [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]])
        px, py = self.pixel(rotate_frame(poles, frame, mine))
        inside = (np.abs(px - (nx - 1) / 2) <= nx / 2) & (np.abs(py - (ny - 1) / 2) <= ny / 2)
        defined = vectors[np.isfinite(vectors).all(axis=-1)]
        return np.concatenate([rotate_frame(defined, mine, frame), poles[inside]])

    def solid_angle(self, window: Window, sub: int = 1) -> NDArray[np.float64]:
        """Solid angle of each pixel in a window, steradian; NaN where a corner is undefined.

        Parameters
        ----------
        sub
            Parts of an edge: a pixel is the polygon of great circles between the ends of these parts.
        """
        return solid_angles(self, window, sub)

    def window_around(self, center: str | SkyCoord, size: Any) -> Window:
        """The pixels within a box about a place on the sky, cropped to the grid.

        Parameters
        ----------
        center, size
            As for `around`; the box is laid along the grid's axes.
        """
        lon, lat = place(center, self.frame)
        x, y = self.pixel(unit_vectors(np.radians(lon), np.radians(lat)))
        sides = size if isinstance(size, (tuple, list)) else (size, size)
        width, height = (math.radians(angle(side, "size")) / self.scale for side in sides)
        if not (np.isfinite(x) and np.isfinite(y)):
            raise InputError(f"{center!r} is not on the grid")
        first_x, first_y = round(float(x) - (width - 1) / 2), round(float(y) - (height - 1) / 2)
        window = Window(first_y, first_y + max(round(height), 1), first_x, first_x + max(round(width), 1)) & self.window
        if not window:
            raise InputError(f"{center!r} is not on the grid: it is at pixel ({float(x):.1f}, {float(y):.1f})")
        return window

    def subgrid(self, window: Window) -> Grid:
        """The part of the grid in a window; the same pixels at the same places."""
        lines = []
        for line in self.header.splitlines():
            key = line[:8].rstrip()
            if key in ("CRPIX1", "CRPIX2", "CNPIX1", "CNPIX2"):
                first = window.x0 if key[-1] == "1" else window.y0
                # A DSS plate counts from the first pixel of the plate, the others from that of the image.
                sign = 1 if key.startswith("CN") else -1
                line = card_text(key, Card.fromstring(line).value + sign * first)  # noqa: PLW2901
            lines.append(line)
        return Grid("\n".join(lines), checked_shape(Header(), window.shape))

    def shift_from(self, other: Grid) -> tuple[int, int] | None:
        """Whole pixels (dy, dx) from ``other``'s pixel numbers to this grid's; None where they differ otherwise."""
        mine, theirs = ({line[:8].rstrip(): line for line in grid.header.splitlines()} for grid in (self, other))
        shift = []
        for key in ("CRPIX2", "CRPIX1"):
            my_pix, their_pix = (Card.fromstring(cards.pop(key)).value for cards in (mine, theirs))
            step, rounding = my_pix - their_pix, math.ulp(max(abs(my_pix), abs(their_pix)))
            # Taking windows' first pixels from CRPIX rounds its last bits: that is still the same lattice.
            if abs(step - round(step)) > max(2.0 * rounding, _SAME_LATTICE):
                return None
            shift.append(round(step))
        return (shift[0], shift[1]) if mine == theirs else None
