"""What is mended of the pinned Snakemake is there to be mended, and nothing else is touched."""

from types import SimpleNamespace

from snakemake.output_index import OutputIndex
from snakemake.persistence import PersistenceBase

from medtaskatlas.run.batching import jobs_are_sent_away
from medtaskatlas.snakemake_ext.cell_records import NEEDED, remember_cells
from medtaskatlas.snakemake_ext.patches import repair_snakemake
from medtaskatlas.snakemake_ext.producers import remember_producers


class Index:
    """An index that counts how often it looks."""

    def __init__(self, answer: str) -> None:
        self.answer, self.looks = answer, 0

    def match_producers(self, targetfile: str) -> set[str]:
        self.looks += 1
        return {self.answer + targetfile}


def test_a_file_is_looked_up_once_in_each_index() -> None:
    remember_producers(Index)
    remember_producers(Index)
    one, two = Index("one "), Index("two ")
    for _ in range(3):
        assert one.match_producers("a") == {"one a"}
        assert one.match_producers("b") == {"one b"}
        assert two.match_producers("a") == {"two a"}
    assert (one.looks, two.looks) == (2, 1)


def test_the_pinned_snakemake_is_as_expected() -> None:
    repair_snakemake()
    assert OutputIndex._remembers
    assert PersistenceBase._remembers_cells
    assert [name for name in NEEDED if not hasattr(PersistenceBase, name)] == []


def test_another_snakemake_is_left_alone() -> None:
    other = type("Other", (), {"finished": "as it was"})
    remember_cells(other)
    remember_producers(other)
    assert other.finished == "as it was"
    assert not hasattr(other, "match_producers")


def test_jobs_are_sent_away_by_the_executor_and_on_the_node() -> None:
    def workflow(nodes: int | None, remote: bool = False) -> SimpleNamespace:
        return SimpleNamespace(remote_exec=remote, resource_settings=SimpleNamespace(nodes=nodes))

    assert not jobs_are_sent_away(workflow(None))
    assert jobs_are_sent_away(workflow(100))
    assert jobs_are_sent_away(workflow(None, remote=True))
