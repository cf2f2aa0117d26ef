"""Montage's functions, which raise `dmontage.InputError` where those of `dmontage.montage` say "status" "1"."""

from dmontage.montage.hdr import mHdr
from dmontage.montage.imgtbl import mImgtbl
from dmontage.montage.viewer import mViewer

__all__ = [
    "mHdr",
    "mImgtbl",
    "mViewer",
]
