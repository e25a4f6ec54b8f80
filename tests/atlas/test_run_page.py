"""The page of a run: everything that it must hold, as tables that Markdown can read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from medtaskatlas.atlas.registry import TABLES
from medtaskatlas.atlas.run_page import NEEDED, OPTIONAL, run_page
from medtaskatlas.atlas.run_page_sections import SECTIONS
from medtaskatlas.atlas.tables import conform, write_table
from medtaskatlas.core.errors import DataError

RUN = "small"
COMMAND = "snakemake --cores 2 --config run=small"
NUMBER = {
    "estimate": 0.7, "seed_sd": 0.0125, "ci_low": 0.6451, "ci_high": 0.75, "ci_method": "bootstrap",
    "n_pairs": 1200, "n_images": 60, "n_groups": 9, "n_subjects": 9, "n_datasets": 3,
}  # fmt: skip
COMMON = {"run": RUN, "encoder": "taco", "split": "datasets", **NUMBER}
NONE = {"estimate": None, "seed_sd": None, "ci_low": None, "ci_high": None, "ci_method": None}
TRIED = {"p": 0.002, "p_adjusted": 0.004, "p_family": "tests"}
FIXED = ["Findings", "Identification", "Paired differences", "Shares of variance"]
CLOSING = ["Controls", "Shortcuts", "Datasets", "Cost"]
TITLES = {
    "unseen_tasks": "Unseen tasks",
    "trajectories": "Trajectories",
    "failures": "Failures",
    "scaling": "Scaling",
}


def rows_of() -> dict[str, list[dict[str, Any]]]:
    """A few rows of each table; what the page must not show is called `hidden` somewhere."""
    named = COMMON | {
        "kind": "taco", "role": "model", "method": "knn", "task_subset": "all",
        "measure": "balanced_accuracy", "level": "overall", "name": "all",
    }  # fmt: skip
    pair = COMMON | TRIED | {
        "kind": "taco", "method": "knn", "other": "pixels", "other_kind": "pixels",
        "other_method": "knn", "measure": "balanced_accuracy",
    }  # fmt: skip
    share = COMMON | {"kind": "taco", "measure": "omega_squared", "within": "crossed"}
    probe = {k: v for k, v in COMMON.items() if k != "encoder"} | {
        "view": "border", "level": "task", "reason": "it sees a strip", "flagged": False,
    }  # fmt: skip
    control = COMMON | {"control": "mismatched_outputs", "expectation": "chance", "passed": True}
    unseen = named | {"measure": "family_accuracy", "n_tasks": 30}
    for key in ("method", "task_subset"):
        unseen.pop(key)
    track = COMMON | {
        "role": "model", "scope": "task", "task": "rotation", "family": "transformation",
        "task_trained": True, "asked_for": False, "measure": "spearman",
    }  # fmt: skip
    wrong = COMMON | {"role": "model", "task": "all", "n_right": 90, "measure": "separation_auc"}
    amount = COMMON | {"steps": 300, "axis": "all", "measure": "balanced_accuracy"}
    seed = {"seed": 1, "encoder": "hidden"}
    return {
        "summary": [
            COMMON | {"finding": "task_named", "sentence": "It names 70 %.", "supported": True}
            | {"verdict": "supported"},
            COMMON | {"finding": "other", "sentence": "It does not.", "supported": False}
            | {"verdict": "not supported"},
        ],
        "identification": [
            named,
            named | {"method": "linear", "note": "undefined"} | NONE,
            named | seed,
            named | {"level": "task", "name": "hidden"},
        ],
        "comparisons": [
            pair | {"contrast": "best_baseline"},
            pair | {"contrast": "best_probe", "other_method": "boosted"},
            pair | {"contrast": "pair", "other": "hidden"},
        ],
        "separation": [
            share | {"factor": "task"},
            share | {"factor": "dataset", "note": "undefined"} | NONE,
            share | {"factor": "task", "measure": "omega_squared_difference"} | TRIED,
            share | {"factor": "task", "measure": "omega_squared_gain", "other": "pixels"},
            share | {"factor": "interaction", "encoder": "hidden"},
            share | {"factor": "task", "measure": "silhouette", "encoder": "hidden"},
        ],
        "controls": [control, control | {"split": "groups", "passed": None, "note": "not run"}],
        "shortcuts": [
            probe | {"level": "overall", "name": "all", "flagged": None},
            probe | {"name": "shear", "flagged": True},
            probe | {"name": "hidden"},
        ],
        "datasets": [
            {
                "run": RUN, "dataset": "ct_one", "source": "embedded", "modality": "CT",
                "licence": "CC0-1.0", "annotation": "none", "heldout": True, "n_images": 50,
                "n_groups": 5, "n_subjects": 5, "n_train": 0, "n_val": 0, "n_test": 50,
                "groups_train": 0, "groups_val": 0, "groups_test": 5,
            }
        ],
        "unseen_tasks": [
            unseen,
            unseen | {"level": "difference", "other": "pixels"},
            unseen | {"level": "task", "name": "rotation", "encoder": "hidden"},
        ],
        "trajectories": [
            track,
            track | {"measure": "path_over_chord_difference", "other": "pixels"},
            track | {"measure": "turning_angle", "encoder": "hidden"},
            track | {"task": "shear", "encoder": "hidden"},
            track | {"scope": "dataset", "dataset": "ct_one", "encoder": "hidden"},
            track | seed,
        ],
        "failures": [
            wrong | {"failure_kind": "all", "reference": 0.5},
            wrong | {"failure_kind": "all", "task": "rotation", "encoder": "hidden"},
            wrong | {"failure_kind": "all"} | seed,
        ],
        "scaling": [amount | {"train_datasets": 3, "train_pairs": 90}],
    }  # fmt: skip


def write_run(folder: Path, *more: str, **changed: list[dict[str, Any]]) -> Path:
    """Results of a run: the tables that must be there, those in `more`, and benchmarks."""
    results = folder / "results" / RUN
    for name, rows in (rows_of() | changed).items():
        if name in (*NEEDED, *more):
            write_table(name, rows, results / "tables" / f"{name}.parquet", {"run": RUN})
    for stage, seconds in {"train/taco/seed0": 100.5, "train/taco/seed1": 20, "embed/a": 3}.items():
        file = results / "benchmarks" / f"{stage}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        rss = "-" if stage == "embed/a" else f"{2 * seconds:g}"
        file.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t{rss}\n")
    return results


def page_of(results: Path, out: Path) -> str:
    run_page(results, out, command=COMMAND)
    return out.read_text()


def sections(page: str) -> dict[str, list[str]]:
    """Lines below each heading, in order."""
    parts = re.split(r"^## (.+)$", page, flags=re.M)
    return {
        title: [line for line in text.splitlines() if line]
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def cells(line: str) -> list[str]:
    """Cells of a line of a table, as Markdown parts them: an escaped bar is text."""
    assert line.startswith("|"), line
    assert line.endswith("|"), line
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def records(lines: list[str]) -> list[dict[str, str]]:
    """A table of Markdown; every row must have the cells of its head."""
    head, rule, *rows = map(cells, lines)
    assert len(set(head)) == len(head)
    assert rule == ["---"] * len(head)
    assert all(len(row) == len(head) for row in rows)
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """Page of a run with all tables."""
    folder = tmp_path_factory.mktemp("keep")
    return page_of(write_run(folder, *OPTIONAL), folder / "docs" / "small.md")


@pytest.mark.parametrize("missing", [*((name,) for name in NEEDED), NEEDED], ids=str)
def test_tables_that_are_missing_are_named_at_once(tmp_path, missing) -> None:
    results = write_run(tmp_path)
    for name in missing:
        (results / "tables" / f"{name}.parquet").unlink()
    with pytest.raises(DataError) as caught:
        run_page(results, tmp_path / "page.md", command=COMMAND)
    assert caught.value.problem == f"{results} lacks the tables {', '.join(missing)}"
    assert caught.value.remedy == "finish the run first"
    assert not (tmp_path / "page.md").exists()


def test_a_table_under_the_name_of_another_is_refused(tmp_path) -> None:
    results = write_run(tmp_path, "scaling")
    tables = results / "tables"
    (tables / "scaling.parquet").replace(tables / "controls.parquet")
    with pytest.raises(DataError, match=r"controls\.parquet is not the table 'controls'"):
        run_page(results, tmp_path / "page.md", command=COMMAND)


def test_the_page_says_what_made_it(page) -> None:
    assert page.startswith(f"# Run {RUN}\n")
    assert f"\n- command: `{COMMAND}`\n" in page
    assert re.search(r"^- commit: \S.*$", page, re.M)
    assert re.search(r"^- machine: \S+, Python 3\.\d+\.\d+$", page, re.M)
    assert page.endswith("|\n")


def test_every_section_is_there_in_order(page) -> None:
    assert list(sections(page)) == [*FIXED, *TITLES.values(), *CLOSING]
    assert set(TITLES) == set(OPTIONAL)


@pytest.mark.parametrize("more", [(), *((name,) for name in TITLES)], ids=str)
def test_optional_sections_are_there_only_with_their_tables(tmp_path, more) -> None:
    found = sections(page_of(write_run(tmp_path, *more), tmp_path / "page.md"))
    assert list(found) == [*FIXED, *(TITLES[name] for name in more), *CLOSING]


def test_every_section_is_a_table_of_markdown(page) -> None:
    for title, lines in sections(page).items():
        assert records(lines), title


def test_numbers_are_short_and_nulls_are_empty(page) -> None:
    known, null = records(sections(page)["Identification"])
    assert known == {
        "encoder": "taco", "split": "datasets", "method": "knn", "task_subset": "all",
        "measure": "balanced_accuracy", "estimate": "0.700", "seed_sd": "0.013",
        "ci_low": "0.645", "ci_high": "0.750", "n_pairs": "1200", "n_groups": "9",
        "n_subjects": "9", "n_datasets": "3",
    }  # fmt: skip
    assert null["method"] == "linear"
    assert [null[name] for name in ("estimate", "seed_sd", "ci_low", "ci_high")] == [""] * 4
    every = {
        cell for lines in sections(page).values() for row in records(lines) for cell in row.values()
    }
    assert not every & {"nan", "None", "<NA>", "NaN"}


def test_the_page_is_small(page) -> None:
    """Not seeds, not single tasks, not every pair of encoders, not what nobody asked of."""
    assert "hidden" not in page
    size = {title: len(records(lines)) for title, lines in sections(page).items()}
    assert size == {
        "Findings": 2, "Identification": 2, "Paired differences": 2, "Shares of variance": 4,
        "Unseen tasks": 2, "Trajectories": 2, "Failures": 1, "Scaling": 1, "Controls": 2,
        "Shortcuts": 2, "Datasets": 1, "Cost": 2,
    }  # fmt: skip


def test_findings_controls_and_shortcuts_keep_their_verdicts(page) -> None:
    found = sections(page)
    assert records(found["Findings"]) == [
        {"verdict": "supported", "sentence": "It names 70 %."},
        {"verdict": "not supported", "sentence": "It does not."},
    ]
    assert [row["passed"] for row in records(found["Controls"])] == ["True", ""]
    flagged = {row["name"]: row["flagged"] for row in records(found["Shortcuts"])}
    assert flagged == {"all": "", "shear": "True"}


def test_cost_is_told_by_stage(page) -> None:
    embed, train = records(sections(page)["Cost"])
    assert train == {
        "stage": "train", "jobs": "2", "seconds in all": "120.500", "longest, s": "100.500",
        "peak memory of one job, MiB": "201.000",
    }  # fmt: skip
    # Too short for Snakemake to look at its memory.
    assert (embed["jobs"], embed["peak memory of one job, MiB"]) == ("1", "")


def test_a_section_without_rows_or_benchmarks_says_none(tmp_path) -> None:
    results = write_run(tmp_path, "failures", failures=[], controls=[], summary=[])
    (results / "benchmarks").rename(tmp_path / "elsewhere")
    found = sections(page_of(results, tmp_path / "page.md"))
    for title in ("Findings", "Failures", "Controls", "Cost"):
        assert found[title] == ["None."]


def test_a_page_is_replaced_whole(tmp_path) -> None:
    results, out = write_run(tmp_path), tmp_path / "page.md"
    out.write_text("old\n" * 1000)
    assert page_of(results, out) == page_of(results, tmp_path / "new.md")
    assert {file.name for file in tmp_path.iterdir()} == {"results", "page.md", "new.md"}


def test_text_cannot_break_a_table(tmp_path) -> None:
    rows = rows_of()["summary"][:1]
    rows[0]["sentence"] = "It names a|b.\nTwice."
    found = sections(page_of(write_run(tmp_path, summary=rows), tmp_path / "page.md"))
    assert records(found["Findings"]) == [
        {"verdict": "supported", "sentence": r"It names a\|b. Twice."}
    ]


def test_a_table_of_another_run_is_refused(tmp_path) -> None:
    results = write_run(tmp_path)
    rows = [row | {"run": "other"} for row in rows_of()["controls"]]
    write_table("controls", rows, results / "tables" / "controls.parquet", {"run": "other"})
    with pytest.raises(DataError, match="is of run 'other'"):
        run_page(results, tmp_path / "page.md", command=COMMAND)


def test_a_run_of_multitask_systems_alone_needs_no_table_of_encoders(tmp_path) -> None:
    results = write_run(tmp_path)
    gain = {
        "run": RUN, "problem": "p", "scope": "problem", "system": "ctan", "weighting": "equal",
        "reference_kind": "stl", "reference": "stl", "split": "test", "measure": "delta_m",
        "target": "all", "score": None, **TRIED, **NUMBER,
    }  # fmt: skip
    del gain["n_pairs"]
    rows = [
        gain,
        gain | {"problem": "all", "scope": "problems", "estimate": 0.2},
        gain | {"problem": "all", "scope": "these_problems", "system": "hidden"},
        gain | {"measure": "mean_rank", "reference_kind": "none", "system": "hidden"},
    ]
    write_table("multitask_gains", rows, results / "tables/multitask_gains.parquet", {"run": RUN})
    for name in NEEDED:
        if name not in ("summary", "datasets"):
            (results / "tables" / f"{name}.parquet").unlink()
    page = page_of(results, tmp_path / "page.md")
    findings, gains, *rest = sections(page)
    assert (findings, *rest) == ("Findings", "Datasets", "Cost")
    # The mean over problems stands first.
    assert records(sections(page)[gains]) == [
        {"system": "ctan", "reference_kind": "stl", "all, n = 9": "0.200 [0.645, 0.750]",
         "p, n = 9": "0.700 [0.645, 0.750]"},
    ]  # fmt: skip
    assert "hidden" not in page
    (results / "embeddings").mkdir()
    with pytest.raises(DataError, match="lacks the tables identification"):
        run_page(results, tmp_path / "page.md", command=COMMAND)


@pytest.mark.parametrize("name", SECTIONS)
def test_columns_of_sections_are_those_of_their_tables(name) -> None:
    shown = SECTIONS[name]
    known = {column.name for column in TABLES[name].load_schema().columns}
    assert {*shown.columns, *filter(None, [shown.across]), shown.value} <= {*known, "estimate"}
    assert shown.of(conform(name, [])).empty


def medformer_rows() -> dict[str, list[dict[str, Any]]]:
    """Tables of a run of Medformer: two arms, two sets; what must not be shown is `hidden`."""
    of = {"run": RUN, "labels": 100, "split": "test", "target": "label", "score": "macro_auc"}
    of |= {"duplicates": "kept"}
    of |= {k: v for k, v in NUMBER.items() if k != "n_pairs"}
    score = of | {"target_kind": "class", "unit": "1", "higher_is_better": True}
    gain = of | TRIED | {"reference": "single", "set": "all"}
    cost = {"run": RUN, "set": "one", "labels": 100, "n_seeds": 1, "note": "no interval"}
    cost |= {"part": "training", "measure": "cpu_seconds", "arm": "ssl"}
    hidden = {"arm": "hidden"}
    return {
        "medformer_scores": [
            score | {"set": "one", "arm": "single"},
            score | {"set": "two", "arm": "single", "estimate": 0.8, "n_subjects": 8} | NO_INTERVAL,
            score | {"set": "one", "arm": "ssl", "estimate": 0.9},
            score | {"set": "one", "arm": "ssl", "score": "accuracy", "estimate": 0.111},
            score | {"set": "one", "split": "val"} | hidden,
            score | {"set": "one", "seed": 0} | hidden,
        ],
        "medformer_gains": [
            gain | {"arm": "ssl", "differs": "model", "reference": "resnet18"},
            gain | {"arm": "ssl", "differs": "start"},
            gain | {"arm": "ssl", "differs": "matched", "reference": "longer"},
            gain | {"arm": "ssl", "differs": "start", "set": "one", "estimate": 0.3},
            gain | {"differs": "start", "set": "one", "score": "accuracy"} | hidden,
        ],
        "medformer_duplicates": [
            {"run": RUN, "set": "one", "n_train": 9, "n_val": 5, "n_test": 7, "within_split": 1,
             "across_splits": 2, "other_labels": 0, "n_left_out": 2, "left_out": "[]",
             "dropped": 3},
        ],
        "medformer_convergence": [
            cost | {"estimate": 20.0},
            cost | {"estimate": 40.0, "set": "two"},
            cost | {"estimate": 90.0, "part": "total"},
            cost | {"estimate": 30.0, "measure": "steps_to_95"},
            cost | {"estimate": 5e6, "measure": "flops"},
            cost | {"estimate": 1.0, "seed": 0} | hidden,
        ],
    }  # fmt: skip


NO_INTERVAL = {"ci_low": None, "ci_high": None, "ci_method": None, "note": "few"}


def test_a_run_of_medformer_is_arms_by_sets_gains_and_cost(tmp_path) -> None:
    results = write_run(tmp_path)
    for name in NEEDED:
        if name not in ("summary", "datasets"):
            (results / "tables" / f"{name}.parquet").unlink()
    for name, rows in medformer_rows().items():
        write_table(name, rows, results / "tables" / f"{name}.parquet", {"run": RUN})
    page = page_of(results, tmp_path / "page.md")
    found = sections(page)
    assert "hidden" not in page
    assert "0.111" not in page
    _, arms, gains, same, cost, *_ = map(records, found.values())
    assert same[0]["n_left_out"] == "2"
    assert arms == [
        {"arm": "single", "labels": "100", "duplicates": "kept", "score": "macro_auc",
         "one, n = 9": "0.700 [0.645, 0.750]", "two, n = 8": "0.800"},
        {"arm": "ssl", "labels": "100", "duplicates": "kept", "score": "macro_auc",
         "one, n = 9": "0.900 [0.645, 0.750]", "two, n = 8": ""},
    ]  # fmt: skip
    assert [row["differs"] for row in gains] == ["matched", "start", "model"]
    assert list(gains[1])[-2:] == ["all, n = 9", "one, n = 9"]
    assert gains[1]["one, n = 9"] == "0.300 [0.645, 0.750]"
    assert cost == [
        {"measure": "cpu_seconds", "arm": "ssl", "labels": "100", "training": "30.000",
         "total": "90.000"},
        {"measure": "steps_to_95", "arm": "ssl", "labels": "100", "training": "30.000",
         "total": ""},
    ]  # fmt: skip


def test_a_long_page_is_cut_and_says_where_the_rest_is(tmp_path) -> None:
    rows = rows_of()
    told = rows["summary"][1] | {"sentence": "It does not. " * 30}
    many = [told | {"finding": f"f{i}", "encoder": f"e{i}"} for i in range(400)]
    many.append(rows["summary"][0])
    named = [rows["identification"][0] | {"encoder": f"taco{i}"} for i in range(600)]
    results = write_run(tmp_path, *OPTIONAL, summary=many, identification=named)
    page = page_of(results, tmp_path / "page.md")
    assert len(page.encode()) < 25_000
    found = sections(page)
    for title, name, n in (("Findings", "summary", 401), ("Identification", "identification", 600)):
        *table, note = found[title]
        kept = len(records(table))
        assert 1 < kept < n
        assert (
            note == f"{kept} of {n} rows; the others are in `results/small/tables/{name}.parquet`."
        )
    # What is supported is told first, and what is short is whole.
    assert records(found["Findings"][:-1])[0]["sentence"] == "It names 70 %."
    assert len(records(found["Shortcuts"])) == 2
    assert len(records(found["Cost"])) == 2
