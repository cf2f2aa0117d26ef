"""What must hold of projections, measured on dmontage and its peers: small images, seconds each.

    python tests/bench/bench_accuracy.py [--quick] [--json FILE]

Numbers beside their limits; nothing is asserted. Tools that are not installed are named; a tool that ends with an error
or gives no number says "fails".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this tree's dmontage, whichever is installed

import numpy as np  # noqa: E402
from conformance_projection import (  # noqa: E402
    CLOSURE,
    PROJECTION,
    Check,
    border,
    flux_kept,
    pixfrac_area,
)  # fmt: skip
from figures import Figure, absent, json_option, write  # noqa: E402
from projectors import (  # noqa: E402
    INSTALLED,
    PROJECTORS,
    Projector,
    ToolFailed,
    by_dmontage,
    by_montage,
    by_montagepy,
)  # fmt: skip

Column = tuple[str, Projector]
EXACT: dict[str, Column] = {
    "dmontage": ("dmontage", by_dmontage("sky")),
    "dmontage, auto": ("dmontage", by_dmontage()),
    **{name: column for name, column in PROJECTORS.items() if name != "dmontage"},
}
OPTIONS: list[tuple[Check, dict[str, Column]]] = [
    (Check("C5 counts a pixel keep their total", 1e-9, flux_kept), {
        "dmontage": ("dmontage", by_dmontage("sky", unit="flux_per_pixel")),
        "mProject": ("Montage", by_montage("mProject", "-e")),
        "mProjectPP": ("Montage", by_montage("mProjectPP", "-e")),
        "MontagePy mProject": ("MontagePy", by_montagepy("mProject", energyMode=True)),
    }),
    (Check("C6 area of drops of half the side", 1e-9, pixfrac_area), {
        "dmontage": ("dmontage", by_dmontage("sky", pixfrac=0.5)),
        "mProject": ("Montage", by_montage("mProject", "-z", "0.5")),
        "mProjectPP": ("Montage", by_montage("mProjectPP", "-z", "0.5")),
        "MontagePy mProject": ("MontagePy", by_montagepy("mProject", drizzle=0.5)),
    }),
    (Check("C9 a border of 3 pixels", 1e-9, border), {
        "dmontage": ("dmontage", by_dmontage("sky", border=3)),
        "mProject": ("Montage", by_montage("mProject", "-b", "3")),
        "mProjectPP": ("Montage", by_montage("mProjectPP", "-b", "3")),
        "MontagePy mProject": ("MontagePy", by_montagepy("mProject", borderstr="3")),
    }),
]  # fmt: skip


def figures(title: str, check: Check, columns: dict[str, Column]) -> Iterable[Figure]:
    """One statement, all tools."""
    for name, (tool, project) in columns.items():
        if not INSTALLED[tool]:
            yield absent(title, check.work, name)._replace(limit=check.limit, unit=check.unit)
            continue
        try:
            value = check.measure(project)
            note = "" if np.isfinite(value) else "no number"
        except ToolFailed as error:
            print(f"{check.work}, {name}: {error}", file=sys.stderr)
            value, note = np.nan, "fails"
        made = Figure(title, check.work, name, value if np.isfinite(value) else None, check.unit, note, check.limit)
        print(f"  {check.work:<55} {name:<20} {value:10.2e}   limit {check.limit:.0e}", flush=True)
        yield made


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the first two lines of each table")
    json_option(parser)
    options = parser.parse_args()
    some = slice(2 if options.quick else None)
    found: list[Figure] = []
    for title, checks in (("Flux closure", CLOSURE[some]), ("Projection", PROJECTION[some])):
        print(title)
        for check in checks:
            found.extend(figures(title, check, EXACT))
    print("Options of projection")
    for check, columns in OPTIONS[some]:
        found.extend(figures("Options of projection", check, columns))
    write(found, options.json)


if __name__ == "__main__":
    main()
