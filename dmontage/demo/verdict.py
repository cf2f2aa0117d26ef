"""The verdict on a mosaic: measured figures with their limits, as a table and as JSON (level 6)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from dmontage.log import as_json

__all__ = ["Check", "Verdict"]


@dataclass(frozen=True, slots=True)
class Check:
    """One measured figure: it holds when it lies within ``limit`` of ``target``; NaN, not measured, never holds."""

    name: str
    measured: float
    target: float
    limit: float
    unit: str

    @property
    def ok(self) -> bool:
        """Whether the figure is within its limit."""
        return abs(self.measured - self.target) <= self.limit


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of one mosaic; prints as a table."""

    mosaic: str
    n_stars: int
    """Stars measured."""
    n_blocks: int
    """Blocks of background measured."""
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        rows = [("check", "measured", "limit", "", "verdict")]
        for c in self.checks:
            limit = f"{c.target:g} ± {c.limit:.3f}" if c.target else f"{c.limit:.3f}"
            rows.append((c.name, f"{c.measured:.3f}", limit, c.unit, "ok" if c.ok else "FAILED"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{name:<{widths[0]}}  {measured:>{widths[1]}}  {limit:>{widths[2]}} {unit:<{widths[3]}}  {verdict}"
            for name, measured, limit, unit, verdict in rows
        ]
        summary = f"{self.mosaic}: {'ok' if self.ok else 'FAILED'} ({self.n_stars} stars, {self.n_blocks} blocks)"
        return "\n".join([*lines, summary])

    def to_json(self) -> str:
        """The verdict as a JSON object; a figure that could not be measured is null.

        Returns
        -------
        str
            One JSON object.
        """
        checks = as_json([asdict(check) | {"ok": check.ok} for check in self.checks])
        return json.dumps(asdict(self) | {"ok": self.ok, "checks": checks}, indent=1)
