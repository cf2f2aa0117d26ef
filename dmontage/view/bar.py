"""Colour bars of stretched pictures: ticks where brightness has even steps, and labels that are short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.colorbar import Colorbar

__all__ = ["add_color_bar", "even_ticks", "short"]


def add_color_bar(ax: Any, shown: Any, label: str = "", *, whole: bool = False) -> Colorbar:
    """A bar of the values beside axes of matplotlib.

    matplotlib's own, ``figure.colorbar``, crowds its ticks at the bright end of a stretch: its values are round, and
    a stretch that follows the histogram has no room for them. For axes of `dmontage.view.figure.figure` there is
    `dmontage.view.figure.color_bar`, which keeps clear of what is labelled beside them.

    Parameters
    ----------
    ax
        Axes, which become smaller by the bar.
    shown
        What ``imshow`` gave.
    label
        Of the values, as their unit.
    whole
        Label whole numbers only, as counts have.

    Returns
    -------
    Colorbar
        matplotlib's.
    """
    bar: Colorbar = ax.figure.colorbar(shown, ax=ax, label=label, fraction=0.046, pad=0.03)
    even_ticks(bar, shown.norm, whole=whole)
    return bar


def even_ticks(bar: Colorbar, norm: Any, *, whole: bool = False) -> None:
    """Label a colour bar where brightness has even steps; one of another norm than ours stays as it is.

    ``whole`` labels whole numbers only, where there are any.
    """
    from dmontage.view.normalize import Norm

    if isinstance(norm, Norm) and (values := norm.ticks(whole=whole)).size:
        bar.set_ticks(values.tolist(), labels=[short(float(value)) for value in values])


def short(value: float) -> str:
    """A number in few characters: 0.05, 12000, 1.5e6."""
    mantissa, _, power = f"{value:.6g}".partition("e")
    return f"{mantissa}e{int(power)}" if power else mantissa
