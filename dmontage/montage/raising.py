"""Montage's functions, which raise `dmontage.InputError` where those of `dmontage.montage` say "status" "1"."""

from dmontage.montage.project import mProject, mProjectCube, mProjectPP, mProjectQL
from dmontage.montage.project_exec import mProjExec
from dmontage.montage.viewer import mViewer

__all__ = [
    "mProjExec",
    "mProject",
    "mProjectCube",
    "mProjectPP",
    "mProjectQL",
    "mViewer",
]
