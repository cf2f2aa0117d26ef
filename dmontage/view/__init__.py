"""Pictures of mosaics: products to look at, made from finished pixels.

What belongs here reads arrays row by row and writes image files; it knows no WCS, store or scheduler. FITS rows grow
upwards and picture rows downwards, so a picture is flipped: north stays up. Blank pixels stay blank (transparent).
"""
