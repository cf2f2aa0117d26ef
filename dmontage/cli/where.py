"""Where: where a command's tasks run, and who is told of them."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from dmontage.cli.log_json import logged
from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

__all__ = ["Where"]


@dataclass(frozen=True)
class Where:
    """Threads of this process, or a cluster; and what is written of the work."""

    scheduler: str
    wait_for_workers: float | None
    performance_report: Path | None
    log_json: str | None

    @classmethod
    def take(cls, options: dict[str, Any]) -> Self:
        """Take out of a command's options what is meant for it."""
        return cls(**{f.name: options.pop(f.name) for f in fields(cls)})

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell of what is inside: all of a command."""
        with logged(self.log_json):
            if self.performance_report is not None:
                from dmontage.fits_files import check_writable

                if self.scheduler == "threads":
                    raise InputError("--performance-report is of a cluster: give --scheduler tcp://HOST:PORT too")
                check_writable(self.performance_report, suffixes=(".html",))
            yield

    def entered(self) -> AbstractContextManager[None]:
        """Run what is inside there."""
        if self.scheduler == "threads":
            return nullcontext()
        from dmontage.graph.cluster import connected

        return connected(self.scheduler, self.wait_for_workers, self.performance_report)
