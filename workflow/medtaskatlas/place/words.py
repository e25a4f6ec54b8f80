"""The answer in words."""

from __future__ import annotations

from typing import Any

SHOWN = 3  # tasks of each kind
TOO_FEW = 8  # targets, for an interval of 90 %


def warnings_of(found: dict[str, Any]) -> list[str]:
    """What a reader must know before relying on the answer."""
    warnings = []
    if not found["inside"]:
        warnings.append(
            f"outside of the atlas: {found['outside']:.0%} of the pairs lie farther from every "
            "task than 95 % of its own held-out pairs do; the nearest task may say little"
        )
    if found["copies"]:
        first = found["copies"][0]
        pairs = {copy["pair"] for copy in found["copies"]}
        warnings.append(
            f"{len(pairs)} pairs show images of the run itself, such as {first['pair']} "
            f"({first['dataset']}/{first['image']}, {first['split']}): the encoder may have "
            "learned from them, so this flatters"
        )
    if found["n_files"] == 1:
        warnings.append("one file: support cannot be estimated")
    return warnings


def text_of(found: dict[str, Any]) -> list[str]:
    """The answer in a few lines."""
    rows = {
        kind: [row for row in found["rows"] if row["kind"] == kind]
        for kind in ("task", "family", "source", "partner")
    }
    reached = found["named_of_validation"].get(found["encoder"])
    named = "" if reached is None else f", which names {reached:.0%} of its validation pairs right"
    others = len(found["named_of_validation"])
    seeds = f"mean of {len(found['seeds'])} seeds" if len(found["seeds"]) > 1 else "one seed"
    best = f" (the best of {others} there)" if others > 1 else ""
    lines = [
        f"Encoder: {found['encoder']}, {seeds}{named}{best}.",
        "Nearest tasks: " + "; ".join(map(_near, rows["task"][:SHOWN])) + ".",
        "Family: " + "; ".join(_near(row) for row in rows["family"] if row["share"] >= 0.05) + ".",
    ]
    if found["severity"]:
        lines.append(_degree(found["severity"]))
    if found["inside"]:
        lines.append(
            f"Inside of the atlas: {found['outside']:.0%} of the pairs lie farther from every task "
            "than 95 % of its own held-out pairs do."
        )
    for kind, title in (("source", "Pre-train on"), ("partner", "Train together with")):
        evidence = found["evidence"][kind]
        lines.append(
            f"{title}: " + ("; ".join(map(_gain, rows[kind][:SHOWN])) or "not known") + "."
        )
        if isinstance(evidence, str):
            lines.append(f"  {evidence[0].upper()}{evidence[1:]}.")
        else:
            rests = ", ".join(
                f"{name}s: {evidence[f'n_{name}s']}" for name in ("target", "dataset", "seed")
            )
            few = "; of so few targets an interval is the whole range"
            lines.append(
                "  Gain is the cut of the error against a start from scratch. It rests on "
                f"{evidence['n_cells']} measured gains ({rests}"
                f"{few if evidence['n_targets'] <= TOO_FEW else ''}). With each target left out, "
                f"intervals of {evidence['level']:.0%} held {evidence['coverage']:.0%} of its "
                f"gains, and predictions missed them by {evidence['error']:.2f} on average."
            )
    weights = next((row["weights"] for row in rows["source"][:1] if row["weights"]), None)
    if weights:
        lines.append(
            f"Weights of {rows['source'][0]['name']}: {weights} (load_source in docs/transfer.md)."
        )
    return [*lines, *(f"Note: {note}." for note in found["notes"])]


def _near(row: dict[str, Any]) -> str:
    """A near task or family."""
    support = "" if row["support"] is None else f", support {row['support']:.2f}"
    far = "" if row["distance"] is None else f", distance {row['distance']:.2f}"
    return f"{row['name']} ({row['share']:.0%} of neighbours{support}{far})"


def _gain(row: dict[str, Any]) -> str:
    """A source or partner."""
    if "gain" not in row:
        return f"{row['name']} (functional distance {row['distance']:.2f})"
    return f"{row['name']} (gain {row['gain']:.2f}, {row['ci_low']:.2f} to {row['ci_high']:.2f})"


def _degree(severity: dict[str, Any]) -> str:
    """Severity in words."""
    said = (
        f"Severity as {severity['task']}: {severity['estimate']:.2f} of 0 to 1 "
        f"({severity['low']:.2f} to {severity['high']:.2f}"
    )
    if "effect" not in severity:
        return f"{said})."
    ends = sorted((severity["effect_low"], severity["effect_high"]))
    return (
        f"{said}), that is {severity['effect']} {severity['effect_estimate']:.3g} "
        f"({ends[0]:.3g} to {ends[1]:.3g}) {severity['unit']}."
    )
