"""The plan of a configuration: its runs, and what each rule's jobs read and are made of, against expectations by hand."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import error_page
from unsee.attacks import catalogue as attack_catalogue
from unsee.benchmarks import synthetic
from unsee.evaluation import anchor
from unsee.evaluation.settings import TASKS
from unsee.jobs.config import ConfigError, resolve, resolve_attacks
from unsee.jobs.config_attacks import need_findings
from unsee.jobs.job_hash import job_hash
from unsee.jobs.plan import PARAMETERS, Plan
from unsee.jobs.requests import ANCHOR_PROTOCOL, check_model_name, check_request, has_summary
from unsee.jobs.runs import Run
from unsee.unlearning import catalogue

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
GA = Run(10, "ga", 0)
WILDCARDS = {"model": "tiny-llava", "forget_percent": "10", "method": "ga", "seed": "0"}


def plan(*, root: Path = ROOT, **sections: Any) -> Plan:
    """A plan of config.yaml with other values of some sections."""
    config = copy.deepcopy(CONFIG)
    for name, values in sections.items():
        config[name] = config[name] | values if isinstance(values, dict) else values
    attacks = resolve_attacks(config, attack_catalogue.read())
    return Plan(config, resolve(config, catalogue.read()), root, (), attacks)


def adapter(run: str) -> list[str]:
    folder = f"results/models/tiny-llava/{run}/adapter"
    return [f"{folder}/adapter_config.json", f"{folder}/adapter_model.safetensors"]


# Runs


def test_two_ratios_and_two_seeds_give_these_runs() -> None:
    two = plan(seeds=[0, 7], benchmark={"forget_percents": [10, 5]}, only=["npo", "ga"])
    assert two.runs == [
        *[(0, "base", 0), (0, "vanilla", 0)],
        *[(10, "retain", 0), (10, "ga", 0), (10, "npo", 0), (5, "retain", 0), (5, "ga", 0), (5, "npo", 0)],
        *[(0, "base", 7), (0, "vanilla", 7)],
        *[(10, "retain", 7), (10, "ga", 7), (10, "npo", 7), (5, "retain", 7), (5, "ga", 7), (5, "npo", 7)],
    ]
    assert two.evaluated_runs == two.runs
    assert [run for run in two.runs if run not in two.trained_runs] == [(0, "base", 0), (0, "base", 7)]
    assert [run.training_rule for run in two.runs[:5]] == [None, "finetune", "train_reference", "unlearn", "unlearn"]


def test_a_published_protocol_evaluates_base_and_vanilla_at_each_ratio() -> None:
    published = plan(benchmark={"forget_percents": [5, 10]}, only=["ga"], evaluation={"protocol": "mmunlearner"})
    assert published.evaluated_runs == [
        *[(5, "base", 0), (10, "base", 0), (5, "vanilla", 0), (10, "vanilla", 0)],
        *[(5, "retain", 0), (5, "ga", 0), (10, "retain", 0), (10, "ga", 0)],
    ]
    # There is one adapter of vanilla.
    assert published.adapters(Run(10, "vanilla", 0)) == ["results/models/tiny-llava/forget0/vanilla/seed0/adapter"]
    assert published.adapters(Run(10, "base", 0)) == []


def test_only_some_rows_are_run() -> None:
    assert plan(only=["ga"]).method_pattern == "ga"
    assert {run.method for run in plan(only=["ga"]).runs} == {"base", "vanilla", "retain", "ga"}
    assert plan(only=["ga"], trade_off={"scales": []}).rescaled_runs == []
    assert plan(only=["ga"]).rescaled_runs == [(5, "ga", 0), (10, "ga", 0), (15, "ga", 0)]


def test_a_result_without_parts_is_not_evaluated_at_parts() -> None:
    some = plan(only=["ga", "kvw", "manu", "prompt"], methods={"kvw": {}, "manu": {}, "prompt": {}})
    assert {run.method for run in some.trained_runs} >= {"ga", "kvw", "manu", "prompt"}
    assert {run.method for run in some.rescaled_runs} == {"ga", "kvw"}
    assert some.params("trade_off")["methods"]({}) == ["ga", "kvw"]


def test_a_method_that_does_not_train_reads_no_setting_of_training() -> None:
    def settings(name: str, **unlearning: Any) -> Any:
        methods = {"kvw": {"strength": 0.05}, "prompt": {}}
        changed = plan(methods=methods, unlearning=unlearning)
        return changed.params("unlearn")["settings"](Run(10, name, 0).wildcards("tiny-llava"))

    assert settings("kvw") == {"modality": "both", "pairs": 1, "skip_first": 0, "skip_last": 0, "strength": 0.05}
    assert settings("kvw", steps=3, batch_size=9, learning_rate=1.0) == settings("kvw")
    assert settings("kvw", modality="text")["modality"] == "text"
    assert set(settings("prompt")) == {"words"}


# What a run needs


def test_what_a_run_is_trained_and_evaluated_with() -> None:
    default = plan()
    assert default.training_splits(Run(0, "vanilla", 0)) == []
    assert default.training_splits(GA) == ["results/benchmark/splits/forget10.parquet"]
    assert default.evaluation_splits(GA) == ["results/benchmark/splits/forget10.parquet"]
    assert default.evaluated_percents(Run(0, "base", 0)) == [5, 10, 15]
    assert default.vanilla_files(GA) == adapter("forget0/vanilla/seed0")
    assert default.adapter_files(Run(0, "base", 0)) == []
    assert default.adapter_files(Run(0, "vanilla", 3)) == adapter("forget0/vanilla/seed3")
    assert default.adapter_files(Run(10, "retain", 0)) == adapter("forget10/retain/seed0")
    # An unlearned model is an adapter on vanilla.
    assert default.adapter_files(GA) == adapter("forget0/vanilla/seed0") + adapter("forget10/ga/seed0")


@pytest.mark.parametrize(
    ("settings", "expected"), [({}, "forget10/retain/seed2"), ({"reference_model": "vanilla"}, "forget0/vanilla/seed2")]
)
def test_npo_reads_the_reference_that_its_settings_name(settings: dict[str, Any], expected: str) -> None:
    named = plan(methods={"npo": settings})
    assert named.reference_files(Run(10, "npo", 2)) == adapter(expected)
    assert named.reference_files(GA) == [] and named.reference(GA) is None


def test_only_a_method_with_alternative_answers_reads_the_refusals() -> None:
    named = plan(methods={"idk": {}, "gentle": {"method": "dpo"}})
    assert named.alternative_files(Run(10, "idk", 0)) == [str(ROOT / "src/unsee/data/refusals.txt")]
    assert named.alternative_files(Run(10, "gentle", 0)) == [str(ROOT / "src/unsee/data/refusals.txt")]
    assert named.alternative_files(GA) == []


def test_an_entry_may_run_the_method_of_another_name() -> None:
    named = plan(methods={"npo_soft": {"method": "npo", "beta": 1.0}})
    run = Run(5, "npo_soft", 0)
    assert run in named.runs
    assert named.reference_files(run) == adapter("forget5/retain/seed0")
    params = named.params("unlearn")
    wildcards = run.wildcards("tiny-llava")
    assert params["method"](wildcards) == "npo"
    assert params["settings"](wildcards)["beta"] == 1.0
    assert params["reference"](wildcards) == "results/models/tiny-llava/forget5/retain/seed0/adapter"


# Benchmark and base model


def test_the_synthetic_benchmark_is_written_and_its_splits_are_drawn() -> None:
    benchmark = plan().benchmark
    assert benchmark.rule == "write_benchmark"
    assert benchmark.folder == "results/benchmark/raw"
    assert benchmark.published_files()[0] == "results/benchmark/raw/ft_Data/train-00000-of-00001.parquet"
    assert len(benchmark.published_files()) == 5 and benchmark.published_files(5) == []
    assert plan().params("split_benchmark")["seed"]({"forget_percent": "5"}) == 0


def test_a_benchmark_that_is_fetched_is_known_by_its_record() -> None:
    fetched = plan(benchmark={"name": "mllmu", "path": None, "revision": "abc"})
    assert fetched.benchmark.rule == "fetch_benchmark"
    assert fetched.benchmark.published_files() == fetched.benchmark.published_files(5) == [fetched.benchmark.record]
    assert fetched.benchmark.record == "results/benchmark/published.json"
    params = {name: value({}) for name, value in fetched.params("fetch_benchmark").items()}
    assert (params["repository"], params["revision"]) == ("MLLMMU/MLLMU-Bench", "abc")
    # Every published ratio is fetched, so that another ratio in the configuration fetches nothing anew.
    assert "forget_15/train-*" in params["patterns"]
    assert fetched.params("split_benchmark")["seed"]({"forget_percent": "5"}) is None
    # CLEAR asks about the people of its ratios only.
    assert plan(benchmark={"name": "clear", "forget_percents": [10, 5]}).benchmark.ratios_of_tables == [5, 10]


def test_a_benchmark_in_a_folder_is_read_there(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "data", people=8, celebrities=2, forget_percents=[25], seed=0)
    benchmark = plan(root=tmp_path, benchmark={"name": "mllmu", "path": "data", "forget_percents": [25]}).benchmark
    assert benchmark.rule is None
    folders = [Path(file).parent.name for file in benchmark.published_files()]
    assert folders == ["ft_Data", "Full_Set", "Test_Set", "Test_Set", "Retain_Set"]
    assert [Path(file).parent.name for file in benchmark.published_files(25)] == ["forget_25", "retain_75"]


def test_a_base_model_in_a_folder_is_read_there() -> None:
    model = plan().model
    assert model.rules == [] and not model.is_fetched
    assert model.spec == {
        "name": "tiny-llava",
        "family": "llava",
        "dtype": "float32",
        "path": str(ROOT / "src/unsee/data/tiny-llava"),
    }
    names = {Path(file).name for file in model.files}
    assert {"config.json", "model.safetensors"} < names and "README.md" not in names


def test_a_base_model_that_is_fetched_is_known_by_its_record() -> None:
    model = plan(model={"path": "owner/name", "revision": "abc", "name": "large"}).model
    assert model.rules == ["fetch_model"]
    assert model.files == ["results/base/large/published.json"] == [model.spec["record"]]
    assert (model.spec["path"], model.spec["revision"]) == ("owner/name", "abc")


def test_a_base_model_that_is_built_is_an_output() -> None:
    built = plan(model={"build": True}, pretraining={"bystanders": "portraits.parquet"})
    assert built.model.rules == ["pretrain_base"]
    assert built.model.files == ["results/base/tiny-llava/config.json", "results/base/tiny-llava/model.safetensors"]
    assert built.model.spec["path"] == "results/base/tiny-llava"
    assert built.model.bystanders == [str(ROOT / "portraits.parquet")] and built.model.tower == []
    assert "results/jobs/pretrain_base.json" in built.receipts("scores")
    # On a pretrained decoder.
    model = plan(model={"build": True}, pretraining={"language_model": "smollm2"}).model
    assert model.rules == ["convert_language_model", "pretrain_base"]
    assert "results/language_model/model.safetensors" in model.language_model and len(model.tower) == 3


# Parameters and hashes

ATTACKED = ("attack noise", "attack prune")


def hashes(of: Plan) -> dict[str, str]:
    """The hash of one job of every rule, for each task of ``evaluate``, and for some of ``attack``; without other jobs' receipts."""
    names = {rule: rule for rule in PARAMETERS if rule not in ("evaluate", "attack")}
    functions = {name: of.params(rule) for name, rule in names.items()}
    hashes = {
        name: job_hash(
            name, WILDCARDS, {key: f(WILDCARDS) for key, f in of_rule.items() if key not in ("receipts", "job_hash")}
        )
        for name, of_rule in functions.items()
    }
    hashes |= {f"attack {name}": of.job_hash("attack", WILDCARDS | {"attack": name}) for name in ("noise", "prune")}
    return hashes | {f"evaluate {task}": of.job_hash("evaluate", WILDCARDS | {"task": task}) for task in TASKS}


