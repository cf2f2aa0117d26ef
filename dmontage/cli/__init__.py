"""The command line: one command per stage and one for all (level 8). It computes nothing itself.

What a command needs is imported when it runs, so that ``--help`` answers at once. `commands`, `kept`, `montage_tools`,
`together` and `view` are the commands, `options` what they share, `run` goes from a plan to all the files that are
wished.
"""

from dmontage.cli import kept, montage_tools, together, view
from dmontage.cli.commands import main

__all__ = ["kept", "main", "montage_tools", "together", "view"]
