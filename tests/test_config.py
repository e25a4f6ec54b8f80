"""The configuration: defaults are filled in; what is wrong is named with its key and value."""

import copy
import shutil

import pytest
import yaml

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.run.config import parse_config
from medtaskatlas.run.plan import plan_run

SMALLEST = {"run": "x", "datasets": ["ct_dicom"], "encoders": {"pixels": {}}}
SHIPPED = sorted((REPOSITORY / "config").glob("*.yaml"))


def message(check, changes):
    raw = copy.deepcopy(SMALLEST) | changes
    with pytest.raises(ConfigError) as caught:
        check(raw)
    return str(caught.value)


@pytest.fixture
def own_data(tmp_path):
    """Folder of one folder dataset without a mask."""
    folder = tmp_path / "own" / "images"
    folder.mkdir(parents=True)
    for i in range(3):
        (folder / f"{i}.png").write_bytes(b"not looked at when planning")
    words = "name: own\ntitle: t\nmodality: XR\nbody_part: hand\nlicence: CC0-1.0\nimages: images\n"
    (folder.parent / "dataset.yaml").write_text(words + "source: here\ncitation: none\n")
    return tmp_path


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_shipped_files_can_be_planned(file, own_data):
    raw = yaml.safe_load(file.read_text())
    if file.stem in ("folder", "multitask", "transfer"):
        with pytest.raises(ConfigError, match="--config datasets_dir=PATH"):
            plan_run(raw)
        raw["datasets_dir"] = str(own_data)
    if file.stem == "multitask":
        raw["datasets"] = ["mni152_tissue"]
    plan = plan_run(raw)
    assert plan.cells or plan.multitask_runs or plan.medformer_runs
    assert plan.config.run == file.stem
    assert plan.summary().startswith(f"run {file.stem}: ")
    assert "\n" not in plan.summary()


def test_one_folder_of_datasets_or_several(own_data, tmp_path):
    raw = yaml.safe_load((REPOSITORY / "config/folder.yaml").read_text())
    for given in (str(own_data), [str(own_data)]):
        assert list(plan_run(raw | {"datasets_dir": given}).datasets) == ["own"]
    with pytest.raises(ConfigError, match="datasets_dir=PATH"):
        plan_run(raw | {"datasets_dir": []})


