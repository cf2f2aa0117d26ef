"""The corrections of all images at once, from the fitted differences of their overlaps (level 3).

Pure arithmetic on small tables: knows no pixels, files or dask.

- `tables` is what comes in and `solution` what goes out; `prior` says how far slopes may differ, `groups` what
  differences can tell at all, `normal` holds the equations, and `solver` goes through all of them in turn
- `dissection` and `factor` are the sparse algebra: solutions, and every image's covariance by selected inversion
- `robust` finds the pairs that disagree and what all disagree by; `modes` names the waves that are badly known
- `relaxation` is the Montage papers' own iteration

Notation::

    p_i         (level, slope_x, slope_y) of image i about its own centre
    A_ki        takes p_i to the origin of pair k: level + slope_x dx + slope_y dy, slope_x, slope_y
    f_k, W_k    fitted difference plus - minus of pair k at its origin, and its information matrix
    s_k         share of pair k in its information: 2/n where n images lie on one another
    τ           standard deviation of the Gaussian prior on each slope
    κ           misfit: what pairs disagree by beyond their stated errors

minimize  Σ_k s_k ‖A_k,plus p_plus - A_k,minus p_minus - f_k‖²_W/(1 + κ² W₀₀) + Σ_i (slope_x² + slope_y²)/τ²

**Gauge.** Differences say nothing of a level common to a connected group of images, nor, without a prior, of a common
plane. One image per group is pinned, the rest solved for and refined once from the residuals, then the group is moved
along these exact null vectors to zero mean level (and zero mean slope: the smallest gradient), of all its images or of
its anchors. A ridge in the place of the pin bends the largest scales: its pull is the same on all of them, and the
data's is weakest there. Locked images have no parameters; a group that has one needs no gauge.

**Prior.** Errors of free slopes add up over many images to waves across the mosaic. The prior's variance comes from
the data: the slope difference of a pair has the variance 2τ² + its own, so a moment estimate with weights
1/(2τ² + own)² (those of maximum likelihood) is iterated. τ = 0 leaves levels only. A τ so wide that rounding hides its
pull is taken for its limit, no prior and the smallest gradient.

**Shares.** The n (n - 1)/2 pairs of n images on one another repeat the noise of n. Weighted by 2/n they give the
estimate, and the covariance, of a fit to the images themselves: Σ_{i<j} (v_i - v_j)²/n = Σ_i (v_i - mean)².

**Thin overlaps.** A pair whose information is singular (an overlap of one row of pixels) fixes no plane. Without a
prior, a group that is not connected through its other pairs gets levels only, and is listed.

**No quadratic terms.** They would be worse constrained than slopes, whose errors reach across the mosaic already; what
planes do not describe is measured instead, as the misfit, and enters the stated errors.
"""

from dmontage.background.modes import LargeScale, Mode, error_beyond_a_plane, large_scale
from dmontage.background.solution import Remainders, Solution
from dmontage.background.solver import solve
from dmontage.background.tables import ImageFrame, PairTable

__all__ = [
    "ImageFrame",
    "LargeScale",
    "Mode",
    "PairTable",
    "Remainders",
    "Solution",
    "error_beyond_a_plane",
    "large_scale",
    "solve",
]
