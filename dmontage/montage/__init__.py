"""Montage's toolkit over this engine (level 7): what scripts and notebooks of MontagePy call.

Functions have MontagePy's names and arguments and return its dictionaries: "status" "0" and numbers, or "1" and "msg",
a text. `dmontage.montage.raising` has the same functions without "status": they raise `dmontage.InputError`, which
no script can overlook, and new ones should use them. Each is a call of the engine; files are Montage's: templates
(``.hdr``), IPAC tables (`tables`), ``x.fits`` with ``x_area.fits`` in steradian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmontage.montage.answer import answering

if TYPE_CHECKING:
    from dmontage.montage import raising

    mAdd = answering(raising.mAdd)  # noqa: N816 (Montage's names)
    mAddExec = answering(raising.mAddExec)  # noqa: N816
    mBackground = answering(raising.mBackground)  # noqa: N816
    mBgExec = answering(raising.mBgExec)  # noqa: N816
    mBgModel = answering(raising.mBgModel)  # noqa: N816
    mConcatFit = answering(raising.mConcatFit)  # noqa: N816
    mCoord = answering(raising.mCoord)  # noqa: N816
    mCoverageCheck = answering(raising.mCoverageCheck)  # noqa: N816
    mDAGTbls = answering(raising.mDAGTbls)  # noqa: N816
    mDiff = answering(raising.mDiff)  # noqa: N816
    mDiffExec = answering(raising.mDiffExec)  # noqa: N816
    mDiffFit = answering(raising.mDiffFit)  # noqa: N816
    mDiffFitExec = answering(raising.mDiffFitExec)  # noqa: N816
    mExamine = answering(raising.mExamine)  # noqa: N816
    mFitExec = answering(raising.mFitExec)  # noqa: N816
    mFitplane = answering(raising.mFitplane)  # noqa: N816
    mFixNaN = answering(raising.mFixNaN)  # noqa: N816
    mFlatten = answering(raising.mFlatten)  # noqa: N816
    mGetHdr = answering(raising.mGetHdr)  # noqa: N816
    mHdr = answering(raising.mHdr)  # noqa: N816
    mHistogram = answering(raising.mHistogram)  # noqa: N816
    mImgtbl = answering(raising.mImgtbl)  # noqa: N816
    mMakeHdr = answering(raising.mMakeHdr)  # noqa: N816
    mOverlaps = answering(raising.mOverlaps)  # noqa: N816
    mPix2Coord = answering(raising.mPix2Coord)  # noqa: N816
    mProjExec = answering(raising.mProjExec)  # noqa: N816
    mProject = answering(raising.mProject)  # noqa: N816
    mProjectCube = answering(raising.mProjectCube)  # noqa: N816
    mProjectPP = answering(raising.mProjectPP)  # noqa: N816
    mProjectQL = answering(raising.mProjectQL)  # noqa: N816
    mPutHdr = answering(raising.mPutHdr)  # noqa: N816
    mShrink = answering(raising.mShrink)  # noqa: N816
    mSubimage = answering(raising.mSubimage)  # noqa: N816
    mSubset = answering(raising.mSubset)  # noqa: N816
    mTANHdr = answering(raising.mTANHdr)  # noqa: N816
    mTileHdr = answering(raising.mTileHdr)  # noqa: N816
    mViewer = answering(raising.mViewer)  # noqa: N816

    __all__: list[str] = []
    __all__ += raising.__all__


def __getattr__(name: str) -> Any:
    """Import the functions when one is first used: programs, which are modules of this package, need but one."""
    if name.startswith("m") or name == "__all__":
        from importlib import import_module

        functions = import_module("dmontage.montage.raising")
        if name == "__all__":
            return functions.__all__
        if name in functions.__all__:
            return globals().setdefault(name, answering(getattr(functions, name)))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The functions, before one is used too: sessions complete names by it."""
    return sorted(__getattr__("__all__"))
