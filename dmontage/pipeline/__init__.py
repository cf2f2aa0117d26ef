"""The pipeline: scan, plan, project, fit, solve, coadd, write (level 5).

`mosaic` decides everything and computes nothing; a `Mosaic` is a value with a store behind it. Its stages run
when pixels are first asked for. Images that the store holds are not projected again; fit, solve and coadd run anew.
"""

from dmontage.pipeline.api import mosaic, plan
from dmontage.pipeline.image import project
from dmontage.pipeline.products import product_paths
from dmontage.pipeline.stages import Cutout, Mosaic, Pixels
from dmontage.pipeline.summary import Summary
from dmontage.pipeline.uncertainty import ErrorMap

__all__ = ["Cutout", "ErrorMap", "Mosaic", "Pixels", "Summary", "mosaic", "plan", "product_paths", "project"]
