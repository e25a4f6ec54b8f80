"""What a running job knows of itself, for the files that it writes.

A script enters :func:`job_known_by`; whoever writes a table inside asks :func:`job_facts`. Tables
import this module alone, so what is gathered, and how, may change without a table being made anew.
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
def job_known_by(facts: Facts) -> Iterator[None]:
    """Let :func:`job_facts` answer inside.

    Parameters
    ----------
    facts
        Gathers JSON-able facts; called only where something is written.

    Yields
    ------
    None
    """
    token = _FACTS.set(facts)
    try:
        yield
    finally:
        _FACTS.reset(token)


def job_facts() -> dict[str, Any] | None:
    """Facts about the job that is running.

    Returns
    -------
    dict or None
        See :func:`medtaskatlas.provenance.stamp.stamp`; None outside of a job.
    """
    facts = _FACTS.get()
    return None if facts is None else facts()
