"""What must hold of projections, backgrounds, coadds and files, for dmontage and its peers: small images, seconds each.

    python tests/bench/bench_accuracy.py [--quick] [--json FILE]

Numbers beside their limits; nothing is asserted. Tools that are not installed are named; a tool that ends with an error
"fails", and one whose answer has no number in it has "none".
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this tree's dmontage, whichever is installed

from checks import measured  # noqa: E402
from conformance_background import BACKGROUND  # noqa: E402
from conformance_coadd import COADD  # noqa: E402
from conformance_files import FILES  # noqa: E402
from conformance_own import OWN  # noqa: E402
from conformance_projection import CLOSURE, PROJECTION  # noqa: E402
from results import Figure, json_option, write  # noqa: E402

TABLES = {
    "Flux closure": CLOSURE, "Projection": PROJECTION, "Backgrounds": BACKGROUND, "Coadd": COADD,
    "Differences, bits, noise, files": OWN, "Tables, network, cutouts": FILES,
}  # fmt: skip


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the first line of each table")
    json_option(parser)
    options = parser.parse_args()
    some = slice(1 if options.quick else None)
    found: list[Figure] = []
    for title, checks in TABLES.items():
        found.extend(measured(title, checks[some]))
    write(found, options.json)


if __name__ == "__main__":
    main()
