"""Montage's names over this engine (level 7): what scripts and notebooks of MontagePy call.

Functions have MontagePy's names and arguments and return its dictionaries: "status" "0", or "1" with "msg" (text). So
far there is mViewer.
"""

from dmontage.montage.viewer import mViewer

__all__ = ["mViewer"]