def test_a_folder_is_one_however_it_is_spelled(own_data, tmp_path, monkeypatch):
    """Relative, absolute and by a link: all that Snakemake compares is the same."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (own_data / "own").rename(tmp_path / "mine" / "own")
    (tmp_path / "link").symlink_to("mine")
    raw = yaml.safe_load((REPOSITORY / "config/folder.yaml").read_text())

    def params(spelled):
        plan = plan_run(raw | {"datasets_dir": spelled})
        raw_data = {place: dataset for place, (dataset, _) in plan.raw_data.items()}
        return plan.config, plan.entry("own"), plan.raw_folder("own"), raw_data

    spellings = ["mine", str(tmp_path / "mine"), "link", "./mine/../link/", ["mine"]]
    first, *others = map(params, spellings)
    assert first[2] == "mine/own"
    assert others[:3] == [first] * 3
    assert others[3][1:] == first[1:]


def test_every_folder_of_a_configuration_is_one_however_it_is_spelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("mine")
    (tmp_path / "mine").mkdir()

    def spelled(folder):
        encoders = {"clip": {"weights": str(folder)}}
        multitask = {"systems": {"stl": {}}, "targets_dir": str(folder)}
        more = {"tasks_dir": str(folder), "encoders": encoders, "multitask": multitask}
        return parse_config(SMALLEST | more).model_dump(mode="json")

    assert spelled("mine") == spelled(tmp_path / "mine") == spelled("link") == spelled("./mine/")


def test_folders_with_datasets_of_one_name_have_manifests_of_their_own(own_data, tmp_path):
    shutil.copytree(own_data / "own", tmp_path / "other" / "own")
    raw = yaml.safe_load((REPOSITORY / "config/folder.yaml").read_text())
    plans = [plan_run(raw | {"datasets_dir": str(own_data / d)}) for d in ("own", "other")]
    assert len({plan.manifest("own") for plan in plans}) == 2


def test_what_is_left_out_gets_its_default():
    config = parse_config(SMALLEST)
    assert config.tasks == "all"
    assert config.image_size == 64
    assert config.splits.train == 0.6
    assert config.heldout.datasets == []


def test_an_encoder_takes_the_options_of_the_one_it_is_like():
    encoders = {
        "taco": {"steps": 7, "width": 16},
        "taco_plain_sampler": {"like": "taco", "sampler": "plain"},
        "taco_long": {"like": "taco_plain_sampler", "steps": 9},
    }
    made = parse_config(SMALLEST | {"encoders": encoders}).encoders
    assert [(e.steps, e.width, e.sampler) for e in made.values()] == [
        (7, 16, "crossed"),
        (7, 16, "plain"),
        (9, 16, "plain"),
    ]
    assert [e.role for e in made.values()] == ["model", "ablation", "ablation"]


@pytest.mark.parametrize(
    ("encoders", "said"),
    [
        ({"a": {"like": "b"}, "taco": {}}, ["encoders.a.like", "'b'"]),
        ({"a": {"like": "b"}, "b": {"like": "a"}}, ["a is like b is like a"]),
    ],
)
def test_an_encoder_is_like_one_that_there_is(encoders, said):
    with pytest.raises(ConfigError) as told:
        parse_config(SMALLEST | {"encoders": encoders})
    assert all(words in str(told.value) for words in said)


@pytest.mark.parametrize(
    "study",
    [
        {"unseen_tasks": {"encoders": ["pixels"]}},
        {"unseen_tasks": {"encoders": ["nobody"]}},
        {"scaling": {"encoder": "pixels"}},
    ],
)
def test_a_study_needs_an_encoder_that_learns(study):
    with pytest.raises(ConfigError, match="no encoder that learns"):
        parse_config(SMALLEST | {"encoders": {"taco": {}, "pixels": {}}} | study)


def test_name_of_an_encoder_is_its_kind_unless_it_says_one():
    encoders = {"taco": {}, "wide": {"kind": "taco", "width": 128}, "pixels": {}}
    config = parse_config(SMALLEST | {"encoders": encoders})
    assert [e.kind for e in config.encoders.values()] == ["taco", "taco", "pixels"]
    assert config.encoders["wide"].width == 128


def test_what_no_seed_changes_runs_once():
    config = parse_config(SMALLEST | {"encoders": {"taco": {}, "pixels": {}}, "seeds": [4, 5]})
    assert config.seeds_of("taco") == [4, 5]
    assert config.seeds_of("pixels") == [4]


def test_numbers_may_come_as_text_from_the_command_line():
    encoders = {"taco": {"kind": "taco", "steps": "5", "stem": "3"}}
    config = parse_config(SMALLEST | {"image_size": "32", "encoders": encoders})
    assert config.image_size == 32
    assert config.encoders["taco"].stem == 3


@pytest.mark.parametrize("raw", [{}, None])
def test_empty_configuration_says_which_to_give(raw):
    with pytest.raises(ConfigError, match=r"empty[\s\S]*--configfile config/embedded\.yaml"):
        parse_config(raw)


@pytest.mark.parametrize("key", ["run", "encoders"])
def test_required_key(key):
    raw = {k: v for k, v in SMALLEST.items() if k != key}
    with pytest.raises(ConfigError, match=f"{key}.* is missing"):
        parse_config(raw)


# What is changed, and what the message must hold: the key, the bad value, the nearest valid name,
# and last, with a >, what to type instead.
WRONG = [
    ({"pairs_per_cel": 9}, ["pairs_per_cel'", "pairs_per_cell"]),
    ({"qqq": 9}, ["'qqq'", "image_size", "pairs_per_cell"]),
    ({"encoders": {"taco": {"widht": 9}}}, ["taco.widht", "width"]),
    (
        {"encoders": {"mine": {"kind": "taco", "correspondence": {"gird": 9}}}},
        ["encoders.mine.correspondence.gird", "grid"],
    ),
    (
        {"encoders": {"taco": {}}, "scaling": {"encoder": "taco", "pears": [3]}},
        ["scaling.pears", "pairs"],
    ),
    ({"encoders": {"mine": {"kind": "taco", "stpes": 9}}}, ["encoders.mine.stpes", "steps"]),
    ({"heldout": {"dataset": []}}, ["heldout.dataset'", "datasets"]),
    ({"splits": {"trian": 0.6}}, ["splits.trian", "train"]),
    ({"datasets": {"modalty": ["CT"]}}, ["modalty", "modality"]),
    ({"image_size": "big"}, ["image_size", "integer", "'big'", ">image_size: 64"]),
    ({"image_size": 3}, ["image_size", "16", "3", ">image_size: 16"]),
    ({"seeds": 3}, ["seeds", "list", "3", ">seeds: [3]"]),
    ({"seeds": []}, ["seeds"]),
    ({"seeds": [0, 0]}, ["seeds", "twice"]),
    ({"encoders": {"taco": {"width": "x"}}}, ["encoders.taco.width", "'x'"]),
    ({"encoders": {"taco": {"width": 999}}}, [">encoders: {taco: {width: 128}}"]),
    ({"encoders": {"taco": {"sampler": "plan"}}}, [">encoders: {taco: {sampler: plain}}"]),
    ({"encoders": {"tacco": {}}}, ["encoders.tacco", "'tacco'", "taco"]),
    (
        {"encoders": {"a": {"kind": "qqq"}}},
        ["encoders.a", "'qqq'", "pixels", "random", "taco"],
    ),
    ({"encoders": ["taco"]}, ["encoders", "taco", ">encoders: {taco: {}}"]),
    ({"encoders": {}}, ["encoders", "at least one"]),
    ({"keep_duplicates": True}, ["keep_duplicates", "`encoders`", "a run of its own"]),
    (
        {
            "keep_duplicates": True,
            "encoders": {},
            "medformer": {"arms": {"a": {}}},
            "multitask": {"systems": {"stl": {}}},
        },
        ["keep_duplicates", "`multitask`"],
    ),
    ({"encoders": {"a/b": {"kind": "taco"}}}, ["encoders", "'a/b'"]),
    ({"splits": {"train": 0.8}}, ["splits", "sum to 1"]),
    ({"run": "../x"}, ["run", "'../x'", ">run: x"]),
    ({"run": 2024}, ['>run: "2024"']),
    ({"datasets": []}, ["no dataset", "datasets_dir=PATH"]),
    ({"datasets": "ct_dicom"}, [">datasets: [ct_dicom]"]),
    ({"datasets": {"modality": [7]}}, ["datasets.modality.0", "7"]),
    ({"datasets": [7]}, ["datasets.0", "7", ">{name: breastmnist, image_size: 64}"]),
    ({"datasets": [{"nam": "breastmnist"}]}, ["datasets.0.nam'", "name", "datasets.0.name"]),
    ({"datasets": [{"name": "xr_leg", "image_size": 3}]}, ["datasets.0.image_size", "16", "3"]),
    ({"tasks": [7]}, [">tasks: "]),
    ({"heldout": "ct_dicom"}, [">heldout: {datasets: [ct_dicom]}"]),
    ({"heldout": ["a", "b"]}, [">heldout: {datasets: [a, b]}"]),
    ({"images_per_dataset": 1}, ["images_per_dataset", "3", "1"]),
    (
        {"encoders": {"taco": {}}, "unseen_tasks": {"encoders": ["taco"], "folds": 1}},
        [">unseen_tasks: {folds: 2}"],
    ),
]


@pytest.mark.parametrize(("changes", "parts"), WRONG, ids=str)
def test_wrong_value_is_named(changes, parts):
    with pytest.raises(ConfigError) as told:
        parse_config(SMALLEST | changes)
    remedies = [part[1:] for part in parts if part.startswith(">")]
    assert [part for part in remedies if part not in told.value.remedy] == [], told.value
    words = [part for part in parts if not part.startswith(">")]
    assert [part for part in words if part not in str(told.value)] == [], told.value


def test_all_mistakes_are_told_at_once():
    text = message(parse_config, {"image_size": "big", "pairs_per_cel": 9, "seed": -1})
    assert all(key in text for key in ("image_size", "pairs_per_cel", "seed"))


# Names that only the catalogue and the task bank know.
UNKNOWN = {
    "dataset": ({"datasets": ["ct_dicm"]}, ["datasets", "'ct_dicm'", "ct_dicom"]),
    "modality": ({"datasets": {"modality": ["CTT"]}}, ["modality", "'CTT'", "CT"]),
    "task": ({"tasks": ["rotaton"]}, ["tasks", "'rotaton'", "rotation"]),
    "dataset held out": ({"heldout": {"datasets": ["ct_dicm"]}}, ["heldout.datasets", "'ct_dicm'"]),
    "held out though choices were made on it": (
        {
            "datasets": ["xr_leg", "ct_dicom"],
            "heldout": {"datasets": ["xr_leg"]},
            "development": ["xr_leg"],
        },
        ["xr_leg", "`development`", "not unseen"],
    ),
    "task held out": ({"heldout": {"tasks": ["rotaton"]}}, ["heldout.tasks", "rotation"]),
    "everything held out": (
        {"datasets": ["xr_leg"], "heldout": {"datasets": ["xr_leg"]}},
        ["holds out every dataset"],
    ),
    "folder of tasks": ({"tasks_dir": "no/such/folder"}, ["tasks_dir", "no/such/folder"]),
}


LARGE = {"name": "breastmnist_64", "of": "breastmnist", "image_size": 64}
ALONE = {"encoders": {}, "medformer": {"arms": {"single": {}}}}
SIZES = {
    "unknown": ({"datasets": [LARGE | {"of": "brestmnist"}]}, ["brestmnist", "breastmnist"]),
    "its own name": (
        {"datasets": ["breastmnist", LARGE | {"name": "retinamnist"}]},
        ["retinamnist is a dataset of its own", "such as breastmnist_64"],
    ),
    "alone": ({"datasets": [LARGE]}, ["breastmnist_64.of", "name breastmnist too"]),
    "one size": (
        {"datasets": ["breastmnist", LARGE], "image_size": 64},
        ["breastmnist_64 and breastmnist are breastmnist at one size, 64"],
    ),
    "twice in an atlas": (
        {"datasets": ["breastmnist", LARGE], "encoders": {"pixels": {}}},
        ["not with encoders", "shows breastmnist twice"],
    ),
    "two sizes in an atlas": (
        {"datasets": [{"name": "breastmnist", "image_size": 64}], "encoders": {"pixels": {}}},
        ["not with encoders", "one size"],
    ),
}


@pytest.mark.parametrize(("changes", "parts"), SIZES.values(), ids=SIZES)
def test_sizes_that_a_run_cannot_have_are_named(changes, parts):
    text = message(plan_run, ALONE | {"image_size": 28} | changes)
    assert [part for part in parts if part not in text] == [], text


@pytest.mark.parametrize(("changes", "parts"), UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_name_is_named_before_anything_runs(changes, parts):
    text = message(plan_run, changes)
    assert [part for part in parts if part not in text] == [], text


def test_holding_everything_out_leaves_nothing_to_train_on():
    changes = {"encoders": {"taco": {}}, "heldout": {"datasets": ["ct_dicom"]}}
    assert "train" in message(plan_run, changes)


@pytest.mark.parametrize("null", [None, "null"], ids=["file", "command line"])
def test_null_drops_an_encoder_and_says_so(null):
    raw = SMALLEST | {"encoders": {"taco": {}, "pixels": null}, "unseen_tasks": null}
    assert list(parse_config(raw).encoders) == ["taco"]
    assert any("encoder pixels is dropped" in line for line in plan_run(raw).messages)
    with pytest.raises(ConfigError, match="name at least one"):
        parse_config(SMALLEST | {"encoders": {"taco": None}})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"encoders": {"taco": None, "a": {"like": "taco"}}}, "encoders.a.like"),
        ({"unseen_tasks": {"encoders": ["taco"]}}, "unseen_tasks.encoders"),
        ({"scaling": {"encoder": "taco"}}, "scaling.encoder"),
    ],
)
def test_what_refers_to_a_dropped_encoder_is_named(changes, key):
    raw = SMALLEST | {"encoders": {"taco": None, "other": {"kind": "taco"}}} | changes
    with pytest.raises(ConfigError) as told:
        parse_config(raw)
    assert f"{key} names 'taco'" in told.value.problem
    assert "null" in told.value.remedy


def test_more_folds_than_tasks_are_refused_before_the_run():
    study = {"unseen_tasks": {"encoders": ["taco"], "folds": 4}}
    raw = SMALLEST | {"encoders": {"taco": {}}, "tasks": ["rotation", "inversion", "boundary"]}
    with pytest.raises(ConfigError, match="folds: ") as told:
        plan_run(raw | study)
    assert "at most" in told.value.remedy
