"""The pipeline: scan, plan, project, fit, solve, coadd, write (level 5).

`mosaic` decides everything and computes nothing; a `Mosaic` is a value with a store behind it. Its stages run once,
when pixels are first asked for, and are not run again when the store already holds what they would make.
"""

from dmontage.pipeline.api import mosaic, plan
from dmontage.pipeline.stages import Cutout, Mosaic, Pixels
from dmontage.pipeline.summary import Summary

__all__ = ["Cutout", "Mosaic", "Pixels", "Summary", "mosaic", "plan"]
