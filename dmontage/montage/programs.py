"""Programs: the flags and words of Montage's executables, and the arguments of its functions that they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.montage import program_words as told
from dmontage.montage.program_words import coadd_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PROGRAMS", "Program"]

Arguments = dict[str, Any]


class Program(NamedTuple):
    """One executable."""

    home: str
    """The module of its function: to start one, no other is imported."""
    usage: str
    flags: Mapping[str, tuple[str, Any]]
    """By letter or word: the argument that it sets, and to what; a function is given the flag's value. ``-s`` is
    everybody's."""
    words: Sequence[str]
    """The arguments that words are, in their order; a number if it ends in ``:n``, and one may be left out after ?."""
    usual: Mapping[str, Any] = {}
    """Arguments that are the program's own, where the function has others."""
    rest: Callable[[Arguments, list[str]], Arguments] | None = None
    """Makes arguments of those of flags and words, and of the words that are left."""
    answer: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    """Makes what the program says of what the function does."""
    raw: bool = False
    """All that it is told is for `rest` to read."""
    may_be_empty: bool = False
    """Its exit code is 0 where there is nothing to find."""
    function: str = ""
    """Where it has not the program's own name."""


_LEVEL = ("debug", int)
_ON = ("debug", 1)
_HDU = ("hdu", int)
_NO_AREAS = ("noAreas", True)
_PATH = ("path", str)
_HERE = {"path": "."}

_PROJECT = {
    "d": _LEVEL, "z": ("drizzle", float), "h": _HDU, "x": ("fluxScale", float), "w": ("weight_file", str),
    "W": ("fixedWeight", float), "t": ("threshold", float), "X": ("expand", True), "b": ("borderstr", str),
    "e": ("energyMode", True), "f": ("fullRegion", True),
}  # fmt: skip
_IN_OUT_HDR = ("input_file", "output_file", "template_file")
_PROJECT_USAGE = (
    "[-z factor] [-d level] [-s statusfile] [-h hdu] [-x scale] [-w weightfile] [-W fixed-weight] [-t threshold] "
    "[-X(expand)] [-b border-string] [-e(nergy-mode)] [-f(ull-region)] in.fits out.fits hdr.template"
)
_QL = {key: flag for key, flag in _PROJECT.items() if key not in "ez"}
_CUBE = {key: flag for key, flag in _PROJECT.items() if key not in "Wb"}


