"""Montage's functions, which raise `dmontage.InputError` where those of `dmontage.montage` say "status" "1"."""

from dmontage.montage.background import mBackground, mBgExec, mFlatten
from dmontage.montage.background_model import mBgModel
from dmontage.montage.diff import mDiff
from dmontage.montage.diff_fit import mDiffExec, mDiffFitExec, mFitExec
from dmontage.montage.fitplane import mFitplane
from dmontage.montage.overlaps import mOverlaps
from dmontage.montage.viewer import mViewer

__all__ = [
    "mBackground",
    "mBgExec",
    "mBgModel",
    "mDiff",
    "mDiffExec",
    "mDiffFitExec",
    "mFitExec",
    "mFitplane",
    "mFlatten",
    "mOverlaps",
    "mViewer",
]
