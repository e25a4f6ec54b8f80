"""Property tests of any task, the user's own included: what `medtaskatlas tasks check` runs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from medtaskatlas.core.errors import DataError, TaskError
from medtaskatlas.core.files import read_text
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.colour import is_colour
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.contract import ARRAYS
from medtaskatlas.tasks.task import REGISTRY, Params, Task

# Between 0 and the mildest of these 8 bits swallow the effect of many tasks.
SEVERITIES = (0.2, 0.4, 0.7, 1.0)
_DRAWS = 4
# Of the images to try tasks on.
EXAMPLE_SIDES = (28, 64, 512)


@dataclass(frozen=True)
class Finding:
    """One thing that was found in a file of tasks."""

    severity: str  # error, warning, or info: what a task was tried on
    task: str  # empty for the file as a whole
    problem: str  # what is wrong and what to do
    place: str  # file and line

    def __str__(self) -> str:
        parts = (self.severity, self.place, self.task, self.problem)
        return ": ".join(part for part in parts if part)


def check_file(file: str | Path) -> list[Finding]:
    """Findings in all tasks of a file; a task without an error has one of what it was tried on."""
    from medtaskatlas.tasks.bank import CHECK, load_file

    file = Path(file)
    if file.is_dir():
        inside = [str(path) for path in sorted(file.glob("*.py"))] or ["FILE.py"]
        remedy = "; ".join(f"medtaskatlas tasks check {path}" for path in inside)
        raise DataError(f"{file} is a folder, not a file", f"check its files: {remedy}")
    read_text(file)
    if file.suffix != ".py":
        raise DataError(f"{file} is no Python file", "call it *.py, or `tasks_dir` passes it over")
    load_file("tasks_dir", file, CHECK)
    module = f"medtaskatlas_user_tasks.{file.stem}"
    tasks = [task for task in REGISTRY.values() if task.apply.__module__ == module]
    if not tasks:
        said = f"{file} registers no task: decorate a function with medtaskatlas.tasks.task.task"
        return [Finding("error", "", said, "")]
    found = []
    samples = example_samples()
    for task in tasks:
        code = getattr(task.apply, "__code__", None)
        place = f"{file}: line {code.co_firstlineno}" if code else str(file)
        findings = check_task(task, samples)
        for finding in findings:
            severity, problem = finding.split(": ", 1)
            found.append(Finding(severity, task.name, problem, place))
        if not any(finding.startswith("error") for finding in findings):
            tried = [sample for sample in samples if task.usable(sample)]
            sides = ", ".join(str(side) for side in sorted({len(s.image) for s in tried}))
            kinds = ", ".join(dict.fromkeys(map(_kind, tried)))
            mildest = SEVERITIES[0] if task.family == "semantic" else 0
            levels = f"severities {mildest} to {SEVERITIES[-1]:g}" if task.ladder else "no ladder"
            said = (
                f"{task.family} task, kept its contract on {len(tried)} of {len(samples)} pictures "
                f"({sides} px; {kinds}; {levels})"
            )
            found.append(Finding("info", task.name, said, place))
    return found


def check_task(task: Task, samples: Iterable[Sample] | None = None) -> list[str]:
    """Try a task on images of many kinds, and say what is wrong with it.

    Each finding begins with ``error:`` (pairs of this task would fail, could not be made again or
    never be as meant) or ``warning:`` (they can be made, but look wrong).
    """
    tried = list(example_samples() if samples is None else samples)
    try:
        usable = [sample for sample in tried if task.usable(sample)]
    except Exception as error:
        return [f"error: whether an image can be used: {type(error).__name__}: {error}"]
    if not usable:
        needs = ", ".join(sorted(task.needs))
        return [f"error: none of {len(tried)} images has what the task needs ({needs})"]
    findings: list[str] = []
    for sample in usable:
        findings += _guarded(_keeps_contract, task, sample)
        if findings:
            return findings
    if len(usable) > 1:
        findings += _guarded(_depends_on_nothing_else, task, usable)
    check = _has_no_severity if task.ladder is None else _climbs_its_ladder
    findings += _guarded(check, task, usable)
    return findings + _guarded(_looks_right, task, usable)


def _guarded(check: Callable[..., Iterator[str]], *arguments: object) -> list[str]:
    """Findings of a check; what the task itself raises is one."""
    found = []
    try:
        for finding in check(*arguments):
            found.append(finding)
    except TaskError as error:
        found.append(f"error: {error.problem}" + (f" ({error.remedy})" if error.remedy else ""))
    return found


def _shape(sample: Sample) -> str:
    """What kind of image it is, for findings."""
    height, width = sample.image.shape[:2]
    return f"on a {_kind(sample)} image of {height} x {width}"


def _kind(sample: Sample) -> str:
    if sample.image.shape[2:] != (3,):
        return "one-channel"
    return "colour" if is_colour(sample.image) else "grey"


def _drawn(task: Task, sample: Sample, severity: float = 0.7, draw: int = 0) -> Params:
    """Parameters of a pair, the same for all severities but for the effect."""
    return task.parameters(generator(0, "check", task.name, draw), sample, severity)


def _keeps_contract(task: Task, sample: Sample) -> Iterator[str]:
    """Plain parameters, two uint8 images, the same every time, nothing else touched."""
    before = _global_generators()
    params = _drawn(task, sample)
    if params != _drawn(task, sample):
        yield "error: draw is not deterministic: two equal generators give other parameters"
        return
    arrays = {name: getattr(sample, name) for name in ARRAYS}
    free = replace(sample, **{n: a.copy() for n, a in arrays.items() if a is not None})
    given = json.loads(json.dumps(params))
    try:
        task.apply(free, given)
    except Exception:
        # Told in the task's own words below.
        given = params
    for name, array in arrays.items():
        if array is not None and not np.array_equal(array, getattr(free, name)):
            yield f"error: apply writes to the sample's {name} {_shape(sample)}: work on a copy"
            return
    if given != params:
        yield f"error: apply changes its params, from {params} to {given}: work on a copy"
        return
    if _global_generators() != before:
        yield (
            f"error: draw or apply uses a global generator (numpy.random.* or random.*) "
            f"{_shape(sample)}: take numbers from the rng of draw, a field from a seed in params"
        )
        return
    try:
        pair = task.make(sample, params, twice=True)
    except TaskError as error:
        raise TaskError(f"{_shape(sample)}: {error.problem}", error.remedy) from error
    raw = task.draw(generator(0, "check", task.name, 0), sample, 0.7)
    if not _same(pair, task.make(sample, raw)):
        yield f"error: params {raw} do not survive JSON: their pair is another one afterwards"


def _global_generators() -> tuple[object, ...]:
    """States of the generators that all of a process shares."""
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    return random.getstate(), json.dumps(state, default=np.ndarray.tolist)


def _depends_on_nothing_else(task: Task, samples: list[Sample]) -> Iterator[str]:
    """A pair must not depend on the pairs before it."""
    params = [_drawn(task, sample) for sample in samples]
    forth = [task.make(s, p) for s, p in zip(samples, params, strict=True)]
    back = [task.make(s, p) for s, p in zip(samples[::-1], params[::-1], strict=True)][::-1]
    if not all(map(_same, forth, back)):
        yield "error: a pair depends on those made before it: apply must keep no state"


def _has_no_severity(task: Task, samples: list[Sample]) -> Iterator[str]:
    """What draws by severity must have a ladder: without one it is always given the same."""
    if _drawn(task, samples[0], SEVERITIES[0]) != _drawn(task, samples[0], SEVERITIES[-1]):
        yield (
            "error: draw depends on severity, but a task without a ladder is always given 0: add "
            "ladder=Ladder('effect', 'unit', mildest, strongest)"
        )


def _climbs_its_ladder(task: Task, samples: list[Sample]) -> Iterator[str]:
    """Nothing at severity 0 (but for semantic tasks), and more the higher the severity."""
    if task.family != "semantic":
        for sample in samples:
            source, result = task.make(sample, _drawn(task, sample, 0.0))
            if not np.array_equal(source, result):
                yield (
                    f"error: severity 0 is not the identity {_shape(sample)}: the ladder must "
                    f"begin where input and output are the same"
                )
                break
    # Large images only cost time here.
    small = [sample for sample in samples if max(sample.image.shape) <= 64] or samples[:1]
    change = [
        float(np.mean([_change(task, s, severity, k) for s in small for k in range(_DRAWS)]))
        for severity in SEVERITIES
    ]
    # Clipping lets the change of strong effects level out, hence the tolerance.
    if not all(low <= high * 1.05 for low, high in pairwise(change)) or change[0] >= change[-1]:
        shown = ", ".join(f"{c:.2f}" for c in change)
        yield (
            f"warning: the effect does not grow with severity: mean change {shown} grey levels at "
            f"severities {', '.join(map(str, SEVERITIES))}"
        )


def _looks_right(task: Task, samples: list[Sample]) -> Iterator[str]:
    """Pairs that show something, and no colour where there was none."""
    pairs = [task.make(sample, _drawn(task, sample, 1.0)) for sample in samples]
    if all(np.array_equal(source, result) for source, result in pairs):
        yield "warning: input and output are the same on all images, even at severity 1"
    if task.format_identifiable:
        return
    for sample, pair in zip(samples, pairs, strict=True):
        grey = sample.image.shape[2:] == (3,) and not np.ptp(sample.image, axis=2).any()
        if grey and any(np.ptp(side, axis=2).any() for side in pair):
            yield (
                f"warning: a grey image becomes coloured {_shape(sample)}, which gives the task "
                "away: register it with format_identifiable=True, or keep grey grey"
            )
            break


def _change(task: Task, sample: Sample, severity: float, draw: int) -> float:
    """Mean absolute difference of the sides, in grey levels."""
    source, result = task.make(sample, _drawn(task, sample, severity, draw))
    return float(cv2.norm(source, result, cv2.NORM_L1)) / source.size


def _same(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether two pairs are equal."""
    return all(map(np.array_equal, first, second))


