"""The public names of dmontage: what its versions keep, and changes of which CHANGELOG.md tells.

This is the one list. The pages in ``reference/`` show it (each by the directive ``public`` and a name of `PUBLIC`), and
``tests/docs`` checks that nothing in it lacks a page or a whole docstring, and that it has all that `dmontage`,
`dmontage.report` and `dmontage.montage` export. What is not in it may change without a word.
"""

from __future__ import annotations

from dmontage.montage import raising

__all__ = ["MEMBERS", "PUBLIC"]

PUBLIC: dict[str, tuple[str, ...]] = {
    "mosaics": (
        "dmontage.scan",
        "dmontage.plan",
        "dmontage.mosaic",
        "dmontage.mosaics",
        "dmontage.coadd",
        "dmontage.project",
        "dmontage.solve_runs",
        "dmontage.background_report",
        "dmontage.planner.make_plan",
    ),
    "grids": ("dmontage.Grid", "dmontage.Window"),
    "values": (
        "dmontage.Mosaic",
        "dmontage.Bands",
        "dmontage.pipeline.Cutout",
        "dmontage.pipeline.Pixels",
        "dmontage.pipeline.Sources",
        "dmontage.pipeline.Summary",
        "dmontage.pipeline.ErrorMap",
        "dmontage.pipeline.there.FilePart",
    ),
    "plans": (
        "dmontage.model.Images",
        "dmontage.model.ImageRef",
        "dmontage.model.Skipped",
        "dmontage.model.Drop",
        "dmontage.model.SkyPlane",
        "dmontage.planner.MosaicPlan",
        "dmontage.planner.BandPlans",
    ),
    "runs": (
        "dmontage.status",
        "dmontage.verify",
        "dmontage.pipeline.Status",
        "dmontage.pipeline.Verified",
    ),
    "errors": ("dmontage.InputError",),
    "report": (
        "dmontage.report.BackgroundReport",
        "dmontage.report.PairLine",
        "dmontage.report.ImageLine",
        "dmontage.report.report_paths",
    ),
    "brightness": (
        "dmontage.view.norm.norm",
        "dmontage.view.histogram.histogram",
        "dmontage.view.histogram.Histogram",
        "dmontage.view.normalize.Norm",
        "dmontage.view.bar.add_color_bar",
    ),
    "pictures": (
        "dmontage.view.picture.picture",
        "dmontage.view.colour.colour",
        "dmontage.view.shrink.shrink",
        "dmontage.view.shrink.step_for",
        "dmontage.view.save.save",
    ),
    "figures": (
        "dmontage.view.figure.figure",
        "dmontage.view.figure.color_bar",
        "dmontage.view.figure.render",
        "dmontage.view.figure.write_figure",
        "dmontage.view.overlay.coordinate_grid",
        "dmontage.view.overlay.sky_pixel",
        "dmontage.view.signs.marker",
        "dmontage.view.signs.label",
        "dmontage.view.directions.compass",
        "dmontage.view.directions.scale_bar",
        "dmontage.view.catalog.catalog",
        "dmontage.view.outlines.outlines",
        "dmontage.view.outlines.coverage",
    ),
    "quality": (
        "dmontage.view.quality.depth_picture",
        "dmontage.view.quality.area_picture",
        "dmontage.view.quality.draw_overlaps",
        "dmontage.view.quality.draw_correction",
        "dmontage.view.quality.draw_error",
    ),
    "explorer": ("dmontage.view.explore.Explorer",),
    "demo": (
        "dmontage.demo.simulate.simulate",
        "dmontage.demo.judge.judge",
        "dmontage.demo.sky.paint",
        "dmontage.demo.truth.Truth",
        "dmontage.demo.truth.Star",
        "dmontage.demo.truth.Cloud",
        "dmontage.demo.truth.RawImage",
        "dmontage.demo.verdict.Verdict",
        "dmontage.demo.verdict.Check",
    ),
    "montage": tuple(f"dmontage.montage.raising.{name}" for name in raising.__all__),
}

MEMBERS: dict[str, str] = {
    "dmontage.Mosaic": (
        "grid, plan, summary, data, area, variance, depth, rejected, cutout, compute, write, sources, stream, fit, "
        "corrections, write_corrections, background_error, background_error_map, plot, explore, corrected, made, "
        "stored, files, close"
    ),
    "dmontage.Grid": (
        "header, shape, from_header, around, fit, wcs, to_header, to_template, window, frame, scale, kind, sky, pixel, "
        "corners, solid_angle, window_around, subgrid"
    ),
    "dmontage.Window": "y0, y1, x0, x1, of_shape, shape, size, middle, slices, shift, pad, relative_to",
    "dmontage.model.Drop": "pixfrac, kernel",
    "dmontage.view.histogram.Histogram": "minimum, maximum, n, median, sigma, quantile, rank",
    "dmontage.pipeline.Summary": (
        "images, used, skipped, warnings, empty, pairs, rms_before, rms_after, rejected, gauge, groups, unpaired, "
        "level_only, uncorrected, matching_warnings, fits_reused, matching_reused, chunks, chunks_reused, reused, "
        "seconds, undefined, error_bound, noise_correlation, bytes_in, bytes_out"
    ),
    "dmontage.planner.MosaicPlan": (
        "images, grid, background, combine, weights, clip, also, method, unit, tol, margin, zero_point, warnings, "
        "n_images, layers, chunk, error_bound, noise_correlation, large_scale, bytes_in, bytes_out, bytes_store"
    ),
    "dmontage.view.explore.Explorer": "wait, compute, restretch, shown, note, close",
    "dmontage.view.normalize.Norm": "ticks",
}
"""Of classes that have more than is public, what is; of all others everything without a leading underscore."""
