"""Pictures of mosaics: products to look at, made from finished pixels.

What belongs here reads arrays row by row or chunk by chunk and makes pictures of them; it knows no store, and of dask
no more than `dmontage.graph` gives it. FITS rows grow upwards and picture rows downwards, so a picture is flipped:
north stays up. Blank pixels stay blank (transparent).

Brightness, by `norm.norm`: a `histogram` of all pixels, counted in one pass by exact sums (`counting`), gives limits by
mViewer's texts (`ranges`), and these a map to 0..1, Montage's equalisations (`stretches`) or astropy's.

Pictures: `shrink` makes a large array small by means over squares, `picture` and `colour` make RGBA arrays of one image
and of three, `save` writes them as PNG or JPEG with the coordinates of a grid (`avm`).

With the sky: `figure` puts a picture on matplotlib's axes with a grid's coordinates (`grid_wcs`), in whole pixels
(`layout`); onto these draw `overlay` (coordinate grids, as `graticule` traces them), `signs` (markers, labels),
`directions` (compass, scale bar), `catalog` (its columns by `places_of`), `outlines` (of images, and the coverage map)
and `quality` (depth, area, overlaps, background). Curves on the sky go through `trace`, which cuts them at seams.

For notebooks mosaics themselves are known. `html` is what their values show: tables, a `sketch` of the footprints and a
`thumbnail` of what is kept, computing nothing. `plot` draws on matplotlib's axes with the sky's coordinates; `explore`
pans and zooms, `making` being its thread, over `tiles` of a view. Both show a `screen`'s pixels, shrunk out of core.
Lower levels ask for them through `dmontage.shown`.
"""
