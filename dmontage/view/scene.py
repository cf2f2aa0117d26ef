"""Scene: what a picture shows, as a value: made by ``dmontage view`` and by mViewer's words, drawn by `draw`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dmontage.places import Place

__all__ = ["Band", "Overlay", "Scene"]

_KINDS = ("grid", "catalog", "images", "marker", "label", "compass", "scale bar")


@dataclass(frozen=True)
class Band:
    """An image, and how its values are shown."""

    path: Place
    hdu: int | str | None = None
    stretch: str | None = None
    """That of the method if None."""
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True)
class Overlay:
    """Something that is drawn over the picture."""

    kind: str
    """"grid", "catalog", "images", "marker", "label", "compass" or "scale bar"."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What its function in `dmontage.view` takes besides the axes."""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InputError(f"overlay {self.kind!r} is not known; give one of {', '.join(_KINDS)}")


@dataclass(frozen=True)
class Scene:
    """One image in a colour map, or three in colour, and what is drawn over them."""

    bands: tuple[Band, ...]
    """One, or red, green and blue."""
    cmap: str = "gray"
    """Of one image."""
    method: str = "stretch"
    """Of three: "stretch", "lupton" or "ratio", as `dmontage.view.colour.colour` has them."""
    power: float = 2.0
    """Of "ratio"."""
    softening: float | None = None
    """Of asinh, as `dmontage.view.norm.norm` has it (``a``)."""
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    max_side: int | None = 2000
    """Pixels of the picture's larger side at most; None: those of the image."""
    overlays: tuple[Overlay, ...] = ()
    bare: bool = False
    """Whether there is nothing beside the picture: the lines of a grid are labelled inside then."""

    def __post_init__(self) -> None:
        if len(self.bands) not in (1, 3):
            raise InputError(f"a picture is made of one image or of three (red, green, blue), not {len(self.bands)}")
