"""Grid: a celestial WCS with a shape (level 1).

A Grid is text and two integers. It hashes and compares by them, pickles small, and builds its astropy WCS on demand,
because a WCS object is not safe to share between threads and two equal ones compare unequal. Of a foreign header only
the cards that define the celestial coordinates are kept, each with all its digits, after they passed the gate of
`dmontage.headers`. Pixel coordinates are 0-based with centres at integers; places on the sky are unit vectors of the
grid's own frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.io.fits import Card, Header
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.polynomial.chebyshev import chebvander

from dmontage.errors import InputError
from dmontage.headers import angle, build_wcs, card_text, checked_cards, checked_shape, header_of, parse_header
from dmontage.sphere import lonlat, quad_angles, rotate_frame, unit_vectors
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.coordinates import BaseCoordinateFrame, SkyCoord
    from numpy.typing import NDArray

__all__ = ["Grid"]

_ROUND_TRIP = 0.01
_CORNERS = 2**20
"""Corners held at once where a mesh is worked through in bands of rows."""
_SAME_LATTICE = 1e-11
"""Pixels, less than what the WCS itself rounds by."""
_FRAMES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "icrs": ("RA--", "DEC-", {"RADESYS": "ICRS"}),
    "fk5": ("RA--", "DEC-", {"RADESYS": "FK5", "EQUINOX": 2000.0}),
    "fk4": ("RA--", "DEC-", {"RADESYS": "FK4", "EQUINOX": 1950.0}),
    "galactic": ("GLON", "GLAT", {}),
}
_ZENITHAL = {"AZP", "SZP", "TAN", "STG", "SIN", "ARC", "ZPN", "ZEA", "AIR"}
_NEEDS_PARAMETERS = {"AZP", "SZP", "ZPN", "COP", "COE", "COD", "COO", "BON", "CYP"}
_PROJECTIONS = _ZENITHAL | {
    "CEA", "CAR", "MER", "SFL", "PAR", "MOL", "AIT", "TSC", "CSC", "QSC", "HPX", "XPH",
}  # fmt: skip
"""What `around` and `fit` offer. Not PCO: wcslib finds no sky along its central meridian, the middle of such a grid."""


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
            A FITS Header, an astropy WCS, or the path of a template (``.hdr``: one card a line).
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
            try:
                text = Path(source).read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{source}: cannot be read as a template (text, one card a line): {error}") from error
            source = parse_header(text, name=str(source))
        cards = checked_cards(source)
        grid = cls("\n".join(card_text(key, value) for key, value in cards.items()), checked_shape(source, shape))
        grid._check_round_trip()
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
            shape = (max(round(height / scale_deg), 1), max(round(width / scale_deg), 1))
        lon, lat = _center(center, _frame_named(frame))
        ny, nx = shape
        cards = _cards(lon, lat, scale_deg, projection, frame, angle(rotation, "rotation", positive=False))
        if projection.upper() not in _ZENITHAL:
            x, y = build_wcs(cards).wcs_world2pix([[lon, lat]], 0)[0]
            cards |= {"CRPIX1": cards["CRPIX1"] + (nx - 1) / 2 - x, "CRPIX2": cards["CRPIX2"] + (ny - 1) / 2 - y}
        else:
            cards |= {"CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2}
        grid = cls("\n".join(card_text(key, value) for key, value in cards.items()), checked_shape(Header(), shape))
        grid._check_round_trip()
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
            frame = names.pop() if len(names) == 1 and names <= set(_FRAMES) else "icrs"
        scale_deg = angle(scale, "scale") if scale is not None else min(grid.scale for grid in grids) / math.radians(1)
        outline = np.concatenate([_outline_in(grid, frame) for grid in grids])
        rotation_deg = angle(rotation, "rotation", positive=False)
        low = high = np.zeros(2)
        lon, lat = (float(a) for a in lonlat(outline.mean(axis=0)))
        for _ in range(2):  # the second pass moves the reference point to the middle of the box
            cards = _cards(lon, lat, scale_deg, projection, frame, rotation_deg)
            wcs = build_wcs(cards)
            pix = wcs.wcs_world2pix(np.stack(lonlat(outline), axis=-1), 0)
            if not np.isfinite(pix).all():
                raise InputError(
                    f"the images span more sky than one {projection} grid about ({lon:.4f}, {lat:.4f}) holds; "
                    "choose another projection (AIT, CAR) or give a centre and a size"
                )
            low, high = pix.min(axis=0), pix.max(axis=0)
            if projection.upper() in _ZENITHAL:
                lon, lat = (float(a) for a in wcs.wcs_pix2world([(low + high) / 2], 0)[0])
        nx, ny = (int(n) for n in np.ceil(high - low - 1e-6))
        cards |= {
            "CRPIX1": cards["CRPIX1"] + (nx - 1) / 2 - (low[0] + high[0]) / 2,
            "CRPIX2": cards["CRPIX2"] + (ny - 1) / 2 - (low[1] + high[1]) / 2,
        }
        return cls("\n".join(card_text(k, v) for k, v in cards.items()), (ny, nx))

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
        ny, nx = self.shape
        middle = Window(ny // 2, ny // 2 + 1, nx // 2, nx // 2 + 1)
        side = math.sqrt(float(quad_angles(self.corners(middle))[0, 0]))
        if not math.isfinite(side):  # the middle of an all-sky grid may lie off the sky
            side = math.radians(math.sqrt(abs(float(np.linalg.det(self.wcs().pixel_scale_matrix)))))
        return side

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

    def outline(self, n: int = 16) -> NDArray[np.float64]:
        """Unit vectors along the outer edge of the grid, about ``4 n`` of them; undefined ones left out."""
        ny, nx = self.shape
        t = np.linspace(0.0, 1.0, n + 1)
        x = np.concatenate([t, np.ones(n + 1), t, np.zeros(n + 1)]) * nx - 0.5
        y = np.concatenate([np.zeros(n + 1), t, np.ones(n + 1), t]) * ny - 0.5
        vectors = self.sky(x, y)
        return np.asarray(vectors[np.isfinite(vectors).all(axis=-1)])

    def solid_angle(self, window: Window, sub: int = 1) -> NDArray[np.float64]:
        """Solid angle of each pixel in a window, steradian; NaN where a corner is undefined.

        Parameters
        ----------
        sub
            Parts of an edge: a pixel is the polygon of great circles between the ends of these parts.
        """
        from dmontage.kernels.chebyshev import evaluate_rows

        # Ω is smooth but for seams and poles: a polynomial through 13×13 pixels costs a thousandth of the WCS.
        nodes = np.cos(np.pi * (np.arange(13) + 0.5) / 13)
        checks = np.linspace(-0.97, 0.97, 8)
        exact, truth = (self._pixel_angles(window, t, sub) for t in (nodes, checks))
        if np.isfinite(exact).all() and np.isfinite(truth).all():
            weights = chebvander(nodes, 12).T * (2.0 / 13)
            weights[0] *= 0.5
            coef = weights @ exact @ weights.T
            table = chebvander(checks, 12)
            if np.abs(table @ coef @ table.T / truth - 1.0).max() <= max(1e-10, 1e-15 / self.scale):
                t_x, t_y = ((2.0 * np.arange(n) + 1.0) / n - 1.0 for n in window.shape[::-1])
                return np.asarray(evaluate_rows(coef, t_x, t_y))
        ny, nx = window.shape
        out = np.empty((ny, nx))
        rows = max(_CORNERS // (nx * sub**2), 1)
        for y in range(0, ny, rows):
            n = min(rows, ny - y)
            band = Window(window.y0 + y, window.y0 + y + n, window.x0, window.x1)
            out[y : y + n] = quad_angles(self.corners(band, sub)).reshape(n, sub, nx, sub).sum(axis=(1, 3))
        return out

    def _pixel_angles(self, window: Window, t: NDArray[np.float64], sub: int) -> NDArray[np.float64]:
        """Solid angles of pixels about the tensor points ``t`` in [−1, 1] over a window, whole pixels or not."""
        ny, nx = window.shape
        x, y = np.meshgrid(window.x0 - 0.5 + 0.5 * nx * (t + 1.0), window.y0 - 0.5 + 0.5 * ny * (t + 1.0))
        ends = np.linspace(-0.5, 0.5, sub + 1)
        corners = self.sky(x[..., None, None] + ends, y[..., None, None] + ends[:, None])
        return np.asarray(quad_angles(corners).sum(axis=(-2, -1)))

    def window_around(self, center: str | SkyCoord, size: Any) -> Window:
        """The pixels within a box about a place on the sky, cropped to the grid.

        Parameters
        ----------
        center, size
            As for `around`; the box is laid along the grid's axes.
        """
        lon, lat = _center(center, self.frame)
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
            if key in ("CRPIX1", "CRPIX2"):
                first = window.x0 if key == "CRPIX1" else window.y0
                line = card_text(key, Card.fromstring(line).value - first)  # noqa: PLW2901
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

    def _check_round_trip(self) -> None:
        """Refuse a WCS that puts no pixel on the sky, or does not come back from it."""
        ny, nx = self.shape
        t = np.linspace(0.0, 1.0, 9)
        x, y = np.meshgrid(t * (nx - 1), t * (ny - 1))
        try:
            wcs = self.wcs()
            vectors = self.sky(x, y, wcs)
            back_x, back_y = self.pixel(vectors, wcs)
        except Exception as error:  # wcslib raises half a dozen kinds; all mean the same to the user
            raise InputError(f"the WCS cannot be evaluated: {error}") from error
        on_sky = np.isfinite(vectors).all(axis=-1)
        if not on_sky.any():
            raise InputError("no pixel of the image lies on the sky by its WCS: check CRPIX, CDELT and CTYPE")
        back = self.sky(back_x, back_y, wcs)
        limit = _ROUND_TRIP
        if "CSC'" in self.header:  # its inverse is a polynomial good to 24" only (Calabretta & Greisen 2002, 5.6.2)
            limit = max(limit, math.radians(24 / 3600) / self.scale)
        error_pix = float(np.linalg.norm(back - vectors, axis=-1)[on_sky].max()) / self.scale
        floor = 1e-13 / self.scale  # at micro-arcseconds the degrees of the WCS round by more
        if not error_pix <= max(limit, floor):
            raise InputError(
                f"the WCS does not come back to its own pixels: {error_pix:.3g} px off, limit {limit:.3g} px; "
                "the header's distortion or projection parameters are damaged"
            )


def _outline_in(grid: Grid, frame: str) -> NDArray[np.float64]:
    """The grid's outline as unit vectors of a frame by name."""
    return rotate_frame(grid.outline(), grid.frame, _frame_named(frame))


