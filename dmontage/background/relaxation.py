"""Relaxation: the iteration of the Montage papers, for comparison and for those who must reproduce it (level 3).

Every image is moved by half of what its neighbours ask for in the mean, all images at once, until none moves any more.
What a neighbour asks for is the fitted difference less what both were moved by already; the mean is the plane that fits
all of an image's differences best. Levels are moved first, and slopes with them after a quarter of the steps, or when
the levels have come to rest: as in Montage. This is damped block Jacobi on the normal equations of `System`: it ends
where the direct solution without a prior is, but a wave over k images takes some k² steps, or k⁴ with slopes.

References
----------
Berriman et al. 2003, ADASS XII, 343; Jacob et al. 2009, IJCSE 4, 73.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dmontage.background.normal import System
    from dmontage.background.tables import Floats, Ints

__all__ = ["relax"]


def relax(
    system: System, w: Floats, difference: Floats, free: Ints, tolerance: float, max_steps: int
) -> tuple[Floats, int, bool]:
    """(3n,) internal parameters, the steps that were taken, and whether no image moved by `tolerance` in the last.

    Parameters
    ----------
    w, difference
        Information (m, 3, 3) and differences (m, 3) of the pairs.
    free
        Positions among the 3n of the parameters that may change.
    """
    p = np.zeros_like(system.unit)
    steps, converged = 0, True
    for some, most in ((free[free % 3 == 0], max_steps // 4), (free, max_steps)):
        half = _half_of_the_mean(system, w, some)
        converged = not some.size
        while not converged and steps < most:
            asked = system.right(w, system.residuals(difference, p)).reshape(-1, 3, 1)
            move = (half @ asked).ravel()
            p += move
            steps += 1
            converged = bool(np.abs(move).max() <= tolerance)
    return p, steps, converged


def _half_of_the_mean(system: System, w: Floats, free: Ints) -> Floats:
    """(n, 3, 3) from what an image is asked for in all to half of the plane that fits it best, in what may change."""
    n = system.unit.size // 3
    blocks = np.zeros((n, 3, 3))
    for side in (slice(0, 3), slice(3, 6)):
        part = system.design[:, :, side]
        np.add.at(blocks, system.index[:, side][:, 0] // 3, np.swapaxes(part, 1, 2) @ (w @ part))
    movable = np.zeros(3 * n, bool)
    movable[free] = True
    flags = movable.reshape(n, 3)
    blocks *= flags[:, :, None] & flags[:, None, :]
    # Where differences do not fix a plane, the smallest one.
    return 0.5 * np.asarray(np.linalg.pinv(blocks, rcond=1e-10, hermitian=True))
