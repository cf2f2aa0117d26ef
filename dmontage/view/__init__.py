"""Pictures of mosaics: products to look at, made from finished pixels.

What belongs here reads arrays row by row and writes image files; it knows no WCS, store or scheduler. FITS rows grow
upwards and picture rows downwards, so a picture is flipped: north stays up. Blank pixels stay blank (transparent).

Brightness, by `norm.norm`: a `histogram` of all pixels, counted in one pass by exact sums (`counting`), gives limits by
mViewer's texts (`ranges`), and these a map to 0..1, Montage's equalisations (`stretches`) or astropy's.
"""