PROGRAMS = {
    "mAdd": Program(
        "add",
        "[-d level] [-p imgdir] [-n(o-areas)] [-a mean|median|count|sum] [-e(xact-size)] [-s statusfile] images.tbl "
        "template.hdr out.fits",
        {"d": _LEVEL, "p": _PATH, "n": ("haveAreas", False), "a": ("coadd", coadd_of), "e": ("shrink", False)},
        ("tblfile", "template_file", "outfile"),
        _HERE | {"shrink": True},
    ),
    "mAddExec": Program(
        "add_exec",
        "[-p imgdir] [-n(o-areas)] [-a mean|median|count|sum] [-e(xact-size)] [-d level] [-s statusfile] [-x xsize] "
        "[-y ysize] [-o xoverlap] [-q yoverlap] images.tbl template.hdr tiledir out.fits",
        {"d": _LEVEL, "p": _PATH, "n": ("haveAreas", False), "a": ("coadd", coadd_of), "e": ("debug", 0),
         "x": ("xsize", int), "y": ("ysize", int), "o": ("xoverlap", int), "q": ("yoverlap", int)},
        ("tblfile", "template_file", "tiledir", "outfile"),
        _HERE,
    ),
    "mBackground": Program(
        "background",
        "[-t(able-mode)] [-d level] [-n(o-areas)] [-s statusfile] in.fits out.fits A B C | images.tbl corrfile.tbl",
        {"d": _LEVEL, "n": _NO_AREAS, "t": ("table", True)}, ("input_file", "output_file"), rest=told.background,
    ),
    "mBgExec": Program(
        "background", "[-p projdir] [-s statusfile] [-d] [-n(o-areas)] images.tbl corrections.tbl corrdir",
        {"p": _PATH, "d": _ON, "n": _NO_AREAS}, ("tblfile", "fitfile", "corrdir"), _HERE,
    ),
    "mBgModel": Program(
        "background_model",
        "[-i niter] [-l(evel-only)] [-d level] [-a(ll-overlaps)] [-s statusfile] images.tbl fits.tbl corrections.tbl",
        {"i": ("niteration", int), "l": ("noslope", True), "d": _LEVEL, "a": ("useall", True),
         "t": ("debug", 0), "f": ("debug", 0)},
        ("input_file", "fit_file", "corr_file"),
    ),
    "mConcatFit": Program(
        "fit_files",
        "[-d] [-s statusfile] statfiles.tbl fits.tbl statdir", {"d": _ON}, ("tblfile", "fitfile", "statdir"),
    ),
    "mCoverageCheck": Program(
        "subset",
        "[-d(ebug)] [-p path] [-s statusfile] in.tbl out.tbl -points|-box|-circle|-header|-point|-cutout parameters",
        {"d": _ON, "p": _PATH}, ("infile", "outfile"), rest=told.coverage,
    ),
    "mDAGTbls": Program(
        "dag_tables", "[-d] [-s statusfile] images.tbl hdr.template raw.tbl projected.tbl corrected.tbl",
        {"d": _ON}, ("tblfile", "template_file", "rawtbl", "projtbl", "corrtbl"),
    ),
    "mDiff": Program(
        "diff", "[-d level] [-n(o-areas)] [-z factor] [-s statusfile] in1.fits in2.fits out.fits hdr.template",
        {"d": _LEVEL, "n": _NO_AREAS, "z": ("factor", float)},
        ("input_file1", "input_file2", "output_file", "template_file"),
    ),
    "mDiffExec": Program(
        "diff_fit", "[-p projdir] [-d] [-n(o-areas)] [-s statusfile] diffs.tbl template.hdr diffdir",
        {"p": _PATH, "d": _ON, "n": _NO_AREAS}, ("difffile", "template", "diffdir"), _HERE,
    ),
    "mDiffFit": Program(
        "fit_files", "[-d] [-n(o-areas)] [-b border] [-s statusfile] in1.fits in2.fits out.fits hdr.template",
        {"d": _ON, "n": _NO_AREAS, "b": ("border", int)},
        ("input_file1", "input_file2", "output_file", "template_file"), may_be_empty=True,
    ),
    "mDiffFitExec": Program(
        "diff_fit",
        "[-d] [-l(evel-only)] [-n(o-areas)] [-k(eep-all)] [-p projdir] [-s statusfile] diffs.tbl template.hdr diffdir "
        "fits.tbl",
        {"p": _PATH, "d": _ON, "n": _NO_AREAS, "l": ("levelOnly", True), "k": ("keepAll", True)},
        ("tblfile", "template", "diffdir", "fitfile"), _HERE,
    ),
    "mExamine": Program(
        "examine", "[-d] [-p ra dec radius | -a ra dec] image.fits", {}, (), rest=told.examine, raw=True,
    ),
    "mFitExec": Program(
        "diff_fit", "[-d] [-l(evel-only)] [-s statusfile] diffs.tbl fits.tbl diffdir",
        {"d": _ON, "l": ("levelOnly", True)}, ("tblfile", "fitfile", "diffdir"),
    ),
    "mFitplane": Program(
        "fitplane", "[-b border] [-d level] [-s statusfile] [-l(evel-only)] in.fits",
        {"b": ("border", int), "d": _LEVEL, "l": ("levelOnly", True)}, ("input_file",),
    ),
    "mFixNaN": Program(
        "fix_nan", "[-b(oundary-check)] [-d level] [-v NaN-value] in.fits out.fits [minblank maxblank]",
        {"b": ("boundaries", True), "d": _LEVEL, "v": ("NaNvalue", float)}, ("input_file", "output_file"),
        rest=told.fix_nan,
    ),
    "mFlatten": Program(
        "background", "[-b border] [-d] [-l(evel-only)] [-s statusfile] in.fits out.fits",
        {"b": ("border", int), "d": _ON, "l": ("levelOnly", True)}, ("infile", "outfile"),
    ),
    "mGetHdr": Program(
        "edit_header", "[-d] [-h hdu] [-H(tml)] [-s statusfile] img.fits img.hdr",
        {"d": _ON, "h": _HDU, "H": ("htmlMode", 1)}, ("infile", "hdrfile"),
    ),
    "mHdr": Program(
        "hdr",
        "[-c system] [-e equinox] [-h height(deg)] [-p pixsize(arcsec)] [-r rotation] [-t 2mass-band] object|location "
        "width(deg) outfile",
        {"c": ("csys", str), "e": ("equinox", float), "h": ("height", float), "p": ("resolution", float),
         "r": ("rotation", float), "t": ("band2MASS", str)},
        ("locstr", "width:n", "outfile"),
        rest=lambda found, words: {"height": found["width"]} | found,
    ),
    "mHistogram": Program(
        "histogram",
        "[-d] -file in.fits minrange maxrange [logpower/gaussian/gaussian-log/asinh [asinh-beta]] -out out.hist",
        {}, (), rest=told.histogram, answer=told.histogram_answer, raw=True,
    ),
    "mImgtbl": Program(
        "imgtbl", "[-rcCaidbdz] [-s statusfile] [-f fieldlistfile] [-t imglist] directory images.tbl",
        {"r": ("recursiveMode", True), "c": ("showCorners", True), "C": ("haveCubes", False),
         "a": ("processAreaFiles", True), "i": ("showinfo", True), "d": _ON, "b": ("showbad", True),
         "z": ("noGZIP", True), "f": ("fieldListFile", str), "t": ("imgListFile", str)},
        ("pathname", "tblname"),
        {"showCorners": False},
    ),
    "mMakeHdr": Program(
        "makehdr",
        "[-d level] [-s statusfile] [-p(ixel-scale) cdelt | -P maxpixel] [-e edgepixels] [-n] images.tbl template.hdr "
        "[system [equinox]]",
        {"d": _LEVEL, "p": ("pixelScale", float), "P": ("maxPixel", int), "e": ("pad", float),
         "n": ("northAligned", 1)},
        ("tblfile", "template", "?csys", "?equinox:n"),
    ),
    "mOverlaps": Program(
        "overlaps", "[-e] [-d level] [-s statusfile] images.tbl diffs.tbl",
        {"e": ("quickmode", False), "d": _LEVEL}, ("tblfile", "difftbl"),
    ),
    "mPix2Coord": Program(
        "coord", "[-d] [-h hdu] image.fits|template.hdr ixpix jypix",
        {"d": _ON, "h": _HDU}, ("infile", "ixpix:n", "jypix:n"),
    ),
    "mProject": Program("project", _PROJECT_USAGE, _PROJECT, _IN_OUT_HDR),
    "mProjectCube": Program("project", _PROJECT_USAGE, _CUBE, _IN_OUT_HDR),
    "mProjectPP": Program(
        "project", f"[-o altout.hdr] [-i altin.hdr] {_PROJECT_USAGE}",
        _PROJECT | {"o": ("altout", str), "i": ("altin", str)}, _IN_OUT_HDR,
    ),
    "mProjectQL": Program(
        "project",
        f"[-L(anczos)] [-a(reas)] {_PROJECT_USAGE}", _QL | {"L": ("interp", 1), "a": ("noAreas", False)}, _IN_OUT_HDR
    ),
    "mProjExec": Program(
        "project_exec",
        "[-q(uick-mode)] [-p rawdir] [-d] [-e(xact)] [-X(whole image)] [-b border] [-r restartrec] [-s statusfile] "
        "[-W weightColumn] [-x scaleColumn] [-z drizzle] images.tbl template.hdr projdir stats.tbl",
        {"q": ("quickMode", True), "p": _PATH, "d": _ON, "e": ("exact", True), "X": ("wholeImages", True),
         "b": ("border", str), "r": ("restart", int), "W": ("weightCol", str), "x": ("scaleCol", str),
         "z": ("drizzle", float)},
        ("tblfile", "template", "projdir", "?stats"),
        _HERE,
    ),
    "mPutHdr": Program(
        "edit_header",
        "[-d level] [-s statusfile] [-h hdu] in.fits out.fits hdr.template", {"d": _LEVEL, "h": _HDU}, _IN_OUT_HDR
    ),
    "mShrink": Program(
        "shrink", "[-f(ixed-size)] [-d level] [-h hdu] [-s statusfile] in.fits out.fits factor",
        {"f": ("fixedSize", True), "d": _LEVEL, "h": _HDU}, ("infile", "output_file", "shrinkFactor:n"),
    ),
    "mSubimage": Program(
        "subimage", "[-d] [-a(ll pixels) | -p(ixels) | -c(shrink)] [-h hdu] [-s statusfile] in.fit out.fit "
        "ra|xstart dec|ystart xsize [ysize]",
        {"d": _ON, "a": ("mode", 2), "p": ("mode", 1), "c": ("mode", 3), "h": _HDU}, ("infile", "outfile"),
        rest=told.subimage,
    ),
    "mSubset": Program(
        "subset", "[-d] [-f(ast)] [-s statusfile] images.tbl template.hdr subset.tbl",
        {"d": _ON, "f": ("fastMode", True)}, ("tblfile", "template", "subtbl"),
    ),
    "mTANHdr": Program(
        "tanhdr", "[-d] [-o order] [-i maxiter] [-t tolerance] [-s statusfile] orig.hdr new.hdr",
        {"d": _ON, "o": ("order", int), "i": ("maxiter", int), "t": ("tolerance", float)},
        ("template", "tanTemplate"),
    ),
    "mTileHdr": Program(
        "edit_header", "[-d] [-s statusfile] orig.hdr new.hdr nx ny ix iy [xpad [ypad]]",
        {"d": _ON}, ("orig", "new", "nx:n", "ny:n", "ix:n", "iy:n", "?xpad:n", "?ypad:n"),
    ),
    "mViewer": Program(
        "viewer",
        "-gray in.fits min max [stretch] | -red ... -green ... -blue ... [overlays] -out out.png | -json text | "
        "-jsonfile file -out out.png",
        {}, (), rest=told.viewer, answer=told.viewer_answer, raw=True,
    ),
}  # fmt: skip
"""By name."""
PROGRAMS["mJPEG"] = PROGRAMS["mViewer"]._replace(function="mViewer")  # as Montage had it up to version 5
