"""What the comparison page is made of: which benchmark makes each part, with which options, in what time at most."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """A benchmark that is run in a process of its own, and what the page says beside its tables."""

    name: str
    script: str
    heading: str
    options: str
    quick: str
    """Options for a run of seconds, whose numbers mean little."""
    text: str
    limit: float = 900.0
    """Seconds after which it is ended."""
    usual: bool = True
    """Made where no parts are named."""

    def command(self, quick: bool) -> str:
        """As it is typed at the root of the repository."""
        return f"python tests/bench/{self.script} {self.quick if quick else self.options}".strip()


PARTS = (
    Part(
        "mosaic", "bench_mosaic.py", "Speed: whole mosaics", "--runs 3", "--runs 1 --size 0.12",
        """Raw images in, one background-matched mosaic on one grid out, on two cores. dmontage is timed in the
second run of a process; the command line, with Python's start and the imports, stands below. Montage is
one process at a time. SWarp subtracts a mesh from each image and matches none, and interpolates
(Lanczos-3); reproject interpolates and matches levels. Its exact mode, not run here, takes minutes. Peak
memory is that of the largest process; dmontage takes what it may (`--memory-limit`).""",
    ),
    Part(
        "mosaic9", "bench_mosaic.py", "Speed: 9 square degrees", "--size 3 --runs 1 --peers montage,swarp",
        "--size 0.12 --runs 1 --peers montage,swarp",
        "The same with 325 images. It takes its time, and is made only where asked for: `--only mosaic9`.",
        limit=3600.0, usual=False,
    ),
    Part(
        "project", "bench_project.py", "Speed: one image", "--rounds 5", "--rounds 1 --side 128",
        """One core, TAN to TAN turned by 17°, pixels of 1 arcsec, millions of input pixels a second. Only rows of
one kind of work compare: kernels with corners given, arrays with the mapping, and files.
`reproject_interp`, `reproject_adaptive` and SWarp (Lanczos-3) interpolate: they are no exact overlap, and
are here for their speed. Slow tools were given smaller images.""",
    ),
    Part(
        "start", "bench_start.py", "Start-up, and memory of projection", "", "--side 256 --skip-compile",
        """Seconds of processor time. A first projection in a new environment compiles its kernel, which no peer
needs; later ones load it.""",
    ),
    Part(
        "background", "bench_background.py", "Speed: the solve of backgrounds",
        "--sides 32,100 --relaxation 1024", "--sides 8 --large 12",
        """Noise-free images that planes match exactly, with a wave of 100 units over the mosaic. What is left of it
is the rms once one plane is taken out. dmontage solves the sparse least-squares problem; the papers'
relaxation, in Montage (mBgModel) and as an option here, stops after 10,000 steps. The last line has
noise, and a prior of the slopes.""",
    ),
    Part(
        "view", "bench_view.py", "Speed: pictures", "--runs 3", "--runs 1 --side 512",
        """A grey PNG, gaussian-log from -2 σ to the maximum. Both programs start anew and read the FITS file;
Python's start is in dmontage's time.""",
    ),
    Part(
        "memory", "bench_memory.py", "Memory", "", "--times 0.05 --more 0 --limit 480",
        """Mosaics larger than the memory that they may have: the plan of dmontage keeps to it, or refuses. SWarp is
given the same as MEM_MAX, and maps its output, which counts as resident; reproject keeps its intermediate
arrays on disk, and has no limit; Montage adds row by row. (Memory of projection alone is with start-up.)""",
        limit=1800.0,
    ),
    Part(
        "accuracy", "bench_accuracy.py", "Accuracy", "", "--quick",
        """Numbers are how far a tool is from the statement, at most, beside what is allowed; the first two columns
are dmontage on the sphere and as it chooses by its error bound, 1e-5 of a pixel. Small random images, in
double precision where a tool has it; solid angles are analytic. Closure may be off by 1e-9 and by one
rounding of a right ascension in pixels, which is what counts at 0.01 arcsec. C17 stands with the solve of
backgrounds, the flatness of whole mosaics (C20) below; what has no number on this page, such as distortions
by tables (C12) and killed runs (C24), is held by the tests alone. "fails" is an error, "none" an answer
without a number; "—" is not offered. SWarp and all interpolations keep smooth sources, not the sum of pixels of
noise. What drizzle's weight map counts, input pixels, is taken for its area. mProjectPP, reproject_exact
and drizzle are exact too where their assumptions hold; mProjectPP and reproject_exact lose least of all
to rounding below 0.1 arcsec, as they work in pixels and angles, where dmontage's sphere has unit vectors.
mProject goes wrong where corners coincide and at small pixels, and that of Montage 6.0 leaves out a line
of input pixels. Montage's programs give no pixel that straddles the grid's edge its inside part. Fits
and corrections of backgrounds are mFitplane's and mBgModel's; errors of C16 are counted in those that the
pixels without sources allow, and the rms that Montage tells is of the pixels that its fit keeps.
reproject_and_coadd, of levels alone, leaves the image that touches no other blank. The chains of C26 go from
overlaps to corrected images: dmontage's with one stage at a time of Montage's, and Montage's with one of
dmontage's. dmontage is refused the network, and what it asks is counted; the others are given a proxy that
counts.""",
    ),
    Part(
        "flatness", "bench_flatness.py", "Accuracy: backgrounds of whole mosaics", "",
        "--seeds 1 --size 0.12 --pixels 256,128",
        """Simulated skies of noise 1 a pixel, a plane of ±20 in each image, extended emission and stars. Flatness is
the rms of the medians of 64 × 64 pixels, with true emission and one plane taken out. SWarp's mesh takes
the extended emission with it; reproject matches levels, so that
slopes stay. Of dmontage `tests/test_conformance.py` asks 0.12, for images of four times these pixels.""",
    ),
)  # fmt: skip
