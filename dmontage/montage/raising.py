"""Montage's functions, which raise `dmontage.InputError` where those of `dmontage.montage` say "status" "1"."""

from dmontage.montage.add import mAdd
from dmontage.montage.viewer import mViewer

__all__ = [
    "mAdd",
    "mViewer",
]
