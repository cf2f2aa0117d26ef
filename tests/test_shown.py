"""Values that can be shown: they stay the values they were, and the package as light as it was."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from surveys import make_survey

import dmontage as dm
from dmontage import shown
from dmontage.model import Images
from dmontage.pipeline import Cutout, Summary
from dmontage.planner import MosaicPlan
from dmontage.window import Window


def test_import_is_as_light_as_it_was() -> None:
    """Whoever draws is imported when something is drawn."""
    code = "import dmontage, sys; print(*sys.modules)"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "dmontage.shown" in there
    heavy = {"numpy", "astropy", "matplotlib", "PIL", "IPython", "dask", "dmontage.view", "dmontage.pipeline"}
    assert not heavy.intersection(there)


def test_text_where_nobody_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "_drawers", {})
    assert Images(())._repr_html_() is None
    shown.draw_by("html", lambda value: f"<b>{len(value)}</b>")
    assert Images(())._repr_html_() == "<b>0</b>"


def test_values_stay_what_they_were(tmp_path: Path) -> None:
    grid = dm.Grid.around("05h35m -5d23m", "1 deg")
    same = dm.Grid.around("05h35m -5d23m", "1 deg")
    images = dm.scan(make_survey(tmp_path, layout=(1, 2)).folder)
    assert grid == same and hash(grid) == hash(same) and grid != dm.Grid.around("05h35m -5d23m", "2 deg")
    for value in (grid, images, images[0]):
        assert pickle.loads(pickle.dumps(value)) == value
        assert not hasattr(value, "__dict__")  # slots, as before
        name = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)


@pytest.mark.parametrize("kind", [dm.Grid, Images, MosaicPlan, dm.Bands, dm.Mosaic, Summary, Cutout])
def test_all_that_should_can_be_shown(kind: type[Any]) -> None:
    assert issubclass(kind, shown.Shown)


def test_what_has_pixels_can_be_drawn() -> None:
    assert hasattr(dm.Mosaic, "plot") and hasattr(dm.Mosaic, "explore") and hasattr(Cutout, "plot")
    assert not hasattr(Window, "plot")


def test_a_plan_is_told_in_one_line(tmp_path: Path) -> None:
    """Notebooks keep the text beside the HTML: all rows of a large plan would be megabytes."""
    survey = make_survey(tmp_path, layout=(1, 2))
    assert repr(dm.plan(survey.folder, survey.grid)) == "<MosaicPlan 320 x 320 of 2 images, plane, mean>"
