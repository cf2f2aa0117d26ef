"""The demo: a simulated survey whose truth is known, and the judge of any mosaic made from it.

``simulate`` writes raw FITS images and ``truth.json``; ``judge`` reads a finished mosaic and the truth. Nothing here
knows how a mosaic is made: both speak FITS and numpy only and read no other part of the engine, so the judge cannot
share the faults of what it judges, and judges mosaics of other programs just as well. What the two share is `truth`,
the sky in closed form, and `sky`, the same on a grid of pixels.

Units: sky positions and rotations in degrees and lengths in arcseconds, as in the files; pixel values are surface
brightness, in counts per raw pixel of 1 square arcsecond; fluxes in counts. The simulated noise is 1 count per raw
pixel, so that a number of counts per pixel is also a number of σ.
"""
