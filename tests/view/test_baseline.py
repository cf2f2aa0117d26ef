"""Pictures of a small made sky against those that were looked at: a nebula, stars of three colours, a blank corner.

Run this file to write them anew, and look at every one: `PYTHONPATH=. python tests/view/test_baseline.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dmontage.view.colour import colour
from dmontage.view.picture import picture
from dmontage.view.save import save

BASELINE = Path(__file__).parent / "baseline"
SHAPE = (96, 128)
STARS = ((20, 100, 9e3, 0), (70, 30, 3e3, 1), (50, 90, 900, 2), (80, 110, 300, 1), (15, 25, 2e4, 2), (40, 60, 500, 0))
"""Row, column, peak, and the band in which a star is brightest."""


def sky(band: int) -> NDArray[np.float32]:
    """Red (0), green or blue (2): noise of 5 about 100, a nebula of 60 at most, reddest in the middle, and stars."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    noise = np.random.Generator(np.random.MT19937(band)).uniform(-1, 1, (4, *SHAPE)).sum(axis=0)
    r2 = ((y - 50) / 22) ** 2 + ((x - 62) / 34) ** 2
    image = 100 + 5 * noise + 60 * np.exp(-r2 * (0.4 + 0.3 * band)) * (1 + 0.3 * np.sin(x / 5 + y / 9))
    for row, column, peak, brightest in STARS:
        image += peak * 0.6 ** abs(band - brightest) * (1 + ((y - row) ** 2 + (x - column) ** 2) / 2.5) ** -2.5
    image[:12, :20] = np.nan
    return np.asarray(image, dtype=np.float32)


PICTURES: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "gaussian-log": lambda: picture(sky(1)),
    "asinh-viridis": lambda: picture(sky(1), stretch="asinh", high="99.5%", cmap="viridis"),
    "shrunk": lambda: picture(sky(1), max_side=50, contrast=1.3),
    "stretch": lambda: colour(sky(0), sky(1), sky(2)),
    "ratio": lambda: colour(sky(0), sky(1), sky(2), method="ratio", power=2.5),
    "lupton": lambda: colour(sky(0), sky(1), sky(2), method="lupton", saturation=1.3),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_as_it_was_when_it_was_looked_at(name: str, tmp_path: Path) -> None:
    """Within 2 of 255 at every pixel, and 0.2 in the mean: libraries differ in last bits, and bins of a histogram."""
    save(PICTURES[name](), tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as seen, Image.open(BASELINE / f"{name}.png") as wanted:
        assert (seen.mode, seen.size) == (wanted.mode, wanted.size)
        difference = np.abs(np.asarray(seen).astype(int) - np.asarray(wanted))
    assert difference.max() <= 2 and difference.mean() <= 0.2


def main() -> None:
    BASELINE.mkdir(exist_ok=True)
    for name, make in PICTURES.items():
        save(make(), BASELINE / f"{name}.png")


if __name__ == "__main__":
    main()