def test_the_hash_is_of_exactly_the_parameters() -> None:
    default, wildcards = plan(), WILDCARDS | {"task": "cloze", "attack": "noise"}
    for rule in PARAMETERS:
        values = {name: value(wildcards) for name, value in default.params(rule).items()}
        assert values.pop("job_hash") == job_hash(rule, wildcards, values), rule
        assert any(
            line.startswith(f"{'finetune' if rule == 'train_reference' else rule}.py ") for line in values["code"]
        )


def test_the_code_of_the_models_family_is_a_parameter_of_every_job_that_loads_it() -> None:
    """No module imports a family but by its name, so that no digest of other code has it."""
    for family, file in {"llava": "llava.py", "qwen2_vl": "qwen2_vl.py"}.items():
        of = plan(model={"family": family})
        for rule in ("finetune", "train_reference", "unlearn", "predict", "rescale", "attack", "score_pairs"):
            code = of.params(rule)["family_code"](WILDCARDS | {"attack": "noise"})
            assert [line for line in code if line.startswith(f"{file} ")], rule
            assert not [line for line in code if "families/qwen2_vl" in line]


@pytest.mark.parametrize(
    ("sections", "rules"),
    [
        ({"benchmark": {"seed": 1}}, {"write_benchmark", "write_strangers", "split_benchmark"}),
        ({"finetune": CONFIG["finetune"] | {"epochs": 1}}, {"finetune", "train_reference"}),
        ({"methods": {"ga": {"learning_rate": 0.1}}}, {"unlearn"}),
        ({"methods": {"npo": {"beta": 0.1}}}, set()),
        (
            {"evaluation": {"classification": "letter"}},
            {"predict", "rescale", *ATTACKED, "evaluate classification", "trade_off", "robustness"},
        ),
        ({"evaluation": {"rouge_stemmer": False}}, {"evaluate generation", "trade_off", "robustness"}),
        ({"evaluation": {"cloze_rule": "contains"}}, {"evaluate cloze", "trade_off", "robustness"}),
        ({"evaluation": {"tasks": ["cloze"]}}, {"predict", "rescale", *ATTACKED}),
        ({"evaluation": {"max_new_tokens": 3}}, {"predict", "rescale", *ATTACKED}),
        ({"attacks": {"noise": {"share": 0.5}}}, {"attack noise"}),
        ({"attacks": {"noise_large": {"attack": "noise", "share": 0.5}}}, {"robustness"}),
        ({"robustness": {"utility": 0.5}}, {"robustness"}),
        ({"evaluation": {"batch_size": 3}}, set()),
        ({"anchor": {"forget": 0.1}}, {"anchor_check"}),
        ({"membership": {"k_percent": 30}}, {"score_pairs"}),
        ({"membership": {"strangers": 7}}, {"write_strangers"}),
        ({"checkpoint": {"minutes": 1}, "cluster": {"partition": "gpu"}}, set()),
        ({"shared_models": "/"}, set()),
        ({"resources": {"predict": {"mem_mb": 1}}}, set()),
    ],
)
def test_a_setting_changes_the_jobs_that_it_decides(sections: dict[str, Any], rules: set[str]) -> None:
    """Of their own parameters; what gathers the results of other jobs holds their hashes, too."""
    before, after = hashes(plan()), hashes(plan(**sections))
    gathers = {"scores", "tables", "report"}  # they show the configuration
    assert {job for job in before if before[job] != after[job]} - gathers == rules


