"""Match: from the overlaps of a plan's rows to the corrections of its images, and back to planes of rows.

The solve speaks of images, the store of rows. An image has one plane, told in the mosaic's pixels about its middle; a
row of an image that a seam cuts sees it through an affine map, by way of the tangent plane on the sky.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from dmontage.background import PairTable, Solution, solve
from dmontage.grid.tangent import Tangents, offsets, sky_at, tangents
from dmontage.pipeline.overlap_geometry import Overlaps, overlap_geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.model import PlaneFit
    from dmontage.planner import MosaicPlan

    Floats = NDArray[np.float64]

__all__ = ["Match", "pair_arguments"]

_BENT = 0.05
"""Of half an image: a row in which the tangent plane departs further from an affine map has no slopes."""


def pair_arguments(plan: MosaicPlan) -> list[list[tuple[int, int, float]]]:
    """Per batch: (plus, minus, what projection enlarges the covariance by) of each pair."""
    ratio = plan.ratios
    # The coarser image's noise is the more correlated: it rules how many differences are independent.
    coarser = [(p.plus, p.minus, min(ratio[p.plus], ratio[p.minus])) for p in plan.pairs]
    pairs = [(plus, minus, plan.correlation(least) ** 2) for plus, minus, least in coarser]
    return [[pairs[i] for i in batch] for batch in plan.pair_batches]


@dataclass(frozen=True)
class Match:
    """A plan's images and rows, as the solve sees them."""

    plan: MosaicPlan

    @cached_property
    def main_rows(self) -> NDArray[np.int64]:
        """(n,) the largest row of each image."""
        main: dict[int, int] = {}
        rows = self.plan.rows
        for i, image in enumerate(self.plan.image_of):
            main[image] = max(main.get(image, i), i, key=lambda k: (rows[k].window.size, -k))
        return np.array([main[image] for image in range(self.plan.n_images)], np.int64)

    @cached_property
    def frames(self) -> Floats:
        """(n, 3) x, y of the images' middles and half their sizes, mosaic pixels."""
        out = []
        for i in self.main_rows:
            row = self.plan.rows[i]
            side = max(row.window.shape)
            if not row.mapping.cut:
                side = max(row.image.grid.shape) * row.mapping.pixel_ratio
            out.append((*row.middle, side / 2))
        return np.array(out, float).reshape(-1, 3)

    @cached_property
    def overlaps(self) -> Overlaps:
        """The geometry of the pairs."""
        return overlap_geometry(self.plan)

    @cached_property
    def origins(self) -> Floats:
        """(n, 3) ICRS unit vectors of the planes' origins."""
        return sky_at(self.plan.grid, self.frames[:, :2])

    def _on_sky(self, pixels: Floats, images: NDArray[np.int64], sizes: Floats) -> Tangents:
        """Tangent planes of some images about pixels (k, 2) of windows of some sizes (k,)."""
        return tangents(self.plan.grid, pixels, self.origins[images], np.maximum(sizes / 4, 1.0))

    @cached_property
    def views(self) -> Floats | None:
        """(rows, 2, 3) affine maps from the mosaic's pixels to those of the image's plane; None for identity all."""
        plan, image_of = self.plan, np.array(self.plan.image_of)
        others = np.setdiff1d(np.arange(len(plan.rows)), self.main_rows)
        if not others.size:
            return None
        views = np.tile(np.eye(2, 3), (len(plan.rows), 1, 1))
        images = image_of[others]
        middles = np.array([plan.rows[i].middle for i in others])
        sizes = np.array([min(plan.rows[i].window.shape) for i in others], float)
        there = self._on_sky(middles, images, sizes)
        here = self._on_sky(self.frames[images, :2], images, self.frames[images, 2])
        with np.errstate(invalid="ignore"):
            back = np.linalg.inv(here.turn)
        turn = back @ there.turn
        shift = self.frames[images, :2] + (back @ (there.offset - here.offset)[:, :, None])[:, :, 0]
        views[others, :, :2] = turn
        views[others, :, 2] = shift - (turn @ middles[:, :, None])[:, :, 0]
        # Where there is no tangent plane there is a level only, which takes no view.
        views[~np.isfinite(views).all(axis=(1, 2))] = np.eye(2, 3)
        return views

    @cached_property
    def level_only(self) -> list[int]:
        """Images of several rows that see no plane: the tangent plane is too far from affine in one of them."""
        plan = self.plan
        cut = {image for i, image in enumerate(plan.image_of) if i not in set(self.main_rows.tolist())}
        return sorted({image for i, image in enumerate(plan.image_of) if image in cut and self._is_bent(i, image)})

    def _is_bent(self, i: int, image: int) -> bool:
        window = self.plan.rows[i].window
        x, y = (np.linspace(a - 0.5, b - 0.5, 5) for a, b in ((window.x0, window.x1), (window.y0, window.y1)))
        pixels = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        middle = np.array([self.plan.rows[i].middle])
        about = self._on_sky(middle, np.array([image]), np.array([float(min(window.shape))]))
        true = offsets(sky_at(self.plan.grid, pixels), self.origins[image])
        affine = about.offset[0] + (pixels - middle) @ about.turn[0].T
        limit = _BENT * self.frames[image, 2] * self.plan.grid.scale
        return not bool((np.abs(true - affine) <= limit).all())

    def table(self, fits: Sequence[PlaneFit]) -> PairTable:
        """The fits of the plan's pairs, in their order, between images."""
        image_of = np.array(self.plan.image_of)
        rows = PairTable.of(fits)
        views = None
        if self.views is not None:
            views = np.stack((self.views[rows.plus], self.views[rows.minus]), axis=1)
        return replace(
            rows, plus=image_of[rows.plus], minus=image_of[rows.minus], share=self.overlaps.share, views=views
        )

    def solve(self, fits: Sequence[PlaneFit]) -> Solution:
        """Corrections of the images, from the fitted differences of their rows."""
        plan, matching = self.plan, self.plan.matching
        prior = matching.slope_prior
        if isinstance(prior, (int, float)):
            prior = float(prior) * float(np.degrees(plan.grid.scale))
        return solve(
            self.table(fits),
            self.frames,
            cast("Literal['plane', 'level']", plan.background),
            cast("Any", prior),
            level_only=self.level_only,
            locked=plan.locked,
            anchors=plan.anchors,
            solver=matching.solver,
        )

    def row_planes(self, parameters: Floats) -> Floats:
        """(rows, 5) level, slope_x, slope_y, x0, y0 of the rows, from the images' (n, 3) level, slope_x, slope_y."""
        image_of = np.array(self.plan.image_of)
        p, centres = parameters[image_of], self.frames[image_of, :2]
        planes = np.hstack([p, centres])
        if self.views is None:
            return planes
        seen = np.setdiff1d(np.arange(len(planes)), self.main_rows)
        turn, shift = self.views[seen, :, :2], self.views[seen, :, 2]
        origins = np.array([self.plan.rows[i].middle for i in seen])
        at = (turn @ origins[:, :, None])[:, :, 0] + shift
        planes[seen, 0] = p[seen, 0] + (p[seen, 1:] * (at - centres[seen])).sum(axis=1)
        planes[seen, 1:3] = (p[seen, None, 1:] @ turn)[:, 0]
        planes[seen, 3:] = origins
        return planes
