"""Report: what background matching did to the photometry, in text, JSON and a picture (level 7).

`background_report` asks a mosaic for what it knows and measures again what the corrections leave on the pixels;
`BackgroundReport` holds plain numbers; `picture` puts the panels of `dmontage.view.quality` on one page. Whoever quotes
a flux finds its systematic error here.
"""

from dmontage.report.make import background_report
from dmontage.report.nouns import BackgroundReport, ImageLine, PairLine, report_paths

__all__ = ["BackgroundReport", "ImageLine", "PairLine", "background_report", "report_paths"]