@pytest.mark.parametrize("looks", [{"colour": "#123456"}, {"marker": "8"}, {"label": "Ascent"}])
def test_a_label_colour_or_marker_changes_the_jobs_that_draw(looks: dict[str, str]) -> None:
    before = plan()
    entries = dict(before.entries)
    ga = entries["ga"]
    entries["ga"] = dataclasses.replace(ga, method=dataclasses.replace(ga.method, **looks))
    after = Plan(before.config, entries, ROOT, (), before.attacks)
    assert {job for job, value in hashes(before).items() if value != hashes(after)[job]} == {
        "summary",
        "trade_off",
        "robustness",
        "membership",
        "report",
    }


def test_a_hash_has_the_wildcards_in_it_and_no_place_of_a_file() -> None:
    assert plan().job_hash("predict", WILDCARDS) != plan().job_hash("predict", WILDCARDS | {"seed": "1"})
    parameters = {"model": {"name": "m", "path": "a", "record": "b"}, "folder": "c"}
    elsewhere = {"model": {"name": "m", "path": "/x/a"}, "folder": None}
    assert job_hash("r", {}, parameters) == job_hash("r", {}, elsewhere)
    assert job_hash("r", {}, parameters) != job_hash("r", {}, {"model": {"name": "n"}})
    assert job_hash("r", {}, {"a": 1, "b": 2}) != job_hash("r", {}, {"a": 2, "b": 1}), "names count"


