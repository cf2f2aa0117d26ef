"""Montage's functions, which raise `dmontage.InputError` where those of `dmontage.montage` say "status" "1"."""

from dmontage.montage.add import mAdd
from dmontage.montage.add_exec import mAddExec
from dmontage.montage.hdr import mHdr
from dmontage.montage.histogram import mHistogram
from dmontage.montage.imgtbl import mImgtbl
from dmontage.montage.project import mProject, mProjectCube, mProjectPP, mProjectQL
from dmontage.montage.project_exec import mProjExec
from dmontage.montage.viewer import mViewer

__all__ = [
    "mAdd",
    "mAddExec",
    "mHdr",
    "mHistogram",
    "mImgtbl",
    "mProjExec",
    "mProject",
    "mProjectCube",
    "mProjectPP",
    "mProjectQL",
    "mViewer",
]
