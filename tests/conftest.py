"""Puts this folder on sys.path, so that tests can say ``from naive import ...``, and sets hypothesis up."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile("dmontage", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("dmontage")
