"""Header cards: the gate that every foreign WCS passes, and text that keeps all digits (level 0).

wcslib accepts ``CRVAL1 = 'NaN'`` as 0 and 1E400 as infinity, and half a dozen kinds of damage raise as many kinds of
exception. Here types, finiteness and ranges are checked once; after that the engine works with plain numbers.

- `text`: templates, single cards, angles, shapes
- `tables`: what other HDUs add to a header (CPDIS, D2IM, -TAB), as bytes
- `iraf`: the text of TNX and ZPX
- `build`: cards to an astropy WCS and back, and its frame
- `gate`: the checks
"""

from dmontage.headers.build import build_wcs, frame_of, header_of
from dmontage.headers.gate import checked_cards, is_wcs_card
from dmontage.headers.tables import find_tables, moved, needs_tables, table_cards, table_hdus, tables_of_wcs
from dmontage.headers.text import angle, card_text, cards_text, checked_shape, header_text, in_unit, parse_header

__all__ = [
    "angle",
    "build_wcs",
    "card_text",
    "cards_text",
    "checked_cards",
    "checked_shape",
    "find_tables",
    "frame_of",
    "header_of",
    "header_text",
    "in_unit",
    "is_wcs_card",
    "moved",
    "needs_tables",
    "parse_header",
    "table_cards",
    "table_hdus",
    "tables_of_wcs",
]
