"""The background of whole mosaics over several skies, beside peers: how flat, and what is left of extended emission.

    python tests/bench/bench_flatness.py [--seeds 5] [--size 0.5] [--pixels 512,256] [--json FILE]

Skies are `dmontage.demo`'s: noise of 1 a pixel, a plane of ±20 in each image, a tenth shared. Each tool makes its whole
mosaic (`chains.py`). Flatness is the rms of the medians of blocks of 64 × 64 pixels, true emission and one plane over
the mosaic taken out, in noise of a raw pixel; emission kept is the slope of what is found on what is there.
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
from astropy.wcs import WCS  # noqa: E402
from bench_mosaic import MISSING, Tool, field, measure, tools  # noqa: E402
from results import Figure, absent, json_option, write  # noqa: E402

from dmontage.demo.judge_background import emission_kept, measure_blocks, without_plane  # noqa: E402
from dmontage.demo.simulate import simulate  # noqa: E402
from dmontage.demo.truth import Truth  # noqa: E402


def judge(mosaic: Path, truth: Truth) -> tuple[float, float]:
    """Flatness in noise, and the part of the emission that is kept."""
    with fits.open(mosaic) as hdus:
        data, wcs = hdus[0].data.astype(float), WCS(hdus[0].header)
    weight = mosaic.with_name("mosaic.weight.fits")
    if weight.exists():  # SWarp's blanks are zeros
        data[fits.getdata(weight) == 0] = np.nan
    blocks = measure_blocks(data, wcs, truth, 3.0, 1.0)
    flat = without_plane(blocks.residual)
    return float(np.sqrt(np.nanmean(flat**2))) / truth.noise, emission_kept(blocks)[0]


def main() -> None:
    """One table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=float, default=0.5, help="degrees")
    parser.add_argument("--pixels", default="512,256", help="of an image: rows, columns")
    json_option(parser)
    options = parser.parse_args()
    chosen: list[Tool] = [tool for tool in tools(2, "montage,swarp,reproject") if tool.cores == 2]
    found: dict[Tool, list[tuple[float, float]]] = {tool: [] for tool in chosen}
    rows, columns = map(int, options.pixels.split(","))
    for seed in range(1, options.seeds + 1):
        with tempfile.TemporaryDirectory() as name:
            raw = Path(name, "raw")
            truth = simulate(raw, options.size, seed, (rows, columns))
            survey = field(raw, Path(name))
            for tool in chosen:
                measure(tool, survey, lambda path, tool=tool, truth=truth: found[tool].append(judge(path, truth)))  # type: ignore[misc]
    title = f"Background of {options.seeds} skies, each of {survey.about()}"
    print(f"\n{title}")
    figures = []
    for tool, results in found.items():
        flat, kept = np.array(results).T
        print(
            f"  {tool.label:<32} rms {flat.mean():.3f} noise, worst {flat.max():.3f}, emission kept {kept.mean():.3f}"
        )
        numbers = {
            "rms, mean of the skies, noise": flat.mean(), "rms, worst sky, noise": flat.max(),
            "emission lost, mean of the skies": np.abs(1 - kept).mean(),
        }  # fmt: skip
        figures += [Figure(title, work, tool.label, float(value)) for work, value in numbers.items()]
    figures += [absent(title, "rms, mean of the skies, noise", tool.label) for tool in MISSING]
    write(figures, options.json)


if __name__ == "__main__":
    main()
