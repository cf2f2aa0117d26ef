"""Pixel-to-pixel mapping between two grids: Chebyshev polynomials with a checked bound (level 2).

Between two pixel grids the map is smooth almost everywhere. X(x, y) and Y(x, y) of an image's pixels in output pixels
are interpolated at Chebyshev nodes of the exact WCS chain (pixel → sky → frame → sky → pixel) and checked at other
points; the degree is raised, or the window split, until the check holds. What could slip between any check points is
known beforehand: an image near a singular place of its own or of the output's projection (seams, poles, limbs, edges of
facets), or with a fold, or with kinks at unknown places, is *cut*, and the sphere must be used. Lookup tables are
applied exactly before the polynomial. Grids that differ by whole pixels of CRPIX map by that shift exactly.

The other question is which pixels may meet at all: `Patch.sources` tells it for the plane by the map itself, and
`sky_sources` and `sky_windows` for the sphere by bounding caps.

All lengths here are in output pixels. The bound that decides between the kernels is the sum of

- the mapping's own error, twice the largest seen at the check points (each patch tells its own);
- the sagitta of pixel edges: a pixel is the polygon through its corners with great circles for edges, the plane kernel
  joins them by straight lines of the output plane (edges of the input and of the output pixels both count);
- half the relative change of Ω across an output pixel, which the plane kernel takes as constant.

The rounding of the WCS (at most 2e-9 px at 1", 2e-3 px at 1 µas) is reported beside it and decides nothing.
"""

from dmontage.mapping.chain import Chain, Chart
from dmontage.mapping.fit import affordable_parts, fit_mapping
from dmontage.mapping.nouns import TOL, Mapping
from dmontage.mapping.patch import Patch
from dmontage.mapping.reach import apart, sky_sources, sky_windows

__all__ = [
    "TOL",
    "Chain",
    "Chart",
    "Mapping",
    "Patch",
    "affordable_parts",
    "apart",
    "fit_mapping",
    "sky_sources",
    "sky_windows",
]
