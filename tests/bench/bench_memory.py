"""Peak memory of a mosaic that is larger than the memory it may have, beside peers, each in a process of its own.

    python tests/bench/bench_memory.py [--limit 480] [--times 1.5] [--more 10] [--json FILE]

Images of 1024 × 1024 pixels of noise are scattered over a square grid, whose mosaic (4 bytes of mean and 4 of area a
pixel) is ``--times`` the limit; dmontage makes one ``--more`` times it too. Tools that can be told are: dmontage
(memory_limit), SWarp (MEM_MAX), reproject (intermediate arrays on disk). Peaks are resident memory, mapped files
included; for Montage that of its largest program.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this tree's dmontage, whichever is installed

import numpy as np  # noqa: E402
from astropy.io import fits  # noqa: E402
from bench_mosaic import MISSING, Field, field, measure, tools  # noqa: E402
from headers import DEC, RA, header  # noqa: E402
from results import Figure, absent, json_option, write  # noqa: E402

from dmontage.grid import Grid  # noqa: E402

SIDE = 1024


def survey(folder: Path, n: int, side: int) -> Field:
    """``n`` images of noise at random within a grid of ``side`` pixels, a little turned."""
    rng = np.random.default_rng(1)
    raw = folder / "raw"
    raw.mkdir()
    values = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
    for k in range(n):
        dx, dy = rng.uniform(-0.5, 0.5, 2) * (side - 1.1 * SIDE) / 3600
        place = {"CRVAL1": RA + dx / np.cos(np.radians(DEC)), "CRVAL2": DEC + dy, "BITPIX": -32}
        head = header(SIDE, turn=rng.uniform(-1, 1), **place)
        fits.PrimaryHDU(np.roll(values, k), head).writeto(raw / f"i{k:04d}.fits")
    found = field(raw, folder)
    grid = Grid.from_header(header(side))
    found.template.write_text(grid.to_template())
    return found._replace(grid=grid)


def main() -> None:
    """One table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=480, help="MB")
    parser.add_argument("--times", type=float, default=1.5)
    parser.add_argument("--more", type=float, default=10, help="0 for none")
    json_option(parser)
    options = parser.parse_args()
    title = f"Peak memory, where {options.limit} MB are allowed"
    figures = []
    chosen = [tool for tool in tools(2, "montage,swarp,reproject") if tool.cores == 2]
    for times in filter(None, (options.times, options.more)):
        side = int(np.sqrt(times * options.limit * 1e6 / 8))
        work = f"a mosaic of {times:g} times that, {side} pixels a side"
        with tempfile.TemporaryDirectory() as name:
            made = survey(Path(name), int(25 * times), side)
            for tool in chosen if times == options.times else chosen[:1]:
                try:
                    done = measure(tool._replace(memory=options.limit), made)
                except RuntimeError as error:  # a tool that cannot is no reason to lose the others
                    print(error, file=sys.stderr)
                    figures.append(Figure(title, f"{work}, MB", tool.label, None, "", "fails", float(options.limit)))
                    continue
                print(f"  {work}: {tool.label:<32} {done.peak_mb:8.0f} MB {done.seconds:8.1f} s", flush=True)
                figures.append(Figure(title, f"{work}, MB", tool.label, done.peak_mb, "", "", float(options.limit)))
                figures.append(Figure(title, f"{work}, seconds", tool.label, done.seconds))
        figures += [absent(title, f"{work}, MB", tool.label) for tool in MISSING if times == options.times]
    write(figures, options.json)


if __name__ == "__main__":
    main()
