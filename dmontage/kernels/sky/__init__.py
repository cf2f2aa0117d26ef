"""The sky kernel: exact overlap of spherical pixels, for pixels of 1e-12 rad to 60°, any projection, poles and seams.

`pixels` knows one pixel at a time (which are defined, solid angles, drops), `caps` finds what may meet, `overlaps` cuts
polygons and lists or deposits them. Each file holds all that it compiles together, since numba's cache of a kernel does
not notice when a function that it calls changes in another; between files go arrays only.

Bits depend on nothing but the pixels and the blocks they are in. Blocks of `BLOCK` × `BLOCK` quads are counted from
the first corner given, so a window of the output, or a band of the input, that begins at multiples of `BLOCK` pixels of
its parent, and ends at one or at the parent's edge, gives the parent's bits, whatever `sub`, with drops or without.
Overlaps come in the order of the input's blocks, and for each in that of the output's.

Cost on one core at 1", turned by 17°, corners given: 1.8 million input pixels per second onto as large pixels, 2.4 onto
1.3, 1.2 onto 0.7, 0.4 onto 1/3 and 4.7 onto 3 times as large ones: 1.9 to 2.1 times the first version, which forced
inlining for speed. Drops of 0.8 are shrunk and listed at 1.7 million per second. A cold compile takes 8 s, 3 fewer
since scratch is made outside and no literals are handed on. What was tried, by time at ratio 1 and at 1/3:

=================================================================  =====================================================
tried                                                              gained
=================================================================  =====================================================
arrays given one by one to calls, none to calls in the hot loops   1.65 times: counting references had been half of all
planes along the input's rows, and an index of these rows          1.29, 1.36 times
corners' sides of the input's box, before any ring is made         1.38, 1.28 times
the larger ring cuts the smaller                                   1.14, 1.25 times
candidates listed first, all pairs in one function                 1.10 times; compiled in less than half of the time
solid angles of pixels in space, not in planes                     28 ns a pixel instead of 100
gaps between drops passed over, the index half as long             1.04 times, 1.15 for drops
the list's length foretold by its beginning                        1.12 times for lists
drops written where they belong, without divisions                 95 ns a drop instead of 128
lists as the only path, deposited 32768 at a time                  costs nothing that shows (2 %)
planar area instead of the solid angle of an overlap               at most 1.08, 1.14 times: not worth an error bound
=================================================================  =====================================================
"""

from dmontage.kernels.sky.caps import BLOCK
from dmontage.kernels.sky.overlaps import list_sky, project_sky
from dmontage.kernels.sky.pixels import shrink, solid_angles

__all__ = ["BLOCK", "list_sky", "project_sky", "shrink", "solid_angles"]