def test_the_receipts_are_of_every_job_from_the_benchmark_to_the_scores() -> None:
    small = plan(benchmark={"forget_percents": [10]}, only=["ga"])
    run = "tiny-llava/forget{}/{}/seed0"
    base, vanilla, retain, ga = (
        run.format(*part) for part in ((0, "base"), (0, "vanilla"), (10, "retain"), (10, "ga"))
    )
    expected = ["write_benchmark", "load_benchmark", "split_benchmark/forget10"]
    expected += [f"finetune/{vanilla}", f"train_reference/{retain}", f"unlearn/{ga}"]
    expected += [
        name
        for run in (base, vanilla, retain, ga)
        for name in (f"predict/{run}", *(f"evaluate/{run}/{task}" for task in TASKS))
    ]
    scores = small.receipts("scores")
    assert list(scores) == [f"results/jobs/{name}.json" for name in expected]
    assert scores[f"results/jobs/predict/{ga}.json"] == small.job_hash("predict", WILDCARDS)
    assert small.receipts("tables") == scores | {"results/jobs/scores.json": small.job_hash("scores", {})}


# Resources and refusals


def test_a_rule_has_the_default_resources_but_for_its_own() -> None:
    default = plan(resources={"predict": {"threads": 4, "gpu": 2, "gpu_model": "h100"}}, cluster={"qos": "low"})
    assert default.threads_of("predict") == 4 and default.threads_of("evaluate") == 1
    resources = default.resources_of("predict")
    minutes = resources.pop("runtime")
    assert [minutes(None, attempt) for attempt in (1, 2)] == [30, 60]
    assert resources == {
        "mem_mb": 2000,
        "gpu": 2,
        "gpu_model": "h100",
        "qos": "low",
        "lsf_extra": "-gpu num=2:gmodel=h100",
    }
    assert set(default.resources_of("evaluate")) == {"mem_mb", "gpu", "runtime", "qos"}


