"""Read what comes next while this is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


def prefetch(
    load: Callable[[Item], Loaded], items: Iterable[Item], readers: int = 1
) -> Iterator[Loaded]:
    """Load items in their order, each of ``readers`` threads one ahead of what is worked on."""
    with ThreadPoolExecutor(max_workers=readers) as pool:
        waiting: deque[Future[Loaded]] = deque()
        for item in items:
            waiting.append(pool.submit(load, item))
            if len(waiting) > readers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
