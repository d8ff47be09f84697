"""What is wrong with a configuration is said in one line that names the key, what was found and what was expected."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from tests import error_page
from unsee.core.option import Option
from unsee.jobs.config import ConfigError, resolve
from unsee.jobs.config_checks import check
from unsee.jobs.config_keys import key_findings
from unsee.unlearning.catalogue import Description, read
from unsee.unlearning.method import Needs

ROOT = Path(__file__).parents[2]
METHODS = {
    **read(),
    "toy": Description(
        "toy", Needs(), {"rate": Option("float"), "kind": Option("Literal['a', 'b']", "a")}, Path("toy.py")
    ),
}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """The project's own configuration, with a checkpoint that is there."""
    shutil.copytree(ROOT / "src/unsee/data/tiny-llava", tmp_path, dirs_exist_ok=True)
    settings = yaml.safe_load((ROOT / "config.yaml").read_text())
    settings["model"]["path"] = str(tmp_path)
    return settings


def put(config: dict[str, Any], key: str, value: Any) -> None:
    """Set ``a.b.c``."""
    *above, last = key.split(".")
    for part in above:
        config = config.setdefault(part, {})
    config[last] = value


def complaint(config: dict[str, Any], files: list[Path] | None = None) -> str:
    """What the check says."""
    before = copy.deepcopy(config)
    with pytest.raises(ConfigError) as caught:
        check(config, METHODS, ROOT, files or [])
    assert config == before
    return str(caught.value)


def test_the_projects_own_configuration_passes(config: dict[str, Any]) -> None:
    check(config, read(), ROOT)
    assert list(resolve(config, read())) == list(config["methods"])


@pytest.mark.parametrize(
    ("preset", "rate"),
    [
        ("overlay-official-mllmu", 2e-5),
        ("overlay-official-mmunlearner", 1e-5),
    ],
)
def test_a_presets_rate_reaches_every_method(config: dict[str, Any], preset: str, rate: float) -> None:
    """Over the rates that config.yaml has for each."""
    update_config(config, yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text()))
    assert {entry.settings["learning_rate"] for entry in resolve(config, read()).values()} == {rate}


