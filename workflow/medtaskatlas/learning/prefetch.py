"""Read what comes next while this is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


def ahead(
    load: Callable[[Item], Loaded], items: Iterable[Item], readers: int = 1
) -> Iterator[Loaded]:
    """Load items in turn, some ahead of the one that is worked on.

    Parameters
    ----------
    load
        Loads an item; called from threads, several at once where there are several readers.
    items
        What to load.
    readers
        Threads, each of which loads an item ahead.

    Yields
    ------
    object
        What ``load`` returned, in the order of the items.
    """
    with ThreadPoolExecutor(max_workers=readers) as pool:
        waiting: deque[Future[Loaded]] = deque()
        for item in items:
            waiting.append(pool.submit(load, item))
            if len(waiting) > readers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
