"""Puts this folder on sys.path, so that tests can say ``from naive import ...``, and sets hypothesis up.

The fixtures of ``cluster/`` are here too: a second conftest would be a module of the same name.
"""

import sys
from pathlib import Path

from hypothesis import settings

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "cluster")]

from cluster_fixtures import client, cluster_reference, cluster_survey, processes, small_tasks  # noqa: E402, F401

settings.register_profile("dmontage", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("dmontage")
