"""Grid: a celestial WCS with a shape (level 1).

A Grid is text and two integers. It hashes and compares by them, pickles small, and builds its astropy WCS on demand,
because a WCS object is not safe to share between threads and two equal ones compare unequal. Of a foreign header only
the cards that define the celestial coordinates are kept, each with all its digits, after they passed the gate of
`dmontage.headers`. Pixel coordinates are 0-based with centres at integers; places on the sky are unit vectors of the
grid's own frame.
"""

from dmontage.grid.grid import Grid

__all__ = ["Grid"]
