"""Graphs and plans grow as the images do: by counts and bytes, on catalogues without pixels."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalogues import Pretended, atlas

import dmontage as dm
from dmontage.graph.drive import Call
from dmontage.graph.packing import packed
from dmontage.grid import Grid
from dmontage.mapping import Chart
from dmontage.model import Companions, ImageRef, Images
from dmontage.pipeline import Mosaic, overlap_geometry
from dmontage.pipeline.saving import Saving
from dmontage.planner import MosaicPlan, make_plan, rows
from dmontage.store import Store
from dmontage.window import Window


def calls_of(plan: MosaicPlan, folder: Path) -> dict[str, list[Call]]:
    """Of each stage what a run on a cluster would send, to a store whose path is long."""
    with Pretended() as tasks:
        Mosaic(plan, folder / "a-place-with-a-long-name" / ("x" * 60) / "run.zarr").stream(lambda *_: None)
    return tasks.calls


def planned(images: Images) -> MosaicPlan:
    plan: MosaicPlan = dm.plan(images, max_bytes=1e15)
    return plan


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[MosaicPlan, dict[str, list[Call]]]:
    plan = planned(atlas(100))
    return plan, calls_of(plan, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[MosaicPlan, dict[str, list[Call]]]:
    plan = planned(atlas(400))
    return plan, calls_of(plan, tmp_path_factory.mktemp("large"))


def test_a_task_is_row_numbers(large: tuple[MosaicPlan, dict[str, list[Call]]]) -> None:
    """Less than 1 kB each, whatever the path; no header, no file's name, no mapping."""
    plan, calls = large
    for stage in ("project", "fit", "coadd"):
        for call in calls[stage]:
            text = pickle.dumps((call.key, call.function, call.arguments))
            sent = pickle.dumps((call.key, call.function, packed(call.arguments)))
            assert len(sent) < 1000, f"{call.key} takes {len(sent)} bytes"
            assert b"CRVAL" not in text and b".fits" not in text and b"float" not in text.replace(b"float64", b"", 1)
    assert {image.name for image in plan.images}.isdisjoint(str(calls))


def test_a_deep_stack_costs_a_few_bytes_an_image_more(tmp_path: Path) -> None:
    """All of 200 images reach every chunk, each with a weight."""
    first = atlas(1)[0]
    deep = Images(tuple(ImageRef(f"/deep/{k:03d}.fits", 0, first.grid, "MJy/sr", 1, k) for k in range(200)))
    weights = {image: Companions(factor=1.0 + 1e-3 * k) for k, image in enumerate(deep)}
    plan = make_plan(deep, first.grid, background="none", companions=weights)
    calls = calls_of(plan, tmp_path)
    assert all(len(reached) == 200 for _, reached in plan.chunks)
    chunks = sum(len(call.arguments[1]) for call in calls["coadd"])
    size = sum(len(pickle.dumps(call.arguments)) for call in calls["coadd"])
    assert size < chunks * (1000 + 200 * 12)


def test_tasks_grow_as_images_and_chunks(
    small: tuple[MosaicPlan, dict[str, list[Call]]], large: tuple[MosaicPlan, dict[str, list[Call]]]
) -> None:
    for plan, calls in (small, large):
        assert set(calls) == {"project", "fit", "coadd"}
        assert len(calls["project"]) <= plan.n_images
        assert len(calls["fit"]) <= len(plan.pairs) <= 5 * plan.n_images
        assert len(calls["coadd"]) <= len(plan.chunks)
        assert sum(map(len, calls.values())) < 2 * (plan.n_images + len(plan.chunks))
        keys = Counter(call.key for each in calls.values() for call in each)
        assert max(keys.values()) == 1
    (few, _), (many, _) = small, large
    assert many.n_images == 4 * few.n_images
    for name in ("pairs", "chunks", "row_batches"):
        # Of more images fewer lie at the edge.
        assert len(getattr(many, name)) < 1.25 * 4 * len(getattr(few, name)), name


def counted(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> Counter[str]:
    """How often a call does what a plan is made of."""
    counts: Counter[str] = Counter()

    def watch(owner: Any, name: str) -> None:
        whole: Callable[..., Any] = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return whole(*args, **kwargs)

        monkeypatch.setattr(owner, name, wrapped)

    for owner, names in (
        (Window, ("__and__",)), (Chart, ("__init__",)), (Grid, ("sky", "pixel", "wcs", "points_in")),
        (rows, ("fit_mapping",)), (overlap_geometry, ("_cover", "_moments")),
    ):  # fmt: skip
        for name in names:
            watch(owner, name)
    call()
    monkeypatch.undo()
    return counts


def test_a_plan_does_no_more_for_each_image_of_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the clock: windows that are cut, ways through the WCS, mappings, overlaps, for 64 images and for 400."""
    few, many = (counted(monkeypatch, partial(planned, atlas(n))) for n in (64, 400))
    assert few["fit_mapping"] == 64
    assert many["fit_mapping"] == 400
    for name, count in many.items():
        assert count <= 1.25 * 400 / 64 * few[name], name
    assert many["wcs"] < 5 * 400


def test_what_is_made_up_is_solved(large: tuple[MosaicPlan, dict[str, list[Call]]], tmp_path: Path) -> None:
    """The bench's fits are a survey's: connected, with slopes, and none disagrees."""
    plan, _ = large
    with Pretended():
        mosaic = Mosaic(plan, tmp_path / "run.zarr")
        table = mosaic.corrections()
    assert set(table["status"]) == {"fitted"} and set(table["group"]) == {0}
    assert mosaic.summary.rejected == ()
    assert mosaic.summary.rms_after < 0.03 and mosaic.summary.rms_before > 3
    assert np.ptp(table["level"]) > 10
    assert Grid.fit(plan.images) == plan.grid


@pytest.mark.parametrize("seconds", [1e9, -1.0])
def test_rows_are_saved_together_and_none_is_lost(seconds: float) -> None:
    """Four at a time, or at once those that have waited; the rest when it ends, be it by an error."""
    saved: list[list[list[float]]] = []
    with (
        pytest.raises(ValueError, match="the task"),
        Saving(lambda rows: saved.append(rows.tolist()), 4, seconds) as to,
    ):
        to.add([[0.0], [1.0], [2.0]])
        to.add([])
        to.add([[3.0], [4.0]])
        raise ValueError("the task")
    sizes = [len(rows) for rows in saved]
    assert sizes == ([4, 1] if seconds > 0 else [3, 2])
    assert [row for rows in saved for row in rows] == [[float(k)] for k in range(5)]


def test_fits_are_few_chunks_of_the_store(large: tuple[MosaicPlan, dict[str, list[Call]]], tmp_path: Path) -> None:
    plan, calls = large
    with Pretended():
        Mosaic(plan, tmp_path / "run.zarr").fit()
    assert len(Store.open(tmp_path / "run.zarr").tables.fits()) == len(plan.pairs) > 1000
    chunks = list((tmp_path / "run.zarr" / "pairs" / "fits").glob("c*"))
    assert len(plan.pairs) / 256 <= len(chunks) < len(plan.pairs) / 256 + 2 < len(calls["fit"])
