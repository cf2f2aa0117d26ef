"""The Grid itself."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.fits import Card, Header

from dmontage.errors import InputError
from dmontage.grid.inverse import kind_of
from dmontage.grid.lattice import moved_cards, moved_tables, whole_shift
from dmontage.grid.measures import check_round_trip, middle_side, solid_angles
from dmontage.grid.objects import is_object, unpack_object
from dmontage.grid.recipes import ZENITHAL, common_frame, fitted_cards, frame_named, place, regular_cards, sides
from dmontage.grid.sources import described
from dmontage.grid.span import Span
from dmontage.grid.ways import frame_of_grid, pixel_of, sky_of
from dmontage.headers import angle, build_wcs, card_text, cards_text, checked_shape, table_cards
from dmontage.shown import Shown
from dmontage.sphere import longest_step, rotate_frame, unit_vectors
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.coordinates import BaseCoordinateFrame, SkyCoord
    from astropy.io.fits import HDUList
    from astropy.wcs import WCS
    from numpy.typing import NDArray

__all__ = ["Grid"]

_SIP_CARD = re.compile(r"(A|B|AP|BP)_(ORDER|\d_\d)\b")


@dataclass(frozen=True, slots=True)
class Grid(Shown):
    """A celestial WCS with a shape: where images and mosaics live."""

    header: str
    """FITS cards of the WCS, one a line, with full double precision; no NAXIS, no END."""
    shape: tuple[int, int]
    """(ny, nx) pixels."""

    tables: bytes = field(default=b"", repr=False)
    """What cards cannot carry: packed lookup tables, or a WCS object that is no cards at all; mostly nothing."""

    @classmethod
    def from_header(cls, source: Any, shape: tuple[int, ...] | None = None, hdus: HDUList | None = None) -> Grid:
        """The grid that a header, or a WCS of any kind, describes.

        Parameters
        ----------
        source
            A FITS Header, an astropy WCS, any other WCS object of astropy's shared interface (APE 14, such as gwcs)
            with two celestial axes, or the path of a template (``.hdr``: one card a line) or of a FITS file, whose
            primary header is taken. Of a cube, the celestial axes must be the first two.
        shape
            (ny, nx), or (..., ny, nx), where the header has no NAXIS1 and NAXIS2.
        hdus
            The file's HDUs, in which the lookup tables are found that the header asks for.

        Raises
        ------
        InputError
            If there is no celestial WCS in it, or a value of it is not usable.
        """
        grid = cls(*described(source, shape, hdus))
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
            "icrs", "fk5", "fk4", "galactic", "supergalactic" or "ecliptic" (the mean one of J2000).
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
            width, height = sides(size)
            if max(width, height) > 360:
                raise InputError(f"size {size!r} is more than the sky: at most 360 deg")
            shape = (max(round(height / scale_deg), 1), max(round(width / scale_deg), 1))
        lon, lat = place(center, frame_named(frame))
        ny, nx = checked_shape(Header(), shape)
        cards = regular_cards(lon, lat, scale_deg, projection, frame, angle(rotation, "rotation", positive=False))
        if projection.upper() not in ZENITHAL:
            x, y = cls._pixel_by(cards, unit_vectors(*np.radians([[lon], [lat]])))
            cards |= {"CRPIX1": cards["CRPIX1"] + (nx - 1) / 2 - float(x[0])}
            cards |= {"CRPIX2": cards["CRPIX2"] + (ny - 1) / 2 - float(y[0])}
        else:
            cards |= {"CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2}
        grid = cls(cards_text(cards), (ny, nx))
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
            As for `around`; the frame is the images' own where they agree on one of these, else ICRS.
        """
        grids: list[Grid] = [getattr(image, "grid", image) for image in images]
        if not grids:
            raise InputError("a grid cannot be fitted to no images: give at least one image, or a centre and a size")
        if others := [each for each in grids if not isinstance(each, Grid)]:
            raise InputError(
                f"a grid is fitted to Grids and to what dmontage.scan gives, not to {others[0]!r:.60}: scan it"
            )
        if frame is None:
            frame = common_frame([grid.frame for grid in grids])
        target = frame_named(frame)
        scale_deg = angle(scale, "scale") if scale is not None else math.degrees(min(grid.scale for grid in grids))
        rotation_deg = angle(rotation, "rotation", positive=False)
        cards, shape = fitted_cards(Span(grids, target), scale_deg, projection, frame, rotation_deg, cls._pixel_by)
        return cls(cards_text(cards), shape)

    @classmethod
    def _pixel_by(
        cls, cards: dict[str, Any], vectors: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels of unit vectors by cards that are not a whole grid yet."""
        return cls(cards_text(cards), (1, 1)).pixel(vectors)

    def wcs(self) -> WCS:
        """A new astropy WCS (0.1 ms), or a ``SkyObject`` around a WCS object; it belongs to the caller's thread.

        Returns
        -------
        astropy WCS, or SkyObject
            With its shape (``array_shape``).
        """
        if is_object(self.tables):
            return unpack_object(self.tables)
        wcs = build_wcs(self.header, self.tables)
        wcs.array_shape = self.shape
        return wcs

    def to_header(self, *, naxis: bool = True) -> Header:
        """The cards as a FITS Header, with NAXIS1 and NAXIS2 unless told otherwise.

        Where the grid has tables, the cards ask for the HDUs that ``dmontage.headers.table_hdus`` makes.

        Parameters
        ----------
        naxis
            Whether NAXIS, NAXIS1 and NAXIS2 are among the cards.

        Returns
        -------
        astropy Header
            The cards.

        Raises
        ------
        InputError
            If the grid is a WCS object: there are no cards for it.
        """
        if is_object(self.tables):
            raise InputError("this grid is a WCS object that FITS cards cannot describe; use Grid.fit for one that has")
        header = Header([Card.fromstring(line) for line in self.header.splitlines()])
        header.extend(table_cards(self.tables))
        if naxis:
            header.insert(0, ("NAXIS", 2))
            header.insert(1, ("NAXIS1", self.shape[1]))
            header.insert(2, ("NAXIS2", self.shape[0]))
        return header

    def to_template(self) -> str:
        """The grid as a Montage template: one card a line, END last.

        Returns
        -------
        str
            Lines, as a file ``.hdr`` has them.
        """
        if self.tables:
            raise InputError("this grid has tables, which a template cannot carry; write a FITS file")
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
        return frame_of_grid(self)

    @property
    def scale(self) -> float:
        """Side of its middle pixel (the root of its solid angle): a bare number, in radians."""
        return middle_side(self)

    @property
    def kind(self) -> str:
        """What its WCS is called: the projection's letters, with SIP where there is that; an object's class."""
        if is_object(self.tables):
            return type(unpack_object(self.tables).wcs).__name__
        kind = kind_of(self.header)
        return f"{kind.code}-SIP" if kind.sip else kind.code

    @property
    def smooth(self) -> bool:
        """False where the map has, or may have, kinks that no polynomial follows: tables, and WCS objects."""
        return not self.tables

    @property
    def has_tables(self) -> bool:
        """Whether pixels go through lookup tables (CPDIS, D2IM) first: then there is a `core` and a way `to_core`."""
        return bool(self.tables) and not is_object(self.tables) and kind_of(self.header).code != "TAB"

    def core(self) -> Grid:
        """The same grid without distortions in pixels (tables and SIP): its pixels are the others', straightened."""
        lines = [line.replace("-SIP'", "'") for line in self.header.splitlines() if not _SIP_CARD.match(line)]
        return Grid("\n".join(lines), self.shape, b"" if self.has_tables else self.tables)

    def to_core(
        self, x: NDArray[np.float64], y: NDArray[np.float64], wcs: WCS | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels of the `core` at pixels (x, y) of this grid, exactly: the tables, and the SIP polynomial."""
        x, y = np.broadcast_arrays(x, y)
        core_x, core_y = (wcs or self.wcs()).pix2foc(x.ravel(), y.ravel(), 0)
        return core_x.reshape(x.shape), core_y.reshape(x.shape)

    def sky(self, x: NDArray[np.float64], y: NDArray[np.float64], wcs: WCS | None = None) -> NDArray[np.float64]:
        """Unit vectors, shape (..., 3), at pixel coordinates ``x``, ``y``; NaN where the projection has no sky.

        Parameters
        ----------
        x, y
            Pixels, counted from 0, of any shapes that broadcast.
        wcs
            One that the caller has, which saves building one.

        Returns
        -------
        (..., 3) float64
            In this grid's frame.
        """
        x, y = np.broadcast_arrays(x, y)
        return sky_of(self, x.ravel(), y.ravel(), wcs or self.wcs()).reshape(*x.shape, 3)

    def pixel(
        self, vectors: NDArray[np.float64], wcs: WCS | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel coordinates (x, y) of unit vectors of this grid's frame, shape (..., 3); NaN where there are none.

        Good to 1e-9 px or the rounding of the WCS's degrees, whichever is more, for every kind of WCS.

        Parameters
        ----------
        vectors
            (..., 3), in this grid's frame.
        wcs
            One that the caller has, which saves building one.

        Returns
        -------
        x, y
            (...) float64, counted from 0.
        """
        # In one piece: numpy's arc tangent has other last bits on an array with other strides.
        x, y = pixel_of(self, np.ascontiguousarray(vectors.reshape(-1, 3)), wcs or self.wcs())
        return x.reshape(vectors.shape[:-1]), y.reshape(vectors.shape[:-1])

    def corners(self, window: Window, sub: int = 1) -> NDArray[np.float64]:
        """Unit vectors of the pixel corners in a window, shape (ny·sub + 1, nx·sub + 1, 3), in this grid's frame.

        Parameters
        ----------
        window
            Of this grid's pixels.
        sub
            Parts of an edge, for the points between corners.

        Returns
        -------
        (ny·sub + 1, nx·sub + 1, 3) float64
            NaN where there is no sky.
        """
        ny, nx = window.shape
        # Counted in parts from the grid's first pixel: the same bits in whatever window.
        x = (window.x0 * sub + np.arange(nx * sub + 1)) / sub - 0.5
        y = (window.y0 * sub + np.arange(ny * sub + 1)) / sub - 0.5
        return self.sky(x[None, :], y[:, None])

    @property
    def edge_points(self) -> int:
        """Points on the edge of the grid that `points_in` begins with."""
        return 4 * (min(max(self.shape), 256) + 1)

    def points_in(self, frame: BaseCoordinateFrame) -> NDArray[np.float64]:
        """Unit vectors (n, 3), in a frame, that span the grid: its edge, a mesh inside, and the poles that it holds."""
        ny, nx = self.shape
        n_edge = self.edge_points // 4
        t, m = np.linspace(0.0, 1.0, n_edge), np.linspace(0.0, 1.0, 17)
        zero, one = np.zeros(n_edge), np.ones(n_edge)
        x = np.concatenate([t, one, t, zero, np.repeat(m, 17)]) * nx - 0.5
        y = np.concatenate([zero, t, one, t, np.tile(m, 17)]) * ny - 0.5
        wcs, mine = self.wcs(), self.frame
        vectors = self.sky(x, y, wcs)
        if np.isfinite(vectors).all() and self._is_far_from_poles(vectors[-17 * 17 :].reshape(17, 17, 3), frame):
            return rotate_frame(vectors, mine, frame)
        # All longitudes meet at a pole: a ring of a quarter pixel about it has them all.
        ring = unit_vectors(np.linspace(0.0, 2 * np.pi, 721), np.full(721, np.pi / 2 - middle_side(self, wcs) / 4))
        poles = np.concatenate([ring, ring * [1.0, 1.0, -1.0], [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]])
        px, py = self.pixel(rotate_frame(poles, frame, mine), wcs)
        inside = (np.abs(px - (nx - 1) / 2) <= nx / 2) & (np.abs(py - (ny - 1) / 2) <= ny / 2)
        defined = vectors[np.isfinite(vectors).all(axis=-1)]
        return np.concatenate([rotate_frame(defined, mine, frame), poles[inside]])

    def _is_far_from_poles(self, mesh: NDArray[np.float64], frame: BaseCoordinateFrame) -> bool:
        """True where no pole of a frame is near any point of a mesh (n, m, 3) over the grid."""
        gap = longest_step(mesh)
        poles = rotate_frame(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]), frame, self.frame)
        return 2.0 - 2.0 * float((mesh @ poles.T).max()) > (3.0 * gap) ** 2

    def solid_angle(self, window: Window, sub: int = 1) -> NDArray[np.float64]:
        """Solid angle of each pixel in a window, steradian; NaN where a corner is undefined.

        Parameters
        ----------
        window
            Of this grid's pixels.
        sub
            Parts of an edge: a pixel is the polygon of great circles between the ends of these parts. One part is
            within 1.4e-6 of curved edges for pixels of 10' in CAR, within 5e-5 for those of 1°; n parts are n² times
            better. On the sphere images are projected with as many as their tolerance needs, so that large pixels want
            some here too, where areas become steradian.

        Returns
        -------
        (ny, nx) float64
            Steradian.
        """
        return solid_angles(self, window, sub)

    def window_around(self, center: str | SkyCoord, size: Any) -> Window:
        """The pixels within a box about a place on the sky, cropped to the grid.

        Parameters
        ----------
        center, size
            As for `around`; the box is laid along the grid's axes.

        Returns
        -------
        Window
            Of this grid's pixels.
        """
        lon, lat = place(center, self.frame)
        x, y = self.pixel(unit_vectors(np.radians(lon), np.radians(lat)))
        width, height = (math.radians(side) / self.scale for side in sides(size))
        if not (np.isfinite(x) and np.isfinite(y)):
            raise InputError(f"{center!r} is not on the grid: its projection does not show that place")
        first_x, first_y = round(float(x) - (width - 1) / 2), round(float(y) - (height - 1) / 2)
        window = Window(first_y, first_y + max(round(height), 1), first_x, first_x + max(round(width), 1)) & self.window
        if not window:
            there = f"at pixel ({float(x):.1f}, {float(y):.1f}), the grid has {self.shape[1]} x {self.shape[0]}"
            raise InputError(f"{center!r} is not on the grid: it is {there}; give a place on it, or a larger size")
        return window

    def subgrid(self, window: Window) -> Grid:
        """The part of the grid in a window; the same pixels at the same places.

        Parameters
        ----------
        window
            Of this grid's pixels.

        Returns
        -------
        Grid
            With CRPIX moved by whole pixels.
        """
        shape = checked_shape(Header(), window.shape)
        return Grid(
            moved_cards(self.header, window.x0, window.y0), shape, moved_tables(self.tables, window.x0, window.y0)
        )

    def shift_from(self, other: Grid) -> tuple[int, int] | None:
        """Whole pixels (dy, dx) from ``other``'s pixel numbers to this grid's; None where they differ otherwise."""
        return whole_shift(self, other)
