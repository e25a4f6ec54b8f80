"""What of a run is Medformer's, before anything is made."""

from __future__ import annotations

import pytest
import yaml

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.medformer.options import Medformer
from medtaskatlas.networks import lite0_weights
from medtaskatlas.run.medformer import ALL, ArmRun
from medtaskatlas.run.medformer_pictures import Pictures
from medtaskatlas.run.plan import plan_run
from medtaskatlas.run.products import Products

PRETRAININGS = {
    "unlabelled": {"pretexts": ["masked", "deblurring"]},
    "apart": {"pretexts": ["turns"], "leave_out": True},
}
ARMS = {
    "single": {},
    "multi": {"sets": "all"},
    "warm": {"start": "unlabelled", "label_fractions": [0.1, 1.0]},
    "other": {"start": "apart"},
    "after": {"start": "multi"},
}
SETS = ["retinamnist", "adrenalmnist3d"]


def plan_of(datasets=SETS, **section):
    own = {"arms": ARMS, "pretrainings": PRETRAININGS, "seeds": [0, 1]}
    config = {"run": "r", "datasets": datasets, "volume_size": 28, "medformer": own | section}
    return plan_run(config).medformer


def test_every_arm_is_tried_on_every_set_with_every_seed_and_share():
    runs = plan_of().runs
    # Three arms a set, one for all sets, one a set with two shares.
    assert len(runs) == len(set(runs)) == (3 * 2 + 1 + 2 * 2) * 2
    assert ArmRun("retinamnist", "warm", 10, 1) in runs
    assert ArmRun(ALL, "multi", 100, 0) in runs


def test_an_arm_has_seeds_of_its_own():
    arms = {"single": {}, "ablation": {"latents": "task", "seeds": [1]}}
    runs = plan_of(arms=arms, pretrainings={}).runs
    assert {(run.arm, run.seed) for run in runs} == {("single", 0), ("single", 1), ("ablation", 1)}
    arms = {"multi": {"sets": "all", "seeds": [0]}, "after": {"start": "multi"}}
    with pytest.raises(
        ConfigError, match="multi, which it starts from, is not trained with seed 1"
    ):
        plan_of(arms=arms)
    with pytest.raises(ConfigError, match=r"`arms[.]single[.]seeds` names a number twice"):
        plan_of(arms={"single": {"seeds": [1, 1]}})


def test_more_seeds_and_shares_leave_a_training_as_it_is():
    run = ArmRun("retinamnist", "warm", 10, 1)
    more = {"warm": {"start": "unlabelled", "label_fractions": [0.05, 0.1], "seeds": [1, 7]}}
    other = plan_of(arms=ARMS | more, label_fractions=[0.5], seeds=[1])
    assert other.params(run) == plan_of().params(run)
    assert other.pretraining_params("apart") == plan_of().pretraining_params("apart")


def test_of_a_matched_pretraining_only_the_steps_matter():
    arms = {"longer": {"matched": "made"}, "warm": {"start": "made"}, "after": {"start": "multi"}}
    arms["multi"] = {"start": "made", "sets": "all"}

    def params(arm, made, **section):
        plan = plan_of(arms=arms, pretrainings={"made": made}, **section)
        job = plan.params(ArmRun("retinamnist", arm, 100, 0))
        options = Medformer.model_validate(job["options"])
        return job, options.steps_of(arm, 1)

    one = {"pretexts": ["masked", "turns"], "steps": 50}
    two = {"pretexts": ["contrast"], "steps": 50}
    assert params("longer", one) == params("longer", two)
    steps = plan_of().options.steps
    assert params("longer", one)[1] == steps + 50 * 2
    assert params("longer", one | {"steps": 60})[1] == steps + 60 * 2
    assert params("longer", one, pretraining_batches=3)[1] == steps + 50 * 3
    for arm in ("warm", "after"):
        assert params(arm, one)[1] == steps
        assert params(arm, one) == params(arm, one, pretraining_steps=7, steps_all=9)
    assert params("warm", one) != params("warm", two)
    assert params("after", one) == params("after", two)  # what `multi` learned is a file


def test_sets_are_volumes_where_there_are_any():
    plan = plan_of()
    assert plan.files(SETS, "r") == ["r/images/retinamnist.arrow", "r/volumes/adrenalmnist3d.arrow"]
    assert plan.targets == {"retinamnist": ["label"], "adrenalmnist3d": ["label"]}


def test_weights_that_an_arm_starts_from():
    plan = plan_of()

    def start(arm, percent=100):
        return plan.start(ArmRun("retinamnist", arm, percent, 1), "r")

    assert start("single") == []
    assert start("warm", 10) == ["r/medformer/pretrained/unlabelled/all_sets/seed1.safetensors"]
    assert start("after") == ["r/medformer/all_sets/multi/labels100/seed1/model.safetensors"]
    left = "without_retinamnist"
    assert start("other") == [f"r/medformer/pretrained/apart/{left}/seed1.safetensors"]
    assert plan.pretraining_sets(left) == ["adrenalmnist3d"]


