"""Kernels: arrays and scalars in, arrays out.

What belongs here: the arithmetic that touches every pixel. A kernel knows numpy and numba and nothing else: no FITS,
no WCS object, no dask, no zarr. It fills arrays that its caller owns, holds no state, and releases the GIL.

Each file opens with its notation and comes in three tiers: scalar primitive, one-pixel function, array loop. Only the
array loop is for others. Arrays are ``[y, x]``, float64 in the arithmetic. Pixel centres lie at integers and edges at
±0.5; a pixel that is not finite is blank; angles are radians, solid angles steradian, ``area`` is the covered fraction
of an output pixel.

The two projections share one contract::

    project_plane(values, x_out, y_out, flux, area, ...)
    project_sky(values, corners_in, corners_out, flux, area, ...)

``flux += Σ value · overlap`` and ``area += Σ overlap``, where overlap is the part of the output pixel that an input
pixel covers. Both clip at the edge of the output, so a straddling pixel gives its inside part.
"""