def example_samples() -> list[Sample]:
    """Generated images of several sides, grey, in colour and in one channel, with annotations."""
    samples = [_example(side, colour) for side in EXAMPLE_SIDES for colour in (False, True)]
    thin = samples[2]
    return [*samples, replace(thin, image=np.ascontiguousarray(thin.image[..., :1]))]


def _example(side: int, colour: bool) -> Sample:
    """A cloud with three ellipses."""
    rng = generator(0, "example sample", side, int(colour))
    coarse = rng.uniform(30, 220, (5, 5, 3 if colour else 1)).astype(np.float32)
    cloud = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).reshape(side, side, -1)
    cloud = cloud + 8 * rng.standard_normal(cloud.shape, dtype=np.float32)
    image = np.repeat(np.clip(cloud, 0, 255).astype(np.uint8), 1 if colour else 3, axis=2)
    mask = np.zeros((side, side), np.uint8)
    instances = np.zeros((side, side), np.uint16)
    boxes = []
    # Numbers need not be near each other, nor fit 8 bits.
    for number, (x, y, a, b) in zip(
        (1, 2, 300),
        ((0.3, 0.3, 0.2, 0.12), (0.75, 0.3, 0.1, 0.15), (0.5, 0.8, 0.3, 0.1)),
        strict=True,
    ):
        centre = (int(x * side), int(y * side))
        axes = (int(a * side), int(b * side))
        spot = cv2.ellipse(np.zeros_like(mask), centre, axes, 0, 0, 360, 1, -1).astype(bool)
        mask[spot], instances[spot] = 1 + number % 2, number
        left, top, width, height = cv2.boundingRect(spot.astype(np.uint8))
        boxes.append([left, top, left + width, top + height])
    return Sample(image, mask, instances, np.array(boxes, np.float32), 1, 2, 3)
