"""mTANHdr: a tangent plane with SIP polynomials in place of another projection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.headers import cards_text
from dmontage.montage.inputs import template_grid
from dmontage.montage.templates import write_template
from dmontage.polynomial import roots
from dmontage.sphere import lonlat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["mTANHdr"]

_NODES = 24
"""Points a side that polynomials are fitted to; they are judged at others between them."""


def mTANHdr(
    template: str,
    tanTemplate: str,
    order: int = 5,
    maxiter: int = 50,
    tolerance: float = 0.01,
    useOffscl: bool = False,
    debug: int = 0,
) -> dict[str, float]:
    """Write the TAN-SIP template whose pixels lie nearest to those of another template.

    Parameters
    ----------
    template, tanTemplate
        The template, and the new one; it touches the sky in the middle of the image.
    order
        Of the polynomials, 1 to 9.
    maxiter, tolerance
        Not used: the best polynomials are found in one step.
    useOffscl
        Fit a pixel beyond the edges, too.
    debug
        Not used.

    Returns
    -------
    dict
        Largest errors in pixels from pixels to the sky, "fwdxerr" and "fwdyerr", and back, "revxerr" and "revyerr";
        "fwditer" and "reviter" are 1.
    """
    if order not in range(1, 10):
        raise InputError(f"order is {order!r}: it must be a whole number from 1 to 9")
    try:
        grid = template_grid(template)
    except InputError as error:
        raise InputError(f"Bad template: {template}: {error}") from error
    ny, nx = grid.shape
    pad = 1.5 if useOffscl else 0.5
    t = roots(_NODES - 1)
    between = np.linspace(-1.0, 1.0, 2 * _NODES + 1)
    fit = _Plane(grid, order)
    half = nx / 2 - 0.5 + pad, ny / 2 - 0.5 + pad
    fit.solve(*(np.ravel(a) for a in np.meshgrid(t * half[0], t * half[1])))
    errors = fit.errors(*(np.ravel(a) for a in np.meshgrid(between * half[0], between * half[1])))
    write_template(tanTemplate, fit.grid().to_template())
    return dict(zip(("fwdxerr", "fwdyerr", "revxerr", "revyerr"), errors, strict=True)) | {"fwditer": 1, "reviter": 1}


class _Poly(NamedTuple):
    """A polynomial without a constant, in two variables that are scaled to about 1."""

    powers: tuple[tuple[int, int], ...]
    values: Floats
    """(n, 2) coefficients of its two components, in the unscaled variables."""

    @classmethod
    def fitted(cls, order: int, u: Floats, v: Floats, goal: Floats, least: int = 1) -> _Poly:
        """The best one for goals (k, 2) at points (k,)."""
        powers = tuple((i, j) for n in range(least, order + 1) for i, j in ((n - k, k) for k in range(n + 1)))
        a, b = float(np.abs(u).max()), float(np.abs(v).max())
        matrix = np.stack([(u / a) ** i * (v / b) ** j for i, j in powers], axis=-1)
        found = np.linalg.lstsq(matrix, goal, rcond=None)[0]
        return cls(powers, found / np.array([[a**i * b**j] for i, j in powers]))

    def at(self, u: Floats, v: Floats) -> Floats:
        """Values (k, 2) at points (k,)."""
        return np.stack([u**i * v**j for i, j in self.powers], axis=-1) @ self.values

    def cards(self, first: str, second: str, order: int) -> dict[str, Any]:
        """SIP cards."""
        told: dict[str, Any] = {f"{first}_ORDER": order, f"{second}_ORDER": order}
        for (i, j), (a, b) in zip(self.powers, self.values, strict=True):
            told |= {f"{first}_{i}_{j}": float(a), f"{second}_{i}_{j}": float(b)}
        return told


class _Plane:
    """The tangent plane about the middle of a grid, and its polynomials."""

    def __init__(self, grid: Grid, order: int) -> None:
        self._grid, self._order = grid, order
        self._middle = grid.window.middle
        ny, nx = grid.shape
        centre = grid.sky(*(np.array([a]) for a in self._middle))
        if not np.isfinite(centre).all():
            raise InputError("Bad original header template. The middle of the image is not on the sky")
        self._lon, self._lat = (float(a[0]) for a in lonlat(centre))
        self._cd = np.eye(2)
        step = np.array([0.0, 1.0, -1.0]) * min(0.25 * min(nx, ny), 1.0)
        east, north = self._sky(step, 0.0 * step), self._sky(0.0 * step, step)
        self._cd = np.stack([east[1] - east[2], north[1] - north[2]], axis=-1) / (2.0 * step[1])

    def _sky(self, u: Floats, v: Floats) -> Floats:
        """Tangent-plane coordinates (k, 2) in degrees of pixels counted from the middle."""
        vectors = self._grid.sky(u + self._middle[0], v + self._middle[1])
        x, y = Grid(cards_text(self._cards(np.eye(2))), (1, 1)).pixel(vectors)
        found = np.stack([x, y], axis=-1)
        if not np.isfinite(found).all():
            raise InputError(
                "Bad original header template. Part of the image is not on the sky, or 90 degrees from its middle"
            )
        return found

    def _cards(self, cd: Floats) -> dict[str, Any]:
        header = self._grid.to_header()
        kept = {key: header[key] for key in ("RADESYS", "EQUINOX") if key in header}
        told: dict[str, Any] = {f"CTYPE{i}": f"{header[f'CTYPE{i}'][:4]}-TAN" for i in (1, 2)}
        told |= {"CRVAL1": self._lon, "CRVAL2": self._lat, "CRPIX1": 1.0, "CRPIX2": 1.0}
        return told | {f"CD{i + 1}_{j + 1}": float(cd[i, j]) for i in (0, 1) for j in (0, 1)} | kept

    def solve(self, u: Floats, v: Floats) -> None:
        """Fit at pixels (k,) counted from the middle."""
        focal = self._focal(u, v)
        linear = _Poly.fitted(max(self._order, 1), u, v, focal).values[:2].T  # what is linear belongs to the matrix
        self._cd = self._cd @ linear
        focal = self._focal(u, v)
        pixels = np.stack([u, v], axis=-1)
        self._ahead = _Poly.fitted(self._order, u, v, focal - pixels, least=2) if self._order > 1 else None
        # Back from where the polynomial puts pixels, so that there and back is the same.
        there = pixels + (0.0 if self._ahead is None else self._ahead.at(u, v))
        self._back = _Poly.fitted(self._order, there[:, 0], there[:, 1], pixels - there) if self._ahead else None

    def _focal(self, u: Floats, v: Floats) -> Floats:
        return np.asarray(np.linalg.solve(self._cd, self._sky(u, v).T).T)

    def errors(self, u: Floats, v: Floats) -> tuple[float, float, float, float]:
        """Largest errors along x and y, ahead and back, at pixels (k,) counted from the middle."""
        pixels, focal = np.stack([u, v], axis=-1), self._focal(u, v)
        there = pixels + (0.0 if self._ahead is None else self._ahead.at(u, v))
        back = focal + (0.0 if self._back is None else self._back.at(*focal.T))
        ahead_x, ahead_y = np.abs(there - focal).max(axis=0)
        back_x, back_y = np.abs(back - pixels).max(axis=0)
        return float(ahead_x), float(ahead_y), float(back_x), float(back_y)

    def grid(self) -> Grid:
        """The grid by its cards."""
        cards = self._cards(self._cd) | {"CRPIX1": self._middle[0] + 1.0, "CRPIX2": self._middle[1] + 1.0}
        if self._ahead is not None and self._back is not None:
            cards |= {f"CTYPE{i}": f"{cards[f'CTYPE{i}']}-SIP" for i in (1, 2)}
            cards |= self._ahead.cards("A", "B", self._order) | self._back.cards("AP", "BP", self._order)
        return Grid.from_header(cards, self._grid.shape)
