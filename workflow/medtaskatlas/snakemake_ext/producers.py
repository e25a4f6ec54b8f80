"""A workaround for Snakemake 9.27, which looks for a file's rule anew for every job.

Which rules can make a file depends on its name alone, but is found by matching the name with the
outputs of rules. Pairs are inputs of every training and embedding: the full-size run reads 5,000
files in 155,000 places, and this was more than half of the time that its planning takes.
"""

from __future__ import annotations

from typing import Any


def remember_producers(index: Any) -> None:
    """Let the index of all rules' outputs remember its answers.

    Parameters
    ----------
    index
        ``snakemake.output_index.OutputIndex``; it never changes once it is made. A class without
        the method, as another version of Snakemake may have it, is left alone.
    """
    asked = getattr(index, "match_producers", None)
    if asked is None or getattr(index, "_remembers", False):
        return

    def match_producers(self: Any, targetfile: str) -> Any:
        known: dict[str, Any] = self.__dict__.setdefault("_known_producers", {})
        if targetfile not in known:
            known[targetfile] = asked(self, targetfile)
        return known[targetfile]

    index.match_producers = match_producers
    index._remembers = True
