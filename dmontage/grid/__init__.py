"""Grid: a celestial WCS with a shape (level 1).

A Grid is text and two integers; where cards cannot carry all (lookup tables, WCS objects), packed bytes besides. It
hashes and compares by them, pickles small, and builds its astropy WCS on demand, because a WCS object is not safe to
share between threads and two equal ones compare unequal. Of a foreign header only the cards that define the celestial
coordinates are kept, each with all its digits, after they passed the gate of `dmontage.headers`. Pixel coordinates are
0-based with centres at integers; places on the sky are unit vectors of the grid's own frame.

- `sources`: what a grid is made from; `recipes`: regular grids from a few words; `objects`: WCS that are no cards
- `ways`: pixels to the sky and back; `inverse`: Newton's iteration; `exact`, `cubes`: what wcslib rounds, anew
- `lattice`: the same pixels counted from another first one; `measures`: solid angles, the check of the way back
"""

from dmontage.grid.grid import Grid

__all__ = ["Grid"]
