"""Pages say what the code does."""

import re

import pytest

from medtaskatlas.atlas import controls, distances, inference, predict, resampling, task_neighbours
from medtaskatlas.atlas.clusters import table as clusters
from medtaskatlas.atlas.comparisons import cka, mantel
from medtaskatlas.atlas.failures import scores as failure_scores
from medtaskatlas.atlas.failures import table as failures
from medtaskatlas.atlas.separation import statistics
from medtaskatlas.atlas.separation import table as separation
from medtaskatlas.atlas.shortcuts import table as shortcuts
from medtaskatlas.atlas.shortcuts import views as shortcut_views
from medtaskatlas.atlas.trajectories import geometry
from medtaskatlas.atlas.trajectories import table as trajectories
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.encoders import embed
from medtaskatlas.site.links import section
from medtaskatlas.site.pages import pages, sections


@pytest.mark.parametrize("file", list(pages()), ids=lambda file: file.name)
def test_page_is_in_step(file):
    assert file.read_text() == pages()[file], f"{file.name} is out of step with the code: make docs"


def test_every_key_is_described():
    bare = [
        f"{model.__name__}.{key}"
        for model in sections().values()
        for key, field in model.model_fields.items()
        if not field.description
    ]
    assert bare == []


def test_targets_are_rules_without_wildcards():
    files = [REPOSITORY / "Snakefile", *(REPOSITORY / "workflow" / "rules").glob("*.smk")]
    rules = {name for file in files for name in re.findall(r"^rule (\w+):", file.read_text(), re.M)}
    page = section((REPOSITORY / "config" / "README.md").read_text(), "Targets")
    targets = set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    assert {"all", "pairs", "report"} <= targets <= rules


COUNT = {2: "two", 3: "three", 4: "four", 5: "five", 10: "ten"}
FEW_DRAWS = {distances.DRAWS, separation.SHARE_DRAWS, trajectories.DRAWS, failures.DRAWS}


@pytest.mark.parametrize(
    "words",
    [
        f"So each of {resampling.DRAWS:,} draws takes",
        f"failures use {FEW_DRAWS.pop():,} draws and CKA {cka.DRAWS},",
        f"the smallest that {resampling.DRAWS:,} draws can give is {2 / resampling.DRAWS:g}",
        f"Under {COUNT[inference.MIN_SUBJECTS]} subjects there is no interval",
        f"where $n \\geq {inference.MANY}$",
        f"with fewer than {inference.MANY} datasets",
        f"its $k = {predict.K}$ nearest gallery pairs",
        f"({COUNT[embed.MISMATCHED_PAIRS]} a cell,",
        f"97.5 % of up to {controls.SPLITS} ways",
        f"`ami_gain` ({clusters.GAIN_DRAWS} draws)",
        f"(at least {COUNT[statistics.MIN_CELL]})",
        f"in more than {statistics.COMPONENTS} dimensions",
        f"at most {separation.DISPERSION_PAIRS:,} pairs",
        f"from at most {distances.SAMPLED_PAIRS} pairs a task",
        f"names the {COUNT[task_neighbours.RANKS]} nearest",
        f"with the sizes of the families as they are ({mantel.PERMUTATIONS:,} times)",
        f"Needs {COUNT[mantel.MIN_TASKS]} tasks with known distances",
        f"{mantel.HALVES} random splits",
        f"fewer than {COUNT[mantel.MIN_DISTANCES]} known distances",
        f"or there are fewer than {COUNT[geometry.MIN_LEVELS]}.",
        f"to the {failure_scores.K} nearest right gallery pairs",
        f"only the border of {COUNT[shortcut_views.STRIP]} pixels",
        f"the interval lies {shortcuts.MARGIN} above both",
    ],
)
def test_statistics_page_has_the_numbers_of_the_code(words):
    assert not FEW_DRAWS, "distances, shares, trajectories and failures differ in their draws"
    page = " ".join((REPOSITORY / "docs" / "statistics.md").read_text().split())
    assert words in page.replace("**", "")
