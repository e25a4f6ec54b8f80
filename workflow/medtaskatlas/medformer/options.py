"""Section ``medformer`` of the configuration; no torch, since Snakemake reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from medtaskatlas.core.errors import nearest
from medtaskatlas.core.strict_model import StrictModel
from medtaskatlas.learning.options import Training


@dataclass(frozen=True)
class Size:
    """Width of a token, blocks of the body, and attention heads."""

    width: int
    layers: int
    heads: int


REGRESSIONS = ("pixels", "efficientnet_lite0")
WRONG_LATENTS = "wrong_latents"
# Validation images of a set, at most, that a look is taken at.
VALIDATED = 2000
SIZES = {"nano": Size(128, 4, 4), "tiny": Size(192, 6, 6), "small": Size(384, 12, 6)}


class NetworkOptions(StrictModel):
    """The transformer and its stems."""

    size: Literal["nano", "tiny", "small"] = Field(
        "nano", description="tokens of 128, 192 or 384 numbers; 4, 6 or 12 blocks"
    )
    stem: Literal["convolution", "patches"] = Field(
        "convolution", description="how pixels become tokens"
    )
    stem_width: int = Field(
        16, ge=8, multiple_of=8, description="channels of the first convolutions of the stem"
    )
    patch: int = Field(4, ge=1, description="pixels of a patch along an axis, `stem: patches`")
    patch_volume: int = Field(7, ge=1, description="voxels of a patch along an axis")
    latents: Literal["all", "task", "none"] = Field(
        "all", description="what image tokens are conditioned on: of modality, body part and task"
    )


class Pretraining(StrictModel):
    """One pre-training without labels, on the training images of all sets of the run."""

    pretexts: list[str] = Field(
        min_length=1,
        description="masked, turns, contrast, projection, or any picture task of the bank",
    )
    steps: int | None = Field(None, ge=1, description="null: `pretraining_steps`")
    leave_out: bool = Field(
        False, description="one pre-training for each set that an arm is tried on, without it"
    )


class Arm(StrictModel):
    """One way to learn the sets, to be compared with others."""

    model: Literal["medformer", "resnet18", "vit", "pixels", "efficientnet_lite0"] = Field(
        "medformer",
        description="the network; `pixels` and `efficientnet_lite0` are logistic regressions, on "
        "grey levels and on features of a frozen network of photographs",
    )
    start: str = Field(
        "scratch", description="`scratch`, a pre-training, or an arm with `sets: all`, by name"
    )
    sets: Literal["one", "all"] = Field("one", description="a model a set, or one for all sets")
    adapt: Literal["full", "latents", "probe", "lora"] = Field(
        "full",
        description="what is trained: everything; new latents and head; the head alone; or these "
        "and low-rank changes of the body",
    )
    rank: int = Field(4, ge=1, description="of the changes, `adapt: lora`")
    matched: str | None = Field(
        None, description="pre-training whose steps are added, so that it has cost as much"
    )
    latents: Literal["all", "task", "none"] | None = Field(
        None, description="null: as the section says"
    )
    stems: Literal["shared", "set"] = Field(
        "shared", description="a stem a kind of image, or a set"
    )
    align: Literal["none", "coral"] = Field(
        "none",
        description="`sets: all`: bring features of different sets to one covariance; not "
        "confirmed to be the thesis's",
    )
    label_fractions: list[float] | None = Field(
        None, description="shares of the training labels; null: as the section says"
    )
    seeds: list[int] | None = Field(
        None, min_length=1, description="training seeds; null: as the section says"
    )

    @property
    def uses_gpu(self) -> bool:
        """Whether a network runs, on a GPU where there is one."""
        return self.model != "pixels"

    @model_validator(mode="after")
    def _fits(self) -> Arm:
        if self.model != "medformer":
            own = {
                "start": "scratch", "sets": "one", "adapt": "full", "latents": None,
                "stems": "shared",
            }  # fmt: skip
            for key, only in own.items():
                if getattr(self, key) != only:
                    raise ValueError(f"`{key}`: {self.model} has no choice of it")
        if self.model in REGRESSIONS and self.matched:
            raise ValueError(f"`matched`: {self.model} takes no steps")
        if self.align != "none" and self.sets != "all":
            raise ValueError("`align` brings several sets together: it needs `sets: all`")
        if self.adapt != "full" and self.matched:
            raise ValueError("`matched` is for arms that train everything")
        return self


class Medformer(NetworkOptions, Training):
    """One transformer for all sets of the run: pre-training, adaptation and arms to compare."""

    sets: list[str] = Field(
        [], description="datasets that arms are tried on; empty: all with one of the `targets`"
    )
    targets: list[str] = Field(
        ["label", "labels"], min_length=1, description="what to predict where a set offers it"
    )
    pretrainings: dict[str, Pretraining] = Field({}, description="pre-trainings by name")
    pretraining_steps: int = Field(2000, ge=1, description="steps of a pre-training")
    pretraining_batches: int = Field(
        2, ge=1, description="batches of a step of it, each of one set and one pretext"
    )
    arms: dict[str, Arm] = Field(description="ways to learn the sets, by name")
    label_fractions: list[float] = Field(
        [1.0], min_length=1, description="shares of the training labels; smaller ones are nested"
    )
    seeds: list[int] = Field([0, 1, 2, 3, 4], min_length=1, description="training seeds")
    steps_all: int | None = Field(
        None, ge=1, description="steps of arms with `sets: all`; null: `steps` a set"
    )
    batch_size: int = Field(32, ge=2, description="images or volumes of a batch")
    flips: bool = Field(True, description="mirror training images along every axis at random")
    look_every: int = Field(
        50, ge=1, description="steps between two looks at the validation images; the best one stays"
    )

    @field_validator("arms", "pretrainings", mode="before")
    @classmethod
    def _dropped(cls, named: Any) -> Any:
        """Null drops an arm or a pre-training."""
        if not isinstance(named, dict):
            return named
        return {name: options for name, options in named.items() if options is not None}

    @model_validator(mode="after")
    def _consistent(self) -> Medformer:
        if not self.arms:
            raise ValueError("`arms` is empty: name at least one")
        own = {f"arms.{name}.seeds": arm.seeds or [] for name, arm in self.arms.items()}
        for key, seeds in ({"seeds": self.seeds} | own).items():
            if len(set(seeds)) != len(seeds):
                raise ValueError(f"`{key}` names a number twice")
        if self.devices != 1:
            raise ValueError("`devices`: a training of several sets runs on one device")
        for key, names in (("arms", self.arms), ("pretrainings", self.pretrainings)):
            for name in names:
                if not name.isidentifier():
                    raise ValueError(f"`{key}`: {name!r} must be letters, digits and underscores")
        every = ["scratch", *self.arms, *self.pretrainings]
        if twice := [name for name in every if every.count(name) > 1]:
            raise ValueError(f"`arms` and `pretrainings`: {twice[0]!r} is there twice")
        for name, arm in self.arms.items():
            self._check_arm(name, arm)
        for key, shares in [
            ("label_fractions", self.label_fractions),
            *((f"arms.{n}.label_fractions", a.label_fractions or []) for n, a in self.arms.items()),
        ]:
            if any(not 0 < share <= 1 for share in shares):
                raise ValueError(f"`{key}` are shares above 0, up to 1")
            if len({percent(share) for share in shares}) != len(shares):
                raise ValueError(f"`{key}` names a share twice, in whole percents")
        return self

    def fractions(self, arm: str) -> list[float]:
        """Shares of the labels that an arm is trained with."""
        return self.arms[arm].label_fractions or self.label_fractions

    def seeds_of(self, arm: str) -> list[int]:
        """Seeds that an arm is trained with."""
        return self.arms[arm].seeds or self.seeds

    def pretraining_steps_of(self, name: str) -> int:
        """Steps of a pre-training."""
        return self.pretrainings[name].steps or self.pretraining_steps

    def steps_of(self, arm: str, sets: int) -> int:
        """Steps of an arm on so many sets."""
        chosen, steps = self.arms[arm], self.steps
        if chosen.sets == "all":
            steps = self.steps_all or steps * sets
        if chosen.matched is not None:
            steps += self.pretraining_steps_of(chosen.matched) * self.pretraining_batches
        return steps

    def _check_arm(self, name: str, arm: Arm) -> None:
        """Refuse what an arm starts from, or is matched with, that is not there."""
        together = [n for n, other in self.arms.items() if other.sets == "all" and n != name]
        known = ["scratch", *self.pretrainings, *together]
        if arm.start not in known:
            raise ValueError(f"`arms.{name}.start`: {arm.start!r}; {nearest(arm.start, known)}")
        if arm.start in self.arms:
            first = self.arms[arm.start]
            if first.start in self.arms:
                raise ValueError(f"`arms.{name}.start`: {arm.start} starts from an arm itself")
            lacking = set(self.fractions(name)) - set(self.fractions(arm.start))
            if lacking:
                raise ValueError(
                    f"`arms.{name}.label_fractions`: {arm.start}, which it starts from, is not "
                    f"trained with {min(lacking):g}"
                )
            if unseen := set(self.seeds_of(name)) - set(self.seeds_of(arm.start)):
                raise ValueError(
                    f"`arms.{name}.seeds`: {arm.start}, which it starts from, is not trained with "
                    f"seed {min(unseen)}"
                )
            if (first.latents or self.latents) != (arm.latents or self.latents):
                raise ValueError(f"`arms.{name}.latents` differ from those of {arm.start}")
        if arm.matched is not None and arm.matched not in self.pretrainings:
            raise ValueError(
                f"`arms.{name}.matched`: {arm.matched!r}; {nearest(arm.matched, self.pretrainings)}"
            )
        if arm.adapt in ("probe", "lora") and arm.sets == "all":
            raise ValueError(f"`arms.{name}.adapt`: {arm.adapt} is for one set")


def percent(share: float) -> int:
    """A share of the labels in percent, as paths have it."""
    return max(1, round(100 * share))


def system_of(arm: str, labels: int) -> str:
    """System of the predictions of an arm with a percentage of the labels."""
    return f"{arm}@{labels}"


def arm_of(system: str) -> tuple[str, int]:
    """Undoes :func:`system_of`."""
    arm, _, labels = system.rpartition("@")
    return arm, int(labels)


def wrong_latents(arm: str) -> str:
    """Name of the control of an arm: it is asked with the latents of another set."""
    return f"{arm}_{WRONG_LATENTS}"