def test_the_ablations_rows_differ_in_one_part_only(config: dict[str, Any]) -> None:
    update_config(config, yaml.safe_load((ROOT / "presets/run-ablation-vl-eraser.yaml").read_text()))
    whole, *rows = resolve(config, read()).values()
    parts = ("vacuum", "distil", "ce")
    for part, row in zip(parts, rows, strict=True):
        assert row.settings == whole.settings | {part: False}, row.name


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "benchmark.forget_percents",
            [5, 150],
            "config.yaml: benchmark.forget_percents[1] is 150; expected a whole number from 1 to 99",
        ),
        (
            "benchmark.forget_percents",
            [0],
            "config.yaml: benchmark.forget_percents[0] is 0; expected a whole number from 1 to 99",
        ),
        (
            "benchmark.forget_percents",
            [5.0],
            "config.yaml: benchmark.forget_percents[0] is 5.0; expected a whole number from 1 to 99",
        ),
        (
            "benchmark.forget_percents",
            [5, 5],
            "config.yaml: benchmark.forget_percents is [5, 5]; "
            "expected a list of different whole numbers from 1 to 99, at least one",
        ),
        (
            "benchmark.people",
            8,
            "config.yaml: benchmark.forget_percents[0] is 5; 5 % of 8 people leaves nobody to forget or nobody to "
            "keep; expected benchmark.people to be at least 11, or another ratio",
        ),
        (
            "benchmark.peeple",
            8,
            "config.yaml: benchmark.peeple is no known key; did you mean 'people'? "
            "expected one of name, people, celebrities, seed, forget_percents, forget, held_out, path, revision",
        ),
        (
            "benchmark.name",
            "MLLMU",
            "config.yaml: benchmark.name is 'MLLMU'; expected one of synthetic, mllmu, clear or folder",
        ),
        ("benchmark", None, "config.yaml: benchmark is null; expected a section, as in the project's config.yaml"),
        ("checkpoint.minutes", -1, "config.yaml: checkpoint.minutes is -1; expected a number from 0 or null"),
        ("checkpoint.steps", 0, "config.yaml: checkpoint.steps is 0; expected a whole number from 1 or null"),
        ("seeds", [], "config.yaml: seeds is []; expected a list of different whole numbers from 0, at least one"),
        (
            "model.path",
            "no/such/folder",
            f"config.yaml: model.path is 'no/such/folder', which is not there (no folder {ROOT}/no/such/folder); "
            "expected a checkpoint folder, or the owner/name of a published checkpoint",
        ),
        (
            "model.family",
            "gpt",
            "config.yaml: model.family is 'gpt'; expected one of llava, llava_chatml, llava_next or qwen2_vl",
        ),
        (
            "finetune.learning_rate",
            "1e-4",
            "config.yaml: finetune.learning_rate is '1e-4'; expected a number above 0 "
            "(YAML takes 1e-4 for a text; write 1.0e-4)",
        ),
        (
            "finetune.learning_rate",
            "1e3",
            "config.yaml: finetune.learning_rate is '1e3'; expected a number above 0 "
            "(YAML takes 1e3 for a text; write 1.0e+3)",
        ),
        (
            "finetune.learning_rate",
            "1.5e3",
            "config.yaml: finetune.learning_rate is '1.5e3'; expected a number above 0 "
            "(YAML takes 1.5e3 for a text; write 1.5e+3)",
        ),
        (
            "finetune.learning_rate",
            float("nan"),
            "config.yaml: finetune.learning_rate is nan; expected a number above 0",
        ),
        ("finetune.epochs", True, "config.yaml: finetune.epochs is true; expected a whole number from 1 or null"),
        (
            "finetune.lora.ranks",
            8,
            "config.yaml: finetune.lora.ranks is no known key; did you mean 'rank'? "
            "expected one of rank, alpha, dropout, scope",
        ),
        (
            "methods.nop",
            {},
            f"config.yaml: methods.nop is no known method; did you mean 'npo'? expected one of {', '.join(METHODS)}",
        ),
        (
            "methods.npo_2",
            {"method": "nop"},
            "config.yaml: methods.npo_2.method is 'nop', and that is no known method; did you mean 'npo'? "
            f"expected one of {', '.join(METHODS)}",
        ),
        (
            "methods.npo.bta",
            0.1,
            "config.yaml: methods.npo.bta is no known option; did you mean 'beta'? "
            "npo has the options beta, level, reference_model, alpha, and the keys of 'unlearning'",
        ),
        (
            "methods.ga.beta",
            0.1,
            "config.yaml: methods.ga.beta is no known option; "
            "ga has no options of its own, and the keys of 'unlearning'",
        ),
        (
            "unlearning.steps",
            None,
            "config.yaml: unlearning has epochs null and steps null; expected one of them, and null for the other",
        ),
        (
            "finetune.num_processes",
            0,
            "config.yaml: finetune.num_processes is 0; expected a whole number from 1",
        ),
        (
            "methods.ga.shard",
            True,
            "config.yaml: methods.ga.shard is true with one process; expected num_processes of at least 2, or false",
        ),
        (
            "methods.ga.epochs",
            3,
            "config.yaml: methods.ga has epochs 3 and steps 172; expected one of them, and null for the other",
        ),
        ("methods.npo.beta", "high", "config.yaml: methods.npo.beta is 'high'; expected a number above 0"),
        ("methods.npo.epochs", 0, "config.yaml: methods.npo.epochs is 0; expected a whole number from 1 or null"),
        (
            "methods.toy",
            {},
            "config.yaml: methods.toy.rate is missing; expected a number, toy has no default for it",
        ),
        (
            "methods.toy",
            {"rate": 1, "kind": "c"},
            "config.yaml: methods.toy.kind is 'c'; expected one of a or b",
        ),
        (
            "methods.kvw",
            {"steps": 5},
            "config.yaml: methods.kvw.steps is no known option; kvw has the options strength, pairs, skip_first, skip_last, "
            "and modality; it does not train",
        ),
        (
            "methods.vanilla",
            {"method": "ga"},
            "config.yaml: methods.vanilla is no name for a method's entry; "
            "expected small letters, digits and underscores, and none of base, vanilla, retain",
        ),
        (
            "methods.again",
            {"method": "ga", "learning_rate": {15: 0.0004, "other": 0.0002}},
            "config.yaml: methods.again is the same run as methods.ga (ga); expected another method or other settings",
        ),
        (
            "methods.ga",
            True,
            "config.yaml: methods.ga is true; "
            "expected a section of settings ({} for the defaults), or false to leave the method out",
        ),
        (
            "resources.finetune.gpu",
            -1,
            "config.yaml: resources.finetune.gpu is -1; expected a whole number from 0",
        ),
        (
            "cluster.partitoin",
            "gpu",
            "config.yaml: cluster.partitoin is no known key; did you mean 'partition'? "
            "expected one of partition, account, qos, gpu_model, gpu_gb",
        ),
        (
            "resources.finetune.account",
            1234,
            "config.yaml: resources.finetune.account is 1234; "
            "expected a name of letters, digits and _.,:@/+-, or null for the cluster's default",
        ),
    ],
)
def test_complaint(config: dict[str, Any], key: str, value: Any, expected: str) -> None:
    put(config, key, value)
    assert complaint(config) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"evaluation.protocol": "official"},
            "evaluation.protocol is 'official'; expected one of unsee, mllmu-official or mmunlearner",
        ),
        (
            {"evaluation.protocol": "mllmu-official", "model.family": "qwen2_vl"},
            "model.family is 'qwen2_vl'; expected llava, the only one that evaluation.protocol mllmu-official has prompts for",
        ),
        (
            {"evaluation.protocol": "mmunlearner", "benchmark.name": "clear", "benchmark.forget_percents": [5]},
            "benchmark.name is 'clear'; expected synthetic or mllmu, of which evaluation.protocol is a protocol",
        ),
        (
            {"evaluation.protocol": "mmunlearner", "model.family": "qwen2_vl", "evaluation.shots": 1},
            "evaluation.shots is 1; expected 0: mmunlearner shows qwen2_vl one picture for all of its examples, which ends "
            "in an error",
        ),
        ({"evaluation.shots": 2}, "evaluation.shots is 2; expected 0 or 1"),
        (
            {"evaluation.classification": "sum"},
            "evaluation.classification is 'sum'; expected one of likelihood, likelihood_sum or letter",
        ),
        ({"evaluation.rouge_stemmer": "no"}, "evaluation.rouge_stemmer is 'no'; expected true or false"),
        ({"unlearning.max_grad_norm": -1}, "unlearning.max_grad_norm is -1; expected a number from 0"),
        ({"anchor.forget": 57.08}, "anchor.forget is 57.08; expected a number from 0 to 1"),
    ],
)
def test_a_protocol_has_its_limits(config: dict[str, Any], values: dict[str, Any], expected: str) -> None:
    for key, value in values.items():
        put(config, key, value)
    assert complaint(config) == f"config.yaml: {expected}"