def test_pretraining_sees_no_test_image_of_another_set():
    """`busi` shows images of breastmnist, whose splits are others."""
    plan = plan_of(["breastmnist", "busi"], arms={"warm": {"start": "unlabelled"}})
    assert plan.targets == {"breastmnist": ["label"]}
    assert plan.pretrained_on == ["breastmnist"]
    assert "busi" in plan.messages[0]


def test_sizes_of_one_set_are_split_alike_and_left_out_together():
    volumes = {"name": "adrenalmnist3d_64", "of": "adrenalmnist3d", "volume_size": 64}
    pictures = {"name": "breastmnist_64", "of": "breastmnist", "image_size": 128}
    names = [*SETS, volumes, "breastmnist", pictures, "busi"]
    plan = plan_of(names)
    assert list(plan.targets) == [*SETS, "adrenalmnist3d_64", "breastmnist", "breastmnist_64"]
    assert plan.files(["adrenalmnist3d_64"], "r") == ["r/volumes/adrenalmnist3d_64.arrow"]
    # busi shows test images of both.
    assert plan.pretrained_on == list(plan.targets)
    left = plan.pretraining_sets("without_adrenalmnist3d_64")
    assert left == ["retinamnist", "breastmnist", "breastmnist_64"]
    with pytest.raises(ConfigError, match="breastmnist_64 and busi show the same"):
        plan_of(names, sets=["breastmnist_64", "busi"], targets=["label", "mask"])


def test_parameters_of_a_job_are_a_section_again_and_name_no_other_arm():
    plan = plan_of()
    job = plan.params(ArmRun("retinamnist", "after", 100, 0))
    options = Medformer.model_validate(job["options"])
    assert set(options.arms) == {"after", "multi"}
    assert plan.params(ArmRun("retinamnist", "single", 100, 0))["options"]["pretrainings"] == {}
    Medformer.model_validate(plan.pretraining_params("apart"))


def test_arms_from_one_task_of_the_run_and_the_tasks_that_targets_are():
    made = {
        "deblurring": {"pretexts": ["deblurring"]},
        "pseudocolour": {"pretexts": ["pseudocolour"]},
        "masked": {"pretexts": ["masked"]},
        "two": {"pretexts": ["deblurring", "rotation"]},
    }
    arms = {"scratch_longer": {"matched": "masked"}, "probed": {"start": "deblurring"}}
    arms |= {f"from_{name}": {"start": name} for name in made}
    section = {"pretrainings": made, "arms": arms, "targets": ["mask", "label", "rotation"]}
    plan = plan_of(["mni152_tissue", "fundus_retina", "retinamnist"], **section)
    own = {"pretext": "deblurring", "family": "generative"}
    # `pseudocolour` is an extra that the atlas has only where it is named.
    tasks = {"deblurring", "rotation"}
    assert plan.pretext_facts(tasks) == {"from_deblurring": own, "probed": own}
    assert plan.target_facts() == {
        "mni152_tissue": {
            "mask": {"score": "dice", "task": "multiclass_segmentation", "family": "semantic"},
            "rotation": {"score": "ssim", "task": "rotation", "family": "transformation"},
        },
        "fundus_retina": {
            "mask": {"score": "dice", "task": "segmentation", "family": "semantic"},
            "rotation": {"score": "ssim", "task": "rotation", "family": "transformation"},
        },
        "retinamnist": {
            "label": {"score": "quadratic_kappa", "task": "classification", "family": "semantic"},
            "rotation": {"score": "ssim", "task": "rotation", "family": "transformation"},
        },
    }
    assert plan.step_facts() == dict.fromkeys(made, 2000)


@pytest.mark.parametrize("encoders", [{}, {"pixels": {}}])
def test_pretexts_have_tables_where_there_is_an_atlas(encoders):
    section = {
        "pretrainings": {"deblurring": {"pretexts": ["deblurring"]}},
        "arms": {"longer": {"matched": "deblurring"}, "warm": {"start": "deblurring"}},
    }
    config = {"run": "r", "datasets": ["retinamnist"], "encoders": encoders}
    products = Products(plan_run(config | {"medformer": section}))
    there = {table.name for table in products.tables} | {f.name for f in products.figures}
    of_pretexts = {"medformer_pretexts", "medformer_pretext_ranks"}
    assert there & of_pretexts == (of_pretexts if encoders else set())
    without = section | {"arms": {"longer": {}}}
    products = Products(plan_run(config | {"medformer": without}))
    assert not {table.name for table in products.tables} & of_pretexts


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"sets": ["retinamnits"]}, "medformer.sets: 'retinamnits'"),
        ({"targets": ["mask"]}, "no dataset of the run has mask"),
        ({"sets": ["retinamnist"], "targets": ["labels"]}, "retinamnist has none of labels"),
        ({"pretrainings": PRETRAININGS | {"odd": {"pretexts": ["maskd"]}}}, "'maskd'"),
    ],
)
def test_mistakes_name_what_is_wrong(section, says):
    with pytest.raises(ConfigError, match=says):
        plan_of(**section)


