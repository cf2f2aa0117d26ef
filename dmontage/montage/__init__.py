"""Montage's toolkit over this engine (level 7): what scripts and notebooks of MontagePy call.

Functions have MontagePy's names and arguments and return its dictionaries: "status" "0" and numbers, or "1" and "msg",
a text. `dmontage.montage.raising` has the same functions without "status": they raise `dmontage.InputError`, which
no script can overlook, and new ones should use them. Each is a call of the engine; files are Montage's: templates
(``.hdr``), IPAC tables (`tables`), ``x.fits`` with ``x_area.fits`` in steradian.
"""

from dmontage.montage import raising
from dmontage.montage.answer import answering

mFixNaN = answering(raising.mFixNaN)  # noqa: N816 (Montage's names)
mProjExec = answering(raising.mProjExec)  # noqa: N816
mProject = answering(raising.mProject)  # noqa: N816
mProjectCube = answering(raising.mProjectCube)  # noqa: N816
mProjectPP = answering(raising.mProjectPP)  # noqa: N816
mProjectQL = answering(raising.mProjectQL)  # noqa: N816
mShrink = answering(raising.mShrink)  # noqa: N816
mSubimage = answering(raising.mSubimage)  # noqa: N816
mViewer = answering(raising.mViewer)  # noqa: N816

__all__ = [
    "mFixNaN",
    "mProjExec",
    "mProject",
    "mProjectCube",
    "mProjectPP",
    "mProjectQL",
    "mShrink",
    "mSubimage",
    "mViewer",
]