def test_the_anchor_needs_its_protocol_and_its_ratio() -> None:
    assert anchor.PROTOCOL == ANCHOR_PROTOCOL
    ready = plan(evaluation={"protocol": ANCHOR_PROTOCOL})
    check_request(ready, "anchor_check")
    assert ready.anchor_predictions == "results/models/tiny-llava/forget5/base/seed0/predictions/generation.parquet"
    with pytest.raises(ConfigError, match=r"anchor\.forget_percent is 5; expected one of .* \[10\]"):
        check_request(
            plan(evaluation={"protocol": ANCHOR_PROTOCOL}, benchmark={"forget_percents": [10]}), "anchor_check"
        )
    with pytest.raises(ConfigError, match="evaluation.protocol is 'unsee', and the figures of the section anchor"):
        check_request(plan(), "anchor_check")


def test_the_summary_needs_all_tasks() -> None:
    only_cloze = plan(evaluation={"tasks": ["cloze"]})
    assert only_cloze.predictions == ["predictions/cloze.parquet"] and only_cloze.scores == ["scores/cloze.parquet"]
    assert has_summary(plan()) and not has_summary(only_cloze)
    with pytest.raises(ConfigError, match=r"evaluation\.tasks is \['cloze'\], and the summary .* combines all tasks"):
        check_request(only_cloze, "summary")
    with pytest.raises(ConfigError, match=r"evaluation\.tasks is \['cloze'\], and the known figure is of generation"):
        check_request(plan(evaluation={"tasks": ["cloze"], "protocol": ANCHOR_PROTOCOL}), "anchor_check")


