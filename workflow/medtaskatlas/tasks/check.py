"""Property tests of any task, the user's own included: what `medtaskatlas tasks check` runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from medtaskatlas.errors import ConfigError, TaskError
from medtaskatlas.imageset import Sample
from medtaskatlas.seeds import generator
from medtaskatlas.tasks.example_samples import example_samples
from medtaskatlas.tasks.needs import is_colour
from medtaskatlas.tasks.task import REGISTRY, Params, Task

# Between 0 and the mildest of these 8 bits swallow the effect of many tasks.
SEVERITIES = (0.2, 0.4, 0.7, 1.0)
_DRAWS = 4
_ARRAYS = ("image", "mask", "instances", "boxes")


@dataclass(frozen=True)
class Finding:
    """One thing that was found in a file of tasks.

    Attributes
    ----------
    severity
        ``error`` or ``warning``; see :func:`check_task`.
    task
        Name of the task, empty for the file as a whole.
    problem
        What is wrong and what to do.
    """

    severity: str
    task: str
    problem: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.task + ': ' if self.task else ''}{self.problem}"


def check_file(file: str | Path) -> list[Finding]:
    """Try all tasks of a file.

    Parameters
    ----------
    file
        A file that registers tasks, as those of ``tasks_dir``.

    Returns
    -------
    list of Finding
        What :func:`check_task` found in each; empty where all is well.

    Raises
    ------
    ConfigError
        If there is no such file.
    TaskError
        If it cannot be loaded.
    """
    from medtaskatlas.tasks.bank import _load_file

    file = Path(file)
    if not file.is_file():
        raise ConfigError(f"{file} is no file", "give a Python file that registers tasks")
    _load_file(file)
    module = f"medtaskatlas_user_tasks.{file.stem}"
    tasks = [task for task in REGISTRY.values() if task.apply.__module__ == module]
    if not tasks:
        said = f"{file} registers no task: decorate a function with medtaskatlas.tasks.task.task"
        return [Finding("error", "", said)]
    found = []
    for task in tasks:
        for finding in check_task(task):
            severity, problem = finding.split(": ", 1)
            found.append(Finding(severity, task.name, problem))
    return found


def check_task(task: Task, samples: Iterable[Sample] | None = None) -> list[str]:
    """Try a task on images of many kinds and report what is wrong with it.

    Parameters
    ----------
    task
        The task.
    samples
        Images to try it on, with all that it needs; by default
        :func:`~medtaskatlas.tasks.example_samples.example_samples`.

    Returns
    -------
    list of str
        Findings, each begins with ``error:`` (pairs of this task would fail or could not be made
        again) or ``warning:`` (they can be made, but look wrong). Empty where all is well.
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
    if task.ladder is not None:
        findings += _guarded(_climbs_its_ladder, task, usable)
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
    height, width, *rest = sample.image.shape
    if rest != [3]:
        return f"on an image of {height} x {width} in one channel"
    colour = "colour" if is_colour(sample.image) else "grey"
    return f"on a {colour} image of {height} x {width}"


def _drawn(task: Task, sample: Sample, severity: float = 0.7, draw: int = 0) -> Params:
    """Parameters of a pair, the same for all severities but for the effect."""
    return task.parameters(generator(0, "check", task.name, draw), sample, severity)


def _keeps_contract(task: Task, sample: Sample) -> Iterator[str]:
    """Plain parameters, two uint8 images, the same every time, nothing else touched."""
    params = _drawn(task, sample)
    if params != _drawn(task, sample):
        yield "error: draw is not deterministic: two equal generators give other parameters"
        return
    arrays = {name: getattr(sample, name) for name in _ARRAYS}
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
    try:
        pair = task.make(sample, params, twice=True)
    except TaskError as error:
        raise TaskError(f"{_shape(sample)}: {error.problem}", error.remedy) from error
    raw = task.draw(generator(0, "check", task.name, 0), sample, 0.7)
    if not _same(pair, task.make(sample, raw)):
        yield f"error: params {raw} do not survive JSON: their pair is another one afterwards"


def _depends_on_nothing_else(task: Task, samples: list[Sample]) -> Iterator[str]:
    """A pair must not depend on the pairs before it."""
    params = [_drawn(task, sample) for sample in samples]
    forth = [task.make(s, p) for s, p in zip(samples, params, strict=True)]
    back = [task.make(s, p) for s, p in zip(samples[::-1], params[::-1], strict=True)][::-1]
    if not all(map(_same, forth, back)):
        yield "error: a pair depends on those made before it: apply must keep no state"


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
