"""Facts about the running job, for the files that it writes.

A script enters :func:`provide_job_facts`; whoever writes a table inside calls :func:`job_facts`.
Tables import this module alone, so a change in how facts are gathered makes no table anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
Facts = Callable[[], dict[str, Any]]
_FACTS: ContextVar[Facts | None] = ContextVar("facts of the running job", default=None)


@contextmanager
def provide_job_facts(facts: Facts) -> Iterator[None]:
    """Let :func:`job_facts` return what ``facts()`` gathers."""
    token = _FACTS.set(facts)
    try:
        yield
    finally:
        _FACTS.reset(token)


def job_facts() -> dict[str, Any] | None:
    """Facts about the running job, see :func:`medtaskatlas.provenance.stamp.stamp`, or None."""
    facts = _FACTS.get()
    return None if facts is None else facts()