def test_another_models_name_is_refused() -> None:
    check_model_name(plan(), {"forget_percent": "5"})
    check_model_name(plan(), WILDCARDS)
    with pytest.raises(ConfigError, match="results/models/other: model.name is 'tiny-llava'"):
        check_model_name(plan(), WILDCARDS | {"model": "other"})


def test_every_model_of_the_ratios_is_attacked_in_the_same_way() -> None:
    attacked = plan(only=["ga"], seeds=[0, 7])
    models = [(10, method, seed) for method in ("vanilla", "retain", "ga") for seed in (0, 7)]
    assert attacked.attacked_runs == models
    file = "results/models/tiny-llava/forget10/vanilla/seed0/attacks/noise.parquet"
    assert file in attacked.attack_files(attacked.attacked_runs)
    vanilla, ga = ({**run.wildcards("tiny-llava"), "attack": "noise"} for run in (attacked.attacked_runs[0], GA))
    params = attacked.params("attack")
    assert {name for name in params if params[name](vanilla) != params[name](ga)} == {"adapters", "job_hash"}
    assert params["adapters"](vanilla) == ["results/models/tiny-llava/forget0/vanilla/seed0/adapter"]
    assert attacked.receipt_of("attack", ga) == "results/jobs/attack/tiny-llava/forget10/ga/seed0/noise.json"
    whole = {"gradient_accumulation": 1, "gradient_checkpointing": False}
    assert params["division"](ga) == {} and params["division"](ga | {"attack": "relearn"}) == whole
    every = plan(robustness={"forget_percents": None})
    assert [run.forget_percent for run in every.attacked_runs if run.method == "vanilla"] == [5, 10, 15]


def test_the_code_of_one_attack_is_a_parameter_of_its_jobs_only() -> None:
    params = plan().params("attack")
    wildcards = WILDCARDS | {"attack": "noise"}
    assert len([line for line in params["attack_code"](wildcards) if line.startswith("noise.py ")]) == 1
    assert not [line for name in ("code", "attack_code") for line in params[name](wildcards) if "methods/" in line]


@pytest.mark.parametrize(
    ("name", "sections", "message"),
    [
        (
            "attacks with a published protocol",
            {"evaluation": {"protocol": "mmunlearner"}},
            "config.yaml: evaluation.protocol is 'mmunlearner', and attacks change the questions of unsee; "
            "expected evaluation.protocol: unsee, or results/table3.csv as the target",
        ),
        (
            "attacks at a ratio that is not of the benchmark",
            {"benchmark": {"forget_percents": [5]}},
            "config.yaml: robustness.forget_percents[0] is 10; expected one of benchmark.forget_percents, [5], or null for all",
        ),
        (
            "the original projector put back where none was trained",
            {"attacks": {"projector": {}}},
            "config.yaml: attacks.projector puts back the vision tower and the projector, and no model has trained them "
            "(lora.scope is language in finetune and in all methods); expected false here, or another lora.scope there",
        ),
        (
            "options in other orders where the prompt shows none",
            {"attacks": {"orders": {}}},
            "config.yaml: attacks.orders changes the options that the prompt shows, and evaluation.classification is likelihood, "
            "which shows none; expected false here, or letter there",
        ),
        (
            "another photo where questions are about one",
            {"attacks": {"paraphrase": False}, "benchmark": {"name": "clear"}},
            "config.yaml: attacks.other_photo shows another photo, and benchmark.name is clear, whose questions are about one "
            "photo; expected false",
        ),
        (
            "a paraphrase where each question has one wording",
            {"attacks": {"other_photo": False}, "benchmark": {"name": "clear"}},
            "config.yaml: attacks.paraphrase asks in other words, and benchmark.name is clear, which asks each question in one "
            "wording; expected false",
        ),
    ],
)
def test_an_attack_without_a_meaning_is_refused(name: str, sections: dict[str, Any], message: str) -> None:
    error_page.check(name, "planning", message)
    with pytest.raises(ConfigError) as caught:
        check_request(plan(**sections), "attack")
    assert str(caught.value) == message


