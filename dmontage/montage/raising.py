"""Montage's functions, which raise `dmontage.InputError` where those of `dmontage.montage` say "status" "1"."""

from dmontage.montage.fix_nan import mFixNaN
from dmontage.montage.project import mProject, mProjectCube, mProjectPP, mProjectQL
from dmontage.montage.project_exec import mProjExec
from dmontage.montage.shrink import mShrink
from dmontage.montage.subimage import mSubimage
from dmontage.montage.viewer import mViewer

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