def test_an_arm_without_its_weights_is_refused(monkeypatch):
    arms = {"photographs": {"model": "efficientnet_lite0"}}
    assert plan_of(arms=arms).runs
    monkeypatch.setattr(lite0_weights, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"medformer.arms.photographs: its weights come with"):
        plan_of(arms=arms)


def test_the_shipped_configuration_resolves():
    raw = yaml.safe_load((REPOSITORY / "config/medformer.yaml").read_text())
    plan = plan_run(raw).medformer
    assert set(plan.targets) == set(raw["datasets"])
    assert len(plan.runs) > 100


def test_pictures_are_of_the_first_trainings_with_most_labels():
    arms = {
        "resnet18": {"model": "resnet18"},
        "multi": {"sets": "all"},
        "after": {"start": "multi"},
        "single": {},
        "warm_all": {"start": "unlabelled", "sets": "all"},
        "warm": {"start": "unlabelled"},
    }
    plan = plan_of(arms=arms, label_fractions=[0.1, 1.0], seeds=[3, 0])
    pictures = Pictures(plan)
    # A model for all sets with a masked pre-training goes before one without.
    assert pictures.together == [ArmRun(ALL, "warm_all", 100, 3)]
    assert pictures.weights("together", "r") == [
        "r/medformer/all_sets/warm_all/labels100/seed3/model.safetensors"
    ]
    pretrained = ["r/medformer/pretrained/unlabelled/all_sets/seed3.safetensors"]
    assert pictures.weights("pretraining", "r") == pretrained
    # One arm from scratch and one after pre-training, on every set.
    assert pictures.alone == [
        ArmRun(name, arm, 100, 3) for name in SETS for arm in ("single", "warm")
    ]
    params = pictures.params()
    assert params["pretraining"]["name"] == "unlabelled"
    assert params["pretraining"]["sets"] == SETS
    assert [job["name"] for job in params["alone"]] == ["single", "warm"] * 2
    assert pictures.files("r") == plan.files(SETS, "r")


def test_pictures_do_with_what_there_is():
    arms = {"bare": {"sets": "all", "latents": "none"}, "probe": {"adapt": "probe"}, "single": {}}
    pictures = Pictures(plan_of(arms=arms, pretrainings={"turned": {"pretexts": ["turns"]}}))
    assert pictures.together == []
    assert pictures.weights("pretraining", "r") == []
    assert pictures.params()["pretraining"] is None
    assert [run.arm for run in pictures.alone] == ["probe", "single"] * 2


def test_a_pre_training_that_leaves_a_set_out_is_shown_on_the_others():
    arms = {"other": {"start": "apart"}}
    apart = {"apart": {"pretexts": ["masked"], "leave_out": True}}
    pictures = Pictures(plan_of(arms=arms, pretrainings=apart))
    assert pictures.params()["pretraining"]["sets"] == ["adrenalmnist3d"]
    assert "without_retinamnist" in pictures.weights("pretraining", "r")[0]


def test_the_latents_of_an_arm_are_told_where_the_section_says_them():
    facts = plan_of(latents="task").arm_facts()
    assert {arm["latents"] for arm in facts.values()} == {"task"}


def test_a_run_without_encoders_has_its_findings_and_figures():
    config = {"run": "r", "datasets": SETS, "volume_size": 28, "medformer": {"arms": ARMS_ALONE}}
    products = Products(plan_run(config))
    figures = {figure.name: products.inputs(figure) for figure in products.figures}
    assert {"medformer_gains", "medformer_latents", "medformer_occlusion", "findings"} <= set(
        figures
    )
    assert set(figures["findings"]) == {"summary", "datasets", "tasks"}
    assert set(figures["medformer_latents"]) == {"latents"}
    assert not {"identification", "atlas_map"} & set(figures)
    tables = {table.name: products.inputs(table) for table in products.tables}
    assert set(tables["summary"]) == {"medformer_gains", "medformer_scores"}
    of = {figure.name: figure for figure in products.figures}
    assert products.params(of["findings"])["parts"](None) == ["medformer"]
    assert products.params(of["medformer_latents"])["encoder"](None) is None


ARMS_ALONE = {"single": {}, "multi": {"sets": "all"}}
