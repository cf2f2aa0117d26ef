"""Montage's functions, which raise `dmontage.InputError` where those of `dmontage.montage` say "status" "1"."""

from dmontage.montage.add import mAdd
from dmontage.montage.add_exec import mAddExec
from dmontage.montage.background import mBackground, mBgExec, mFlatten
from dmontage.montage.background_model import mBgModel
from dmontage.montage.coord import mCoord, mPix2Coord
from dmontage.montage.dag_tables import mDAGTbls
from dmontage.montage.diff import mDiff
from dmontage.montage.diff_fit import mDiffExec, mDiffFitExec, mFitExec
from dmontage.montage.edit_header import mGetHdr, mPutHdr, mTileHdr
from dmontage.montage.examine import mExamine
from dmontage.montage.fit_files import mConcatFit, mDiffFit
from dmontage.montage.fitplane import mFitplane
from dmontage.montage.fix_nan import mFixNaN
from dmontage.montage.hdr import mHdr
from dmontage.montage.histogram import mHistogram
from dmontage.montage.imgtbl import mImgtbl
from dmontage.montage.makehdr import mMakeHdr
from dmontage.montage.overlaps import mOverlaps
from dmontage.montage.project import mProject, mProjectCube, mProjectPP, mProjectQL
from dmontage.montage.project_exec import mProjExec
from dmontage.montage.shrink import mShrink
from dmontage.montage.subimage import mSubimage
from dmontage.montage.subset import mCoverageCheck, mSubset
from dmontage.montage.tanhdr import mTANHdr
from dmontage.montage.viewer import mViewer

__all__ = [
    "mAdd",
    "mAddExec",
    "mBackground",
    "mBgExec",
    "mBgModel",
    "mConcatFit",
    "mCoord",
    "mCoverageCheck",
    "mDAGTbls",
    "mDiff",
    "mDiffExec",
    "mDiffFit",
    "mDiffFitExec",
    "mExamine",
    "mFitExec",
    "mFitplane",
    "mFixNaN",
    "mFlatten",
    "mGetHdr",
    "mHdr",
    "mHistogram",
    "mImgtbl",
    "mMakeHdr",
    "mOverlaps",
    "mPix2Coord",
    "mProjExec",
    "mProject",
    "mProjectCube",
    "mProjectPP",
    "mProjectQL",
    "mPutHdr",
    "mShrink",
    "mSubimage",
    "mSubset",
    "mTANHdr",
    "mTileHdr",
    "mViewer",
]
