"""Montage's toolkit over this engine (level 7): what scripts and notebooks of MontagePy call.

Functions have MontagePy's names and arguments and return its dictionaries: "status" "0" and numbers, or "1" and "msg",
a text. `dmontage.montage.raising` has the same functions without "status": they raise `dmontage.InputError`, which
no script can overlook, and new ones should use them. Each is a call of the engine; files are Montage's: templates
(``.hdr``), IPAC tables (`tables`), ``x.fits`` with ``x_area.fits`` in steradian.
"""

from dmontage.montage import raising
from dmontage.montage.answer import answering

mAdd = answering(raising.mAdd)  # noqa: N816 (Montage's names)
mAddExec = answering(raising.mAddExec)  # noqa: N816
mBackground = answering(raising.mBackground)  # noqa: N816
mBgExec = answering(raising.mBgExec)  # noqa: N816
mBgModel = answering(raising.mBgModel)  # noqa: N816
mDiff = answering(raising.mDiff)  # noqa: N816
mDiffExec = answering(raising.mDiffExec)  # noqa: N816
mDiffFitExec = answering(raising.mDiffFitExec)  # noqa: N816
mFitExec = answering(raising.mFitExec)  # noqa: N816
mFitplane = answering(raising.mFitplane)  # noqa: N816
mFlatten = answering(raising.mFlatten)  # noqa: N816
mHdr = answering(raising.mHdr)  # noqa: N816
mHistogram = answering(raising.mHistogram)  # noqa: N816
mImgtbl = answering(raising.mImgtbl)  # noqa: N816
mOverlaps = answering(raising.mOverlaps)  # noqa: N816
mProjExec = answering(raising.mProjExec)  # noqa: N816
mProject = answering(raising.mProject)  # noqa: N816
mProjectCube = answering(raising.mProjectCube)  # noqa: N816
mProjectPP = answering(raising.mProjectPP)  # noqa: N816
mProjectQL = answering(raising.mProjectQL)  # noqa: N816
mViewer = answering(raising.mViewer)  # noqa: N816

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
