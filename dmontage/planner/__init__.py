"""The plan: everything is decided here, before a byte moves (level 3).

Pure: images and a grid in, a `MosaicPlan` out. It knows each image's windows on the mosaic grid and the kernel that its
error bound allows, which pairs overlap, how tasks are batched, what is read and written, and refuses what cannot be.
Windows of rows and pairs are in the grid's pixels, and may lie beyond its edge; chunks never do.

`make` decides, `checks` refuses, `plan` is what was decided; `rows`, `margin`, `photometry`, `combining` and
`batching` are parts of it. `memory`, by `task_memory`, tells how a run keeps to its limit, `estimate` how long it
takes, `suspects` which inputs look wrong, `bands` are several plans on one grid, `names` are images as users call them,
`text` says it all.
"""

from dmontage.planner.bands import BandPlans, band_ending
from dmontage.planner.checks import check_words, positive
from dmontage.planner.combining import COMBINES
from dmontage.planner.make import BACKGROUNDS, METHODS, UNITS, make_plan, overlap_pairs
from dmontage.planner.names import numbers_of
from dmontage.planner.photometry import same_scale
from dmontage.planner.plan import MosaicPlan
from dmontage.planner.rows import Footprint, kernel_for, row_digest
from dmontage.planner.suspects import deviation_warnings, far_hint
from dmontage.planner.text import human, some

__all__ = [
    "BACKGROUNDS",
    "COMBINES",
    "METHODS",
    "UNITS",
    "BandPlans",
    "Footprint",
    "MosaicPlan",
    "band_ending",
    "check_words",
    "deviation_warnings",
    "far_hint",
    "human",
    "kernel_for",
    "make_plan",
    "numbers_of",
    "overlap_pairs",
    "positive",
    "row_digest",
    "same_scale",
    "some",
]