def _frame_named(name: str) -> BaseCoordinateFrame:
    """The astropy frame of a name."""
    return wcs_to_celestial_frame(build_wcs(_cards(0.0, 0.0, 1.0, "TAN", name, 0.0)))


def _center(center: str | SkyCoord, target: BaseCoordinateFrame) -> tuple[float, float]:
    """Longitude and latitude in degrees of ``center`` in a frame."""
    from astropy.coordinates import SkyCoord

    hint = "give '05h35m -5d23m', '05:35:17 -05:23:28', '83.82 -5.39' or a SkyCoord"
    if isinstance(center, str):
        # Hours can only be right ascension; degrees are meant in the grid's own frame.
        sexagesimal = "h" in center or ":" in center
        try:
            if sexagesimal:
                center = SkyCoord(center, unit=(u.hourangle, u.deg), frame="icrs")
            else:
                center = SkyCoord(center.replace(",", " "), unit=u.deg, frame=target)
        except ValueError as error:
            raise InputError(f"centre {center!r} is not a place on the sky: {hint}") from error
    if not isinstance(center, SkyCoord) or not center.isscalar:
        raise InputError(f"centre {center!r} is not one place on the sky: {hint}")
    there = center.transform_to(target)
    lon, lat = float(there.spherical.lon.degree), float(there.spherical.lat.degree)
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise InputError(f"centre {center!r} is not finite: {hint}")
    return lon, lat


def _cards(lon: float, lat: float, scale: float, projection: str, frame: str, rotation: float) -> dict[str, Any]:
    """Cards of a regular grid about a place, reference pixel 1; degrees."""
    code = projection.upper()
    if code not in _PROJECTIONS:
        hint = " (it needs PV parameters: give a header)" if code in _NEEDS_PARAMETERS else ""
        raise InputError(f"projection {projection!r} is not one of {', '.join(sorted(_PROJECTIONS))}{hint}")
    if frame not in _FRAMES:
        raise InputError(f"frame {frame!r} is not one of {', '.join(_FRAMES)}")
    lon_name, lat_name, extra = _FRAMES[frame]
    cards: dict[str, Any] = {
        "CTYPE1": f"{lon_name}-{code}",
        "CTYPE2": f"{lat_name}-{code}",
        "CRVAL1": lon,
        "CRVAL2": lat if code in _ZENITHAL else 0.0,
        "CRPIX1": 1.0,
        "CRPIX2": 1.0,
        "CDELT1": -scale,
        "CDELT2": scale,
    }
    if rotation:
        c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
        cards |= {"PC1_1": c, "PC1_2": s, "PC2_1": -s, "PC2_2": c}
    return cards | extra