@pytest.mark.parametrize("rule", ["attack", "robustness"])
def test_a_robustness_table_without_attacks_is_refused(rule: str) -> None:
    message = (
        "config.yaml: attacks has no entry that is not false, so that no model is attacked; expected at least one, such as noise: {}, "
        "or results/table3.csv as the target"
    )
    error_page.check("results/robustness.csv without attacks", "planning", message)
    with pytest.raises(ConfigError) as caught:
        check_request(plan(attacks=dict.fromkeys(CONFIG["attacks"], False)), rule)
    assert str(caught.value) == message


def test_a_robustness_table_without_all_tasks_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"evaluation.tasks is \['cloze'\], and the summary \(and what is made of it\)"
    ):
        check_request(plan(evaluation=CONFIG["evaluation"] | {"tasks": ["cloze"]}), "robustness")


def test_only_a_report_that_is_told_so_waits_for_attacks() -> None:
    without, with_attacks = plan(), plan(robustness=CONFIG["robustness"] | {"report": True})
    assert "results/robustness.csv" not in without.report_tables and not without.robustness_figures
    assert "results/robustness.csv" in with_attacks.report_tables
    assert with_attacks.robustness_figures == [f"results/figures/{name}.svg" for name in ("robustness", "relearning")]
    assert not [file for rule in ("tables", "summary", "report") for file in without.rests_on(rule) if "attack" in file]
    attacked = without.attack_files(without.attacked_runs)
    assert set(attacked) < set(without.rests_on("robustness"))


def test_a_trained_tower_can_be_put_back() -> None:
    language = CONFIG["unlearning"]["lora"]
    check_request(plan(attacks={"projector": {}}, unlearning={"lora": language | {"scope": "both"}}), "attack")
    # A pruned tower is not trained, but its neurons come back all the same.
    check_request(plan(attacks={"projector": {}}, methods={"manu": {}}), "attack")


@pytest.mark.parametrize(
    ("need", "changed", "lack"),
    [
        (
            "options",
            {"evaluation": {"classification": "letter", "tasks": ["cloze"]}},
            "asks questions with options, and evaluation.tasks is ['cloze']; expected false here, or classification there",
        ),
        (
            "options",
            {"evaluation": {"classification": "likelihood"}},
            "changes the options that the prompt shows, and evaluation.classification is likelihood, which shows none; "
            "expected false here, or letter there",
        ),
        ("options", {"evaluation": {"classification": "letter"}}, None),
        (
            "other_pictures",
            {"benchmark": {"name": "clear"}},
            "shows another photo, and benchmark.name is clear, whose questions are about one photo; expected false",
        ),
        ("other_pictures", {"benchmark": {"name": "mllmu"}}, None),
        (
            "other_wordings",
            {"benchmark": {"name": "clear"}},
            "asks in other words, and benchmark.name is clear, which asks each question in one wording; expected false",
        ),
        ("other_wordings", {}, None),
    ],
)
def test_needs_are_met_by_evaluation_and_benchmark(need: Any, changed: dict[str, Any], lack: str | None) -> None:
    toy = attack_catalogue.Description("toy", "question", (need,), {}, Path())
    config = CONFIG | {section: CONFIG[section] | values for section, values in changed.items()}
    findings = list(need_findings(config, resolve_attacks({"attacks": {"toy": {}}}, {"toy": toy}), {}))
    assert findings == ([(("attacks", "toy"), lack)] if lack else [])