@pytest.mark.parametrize(
    ("protocol", "family", "shots"),
    [("mllmu-official", "llava", 0), ("mmunlearner", "llava", 1), ("mmunlearner", "qwen2_vl", 0)],
)
def test_a_published_protocol_passes(config: dict[str, Any], protocol: str, family: str, shots: int) -> None:
    put(config, "evaluation", {**config["evaluation"], "protocol": protocol, "shots": shots})
    put(config, "model.family", family)
    put(config, "model.path", "owner/name")
    check(config, read(), ROOT)


def test_portraits_that_are_not_there_are_named(config: dict[str, Any]) -> None:
    put(config, "model.build", True)
    check(config, METHODS, ROOT)
    put(config, "pretraining.bystanders", "no.parquet")
    assert complaint(config) == (
        "config.yaml: pretraining.bystanders is 'no.parquet'; "
        "expected the file that tools/render_portraits.py makes, or null for a brief training without"
    )


def test_a_checkpoint_that_says_nothing_of_itself_is_refused_when_planned(
    config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert complaint(config) == (
        f"config.yaml: model.path is '{tmp_path}', which cannot be used: config.json has no model_type; expected 'llava'"
    )


def test_pickled_weights_are_refused(config: dict[str, Any], tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.rename(tmp_path / "pytorch_model.bin")
    assert complaint(config) == (
        f"config.yaml: model.path is '{tmp_path}', which cannot be used: has pytorch_model.bin; "
        "expected *.safetensors, because reading a pickle can run any code"
    )
    shutil.copy(tmp_path / "pytorch_model.bin", weights)
    check(config, METHODS, ROOT)


def test_a_missing_key_is_named(config: dict[str, Any]) -> None:
    del config["benchmark"]["seed"]
    assert complaint(config) == ("config.yaml: benchmark.seed is missing; expected it as in the project's config.yaml")


def test_every_finding_gets_its_line(config: dict[str, Any]) -> None:
    put(config, "seeds", [-1])
    put(config, "benchmark.people", 1)
    assert [line.split(" is ")[0] for line in complaint(config).splitlines()] == [
        "config.yaml: benchmark.people",
        "config.yaml: seeds[0]",
    ]


def test_the_file_that_says_nan_is_named(config: dict[str, Any], tmp_path: Path) -> None:
    base, preset = tmp_path / "config.yaml", tmp_path / "preset.yaml"
    base.write_text(yaml.safe_dump(config))
    preset.write_text("finetune: {learning_rate: .nan}")
    put(config, "finetune.learning_rate", float("nan"))
    assert complaint(config, [base, preset]).startswith("preset.yaml: finetune.learning_rate is nan")


def test_the_file_that_says_it_is_named(config: dict[str, Any], tmp_path: Path) -> None:
    base, preset = tmp_path / "config.yaml", tmp_path / "preset.yaml"
    base.write_text(yaml.safe_dump(config))
    preset.write_text("methods: {ga: {epochs: 0}}\n")
    put(config, "methods.ga", {"epochs": 0})
    assert complaint(config, [base, preset]).startswith("preset.yaml: methods.ga.epochs is 0;")
    put(config, "methods.ga", {"epochs": -1})
    assert complaint(config, [base, preset]).startswith("--config: methods.ga.epochs is -1;")


def test_a_key_written_twice_is_named_with_its_lines(config: dict[str, Any], tmp_path: Path) -> None:
    preset = tmp_path / "preset.yaml"
    preset.write_text("methods:\n  ga: {}\n  npo: {}\n  ga: {epochs: 3}\n")
    assert complaint(config, [preset]) == ("preset.yaml: methods.ga is there twice (lines 2 and 4); expected once")


def test_a_published_benchmark_has_its_folders(config: dict[str, Any], tmp_path: Path) -> None:
    put(config, "benchmark.name", "mllmu")
    put(config, "benchmark.path", str(tmp_path / "none"))
    assert "expected the folder of the published files, or null" in complaint(config)
    put(config, "benchmark.path", str(tmp_path))
    assert (
        "which has no files of ft_Data, Full_Set, Test_Set, Retain_Set; expected these folders of the data set "
        "MLLMMU/MLLMU-Bench"
    ) in complaint(config)
    for name in ("ft_Data", "Full_Set", "Test_Set", "Retain_Set", "forget_5", "retain_95"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train-00000-of-00001.parquet").touch()
    lines = complaint(config).splitlines()
    assert len(lines) == 2
    assert "benchmark.forget_percents[1] is 10, but" in lines[0]
    assert lines[0].endswith("has no files of forget_10, retain_90; expected a published ratio, it has forget_5")


def test_half_of_the_shards_are_noticed_when_the_plan_is_made(config: dict[str, Any], tmp_path: Path) -> None:
    put(config, "benchmark.name", "mllmu")
    put(config, "benchmark.path", str(tmp_path))
    put(config, "benchmark.forget_percents", [5])
    for name in ("ft_Data", "Full_Set", "Test_Set", "Retain_Set", "forget_5", "retain_95"):
        (tmp_path / name).mkdir()
        file = "train-00001-of-00002.parquet" if name == "Test_Set" else "train-00000-of-00001.parquet"
        (tmp_path / name / file).touch()
    message = complaint(config).replace(str(tmp_path), "FOLDER")
    assert message == (
        "config.yaml: benchmark.path is 'FOLDER': FOLDER/Test_Set: 1 of 2 files are missing, the first is number 00000; "
        "there are train-00001-of-00002.parquet; download it again"
    )
    error_page.check("benchmark.path with half of the shards of a folder", "planning", message)


@pytest.mark.parametrize(("name", "ratios"), [("mllmu", "5, 10, 15"), ("clear", "1, 5, 10")])
def test_what_is_fetched_has_the_ratios(config: dict[str, Any], name: str, ratios: str) -> None:
    put(config, "benchmark.name", name)
    put(config, "benchmark.forget_percents", [5, 10])
    check(config, METHODS, ROOT)
    put(config, "benchmark.forget_percents", [5, 25])
    assert f"benchmark.forget_percents[1] is 25; expected one of {ratios}, as " in complaint(config)


def test_an_entry_overlays_the_defaults_and_nothing_else(config: dict[str, Any]) -> None:
    put(config, "methods", {"ga": {}, "npo_2": {"method": "npo", "epochs": 9, "lora": {"rank": 2}}, "npo": False})
    entries = resolve(config, METHODS)
    assert list(entries) == ["ga", "npo_2"]
    assert entries["ga"].settings == config["unlearning"]
    options = {"beta": 0.4, "level": "sequence_sum", "reference_model": "retain", "alpha": 0.0}
    changed = {"epochs": 9, **options, "lora": {**config["unlearning"]["lora"], "rank": 2}}
    assert entries["npo_2"].settings == {**config["unlearning"], **changed}
    assert entries["npo_2"].method.name == "npo"


def test_the_order_of_keys_changes_no_settings(config: dict[str, Any]) -> None:
    other = copy.deepcopy(config)
    other["unlearning"] = dict(reversed(config["unlearning"].items()))
    assert repr(resolve(other, METHODS)["ga"].settings) == repr(resolve(config, METHODS)["ga"].settings)


def test_rows_stand_in_the_order_of_the_files(config: dict[str, Any], tmp_path: Path) -> None:
    base, preset = tmp_path / "base.yaml", tmp_path / "preset.yaml"
    base.write_text("methods: {ga: {}, kl_min: {}}\n")
    preset.write_text("methods: {npo: {}, kl_min: {epochs: 2}}\n")
    put(config, "methods", {"npo": {}, "kl_min": {"epochs": 2}, "ga": {}})
    assert list(resolve(config, METHODS, [base, preset])) == ["ga", "kl_min", "npo"]


@pytest.mark.parametrize(
    ("bad_input", "values"),
    [
        ("benchmark.path with the synthetic benchmark", {"benchmark.path": "published"}),
        ("benchmark.revision with the synthetic benchmark", {"benchmark.revision": "abc"}),
        ("benchmark.people with mllmu", {"benchmark.name": "mllmu", "benchmark.people": 20}),
        (
            "benchmark.revision with a folder",
            {"benchmark.name": "mllmu", "benchmark.path": ".", "benchmark.revision": "abc"},
        ),
        ("model.revision with a folder", {"model.revision": "abc"}),
        ("pretraining.steps without model.build", {"pretraining.steps": 7}),
        ("evaluation.shots with our protocol", {"evaluation.shots": 1}),
    ],
)
def test_a_key_that_nothing_reads(
    config: dict[str, Any], tmp_path: Path, bad_input: str, values: dict[str, Any]
) -> None:
    base = tmp_path / "config.yaml"
    base.write_text(yaml.safe_dump(config))
    for key, value in values.items():
        put(config, key, value)
    said = [line for line in complaint(config, [base]).splitlines() if "nothing reads it" in line]
    assert len(said) == 1
    error_page.check(bad_input, "planning", said[0].replace("--config:", "config.yaml:"))


def test_a_name_with_a_line_break(config: dict[str, Any]) -> None:
    put(config, "model.name", "tiny\n")
    error_page.check("a line break at the end of model.name", "planning", complaint(config))


def test_a_name_that_snakemake_takes_for_a_loop(config: dict[str, Any]) -> None:
    put(config, "model.name", "a" * 20)
    error_page.check("model.name: aaaaaaaaaaaaaaaaaaaa", "planning", complaint(config))
    put(config, "model.name", "x" + "ab" * 19)
    check(config, METHODS, ROOT)


@pytest.mark.parametrize("value", ["a;b", "$(id)", "a b", "`id`", "a\n", "a|b", "-x", ""])
def test_what_becomes_part_of_a_command_line_has_no_signs_of_a_shell(config: dict[str, Any], value: str) -> None:
    for key in (
        "cluster.partition",
        "cluster.account",
        "cluster.qos",
        "cluster.gpu_model",
        "resources.unlearn.account",
    ):
        changed = copy.deepcopy(config)
        put(changed, key, value)
        assert f"{key} is {value!r}; expected a name of letters, digits and _.,:@/+-" in complaint(changed)
    put(config, "cluster.partition", "gpu,long")
    put(config, "cluster.gpu_model", "NVIDIAA100_SXM4_80GB")
    if value == "$(id)":
        check(config, METHODS, ROOT)
        put(config, "cluster.gpu_model", value)
        error_page.check("cluster.gpu_model: $(id)", "planning", complaint(config))


def test_ten_problems_are_listed_and_the_rest_counted(config: dict[str, Any]) -> None:
    config["finetune"] |= {f"unknown_{i}": 0 for i in range(13)}
    lines = complaint(config).splitlines()
    assert len(lines) == 11 and lines[-1] == "and 3 more"


def test_aliases_may_not_grow_without_end(config: dict[str, Any], tmp_path: Path) -> None:
    over = tmp_path / "over.yaml"
    over.write_text(
        "a: &a [0,0,0,0,0,0,0,0,0,0]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True))
    )
    error_page.check("a list of a million aliases", "planning", complaint(config, [over]))


@pytest.mark.parametrize(
    ("bad_input", "changes"),
    [
        ("a published protocol over CLEAR", {"benchmark": {"name": "clear", "path": None, "forget_percents": [5]}}),
        ("mllmu-official and a family without prompts of its own", {"model": {"family": "qwen2_vl"}}),
        ("mllmu-official and two people to forget", {"benchmark": {"people": 40, "forget_percents": [5]}}),
    ],
)
def test_what_a_published_protocol_cannot_ask_is_said_at_planning(bad_input: str, changes: dict[str, Any]) -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["evaluation"]["protocol"] = "mllmu-official"
    check(config, read(), ROOT)
    for section, values in changes.items():
        config[section] |= values
    if "family" in str(changes):  # the checkpoint is LLaVA's, which is said first
        config["model"] |= {"build": True}
    with pytest.raises(ConfigError) as caught:
        check(config, read(), ROOT)
    error_page.check(bad_input, "planning", str(caught.value).replace(str(ROOT), "FOLDER"))


@pytest.mark.parametrize(
    ("bad_input", "changes"),
    [
        ("lora.rank: 100000", {"finetune.lora": {"rank": 100_000}}),
        ("lora.rank above the smallest layer of the tower", {"unlearning.lora": {"rank": 161, "scope": "both"}}),
        ("lora.rank of a method", {"methods.ga": {"lora": {"rank": 200}}}),
        ("max_new_tokens: 100000", {"evaluation": {"max_new_tokens": 100_000}}),
    ],
)
def test_a_setting_beyond_the_model(config: dict[str, Any], bad_input: str, changes: dict[str, dict[str, Any]]) -> None:
    for key, values in changes.items():
        section: Any = config
        for part in key.split("."):
            section = section[part]
        section |= values
    error_page.check(bad_input, "planning", complaint(config))


def test_a_rank_as_large_as_the_smallest_matrix_passes(config: dict[str, Any]) -> None:
    put(config, "finetune.lora.rank", 160)
    check(config, METHODS, ROOT)
    put(config, "evaluation.max_new_tokens", 511)
    check(config, METHODS, ROOT)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], "is []; expected a list of different tasks of classification, generation and cloze, at least one"),
        (["cloze", "generation"], ""),
        (["cloze", "naming"], "[1] is 'naming'; expected one of classification, generation or cloze"),
    ],
)
def test_the_tasks(config: dict[str, Any], value: list[str], expected: str) -> None:
    put(config, "evaluation.tasks", value)
    if expected:
        assert complaint(config) == f"config.yaml: evaluation.tasks{' ' * (expected[0] == 'i')}{expected}"
    else:
        check(config, METHODS, ROOT)


def test_resources_have_a_default_or_an_entry_for_every_rule(config: dict[str, Any]) -> None:
    default = {"threads": 1, "mem_mb": 2000, "runtime": 10, "gpu": 0}
    assert not list(key_findings({**config, "resources": {"default": default, "unlearn": {"gpu": 1}}}, ROOT))
    missing = {key: value for key, value in default.items() if key != "runtime"}
    put(config, "resources.unlaern", {})
    assert complaint(config).startswith("config.yaml: resources.unlaern is no known key; did you mean 'unlearn'?")
    config["resources"] = {"default": missing}
    assert complaint(config).startswith("config.yaml: resources.default.runtime is missing; expected it as in")
