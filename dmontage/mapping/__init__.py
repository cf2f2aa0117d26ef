"""Pixel-to-pixel mapping between two grids: Chebyshev polynomials with a checked bound (level 2).

Between two pixel grids the map is smooth almost everywhere. X(x, y) and Y(x, y) of an image's pixels in output pixels
are interpolated at Chebyshev nodes of the exact WCS chain (pixel → sky → frame → sky → pixel) and checked at other
points; the degree is raised, or the window split, until the check holds. Where that does not help (seams, poles, folds,
the limb of a projection) the mapping says that it is *cut*, and the sphere must be used. Grids that differ by whole
pixels of CRPIX map by that shift exactly.

All lengths here are in output pixels. The bound that decides between the kernels is the sum of

- the mapping's own error, twice the largest seen at the check points;
- the sagitta of pixel edges: a pixel is the polygon through its corners with great circles for edges, the plane kernel
  joins them by straight lines of the output plane (edges of the input and of the output pixels both count);
- half the relative change of Ω across an output pixel, which the plane kernel takes as constant.

The rounding of the WCS (2e-10 px at 1", 2e-4 px at 1 µas) is reported beside it and decides nothing.
"""

from dmontage.mapping.fit import affordable_parts, fit_mapping
from dmontage.mapping.nouns import TOL, Mapping, Patch

__all__ = ["TOL", "Mapping", "Patch", "affordable_parts", "fit_mapping"]
