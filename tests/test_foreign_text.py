"""Names and texts of files and servers cannot steer a terminal or forge what is shown."""

import logging
from types import SimpleNamespace

import pytest

from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.core.text import aligned_table, visible
from medtaskatlas.datasets.folder.files import Finding
from medtaskatlas.run.config import parse_config
from medtaskatlas.snakemake_ext.jobs import job

KEYS = {"run": "x", "datasets": ["breastmnist"], "encoders": {"pixels": {}}}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\x9bb\x7f\r", r"a\x9bb\x7f\r"),
        ("a\u202egnp.exe\u2066", r"a\u202egnp.exe\u2066"),
        ("\udce4\u2028", r"\udce4\u2028"),
        ("Größe 3\u00a0µm, 日本, می\u200cخواهم\n\tb", "Größe 3\u00a0µm, 日本, می\u200cخواهم\n\tb"),
    ],
)
def test_visible(text, shown) -> None:
    assert visible(text) == shown


def test_errors_findings_and_tables() -> None:
    evil = "\x1b]0;x\x07"
    for text in (
        str(DataError(f"{evil}.png is damaged", f"mend {evil}")),
        DataError(evil, evil).problem,
        str(Finding("error", f"{evil}\nb.png", "", evil, evil)),
        aligned_table(["name"], [[evil + "\n"]]),
    ):
        assert "\x1b" not in text
        assert r"\x1b" in text
    assert r"\nb.png" in str(Finding("error", "a\nb.png", "", "", ""))


def test_logs_of_jobs(tmp_path, monkeypatch, capsys) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    log = tmp_path / "job.log"

    def run() -> None:
        with job(SimpleNamespace(threads=1, log=[log], rule="r")) as logger:
            logger.warning("series %s", "\x1b[2J")
            raise DataError("\x1b[2J", "")

    with pytest.raises(SystemExit):
        run()
    said = log.read_text() + capsys.readouterr().err
    assert "\x1b" not in said
    assert said.count(r"\x1b[2J") == 3


@pytest.mark.parametrize(
    "mirror",
    ["https://me:s3cret@host.org/data", "http://s3cret@host.org", "ftp://u:s3/cret@host.org"],
)
def test_a_password_is_not_copied_into_results(mirror) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(
            {"run": "x", "datasets": ["breastmnist"], "encoders": {"pixels": {}}, "mirror": mirror}
        )
    assert "s3" not in str(caught.value).replace("results", "")
    assert "machine host.org login" in caught.value.remedy


@pytest.mark.parametrize("mirror", ["https://host.org/data", "/data/a@b", "folder"])
def test_mirrors_without_a_password(mirror) -> None:
    config = parse_config(
        {"run": "x", "datasets": ["breastmnist"], "encoders": {"pixels": {}}, "mirror": mirror}
    )
    assert config.mirror == mirror
