"""Montage's functions, which raise `dmontage.InputError` where those of `dmontage.montage` say "status" "1"."""

from dmontage.montage.add import mAdd
from dmontage.montage.add_exec import mAddExec
from dmontage.montage.background import mBackground, mBgExec, mFlatten
from dmontage.montage.background_model import mBgModel
from dmontage.montage.diff import mDiff
from dmontage.montage.diff_fit import mDiffExec, mDiffFitExec, mFitExec
from dmontage.montage.fitplane import mFitplane
from dmontage.montage.hdr import mHdr
from dmontage.montage.histogram import mHistogram
from dmontage.montage.imgtbl import mImgtbl
from dmontage.montage.overlaps import mOverlaps
from dmontage.montage.project import mProject, mProjectCube, mProjectPP, mProjectQL
from dmontage.montage.project_exec import mProjExec
from dmontage.montage.viewer import mViewer

__all__ = [
    "mAdd",
    "mAddExec",
    "mBackground",
    "mBgExec",
    "mBgModel",
    "mDiff",
    "mDiffExec",
    "mDiffFitExec",
    "mFitExec",
    "mFitplane",
    "mFlatten",
    "mHdr",
    "mHistogram",
    "mImgtbl",
    "mOverlaps",
    "mProjExec",
    "mProject",
    "mProjectCube",
    "mProjectPP",
    "mProjectQL",
    "mViewer",
]
