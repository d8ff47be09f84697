"""Refusals of targets that the configuration has no use for, found when the plan is made."""

from __future__ import annotations

from collections.abc import Mapping

from unsee import memory
from unsee.evaluation.settings import TASKS
from unsee.jobs import config_checks
from unsee.jobs.config import ConfigError
from unsee.jobs.layout import ANCHOR_TASK, Layout

#: Rules whose results compare the likelihoods of options, which only the protocol ``unsee`` measures, in all tasks.
NEED_LIKELIHOODS = ("summary", "trade_off", "tuning", "robustness")
#: The people of each group that there are portraits of.
PORTRAITS = {"fictitious": 500, "celebrity": 153}
#: Rules that ask attacked models, and the protocol of their questions.
ATTACKS = ("attack", "robustness")
ATTACK_PROTOCOL = "unsee"
#: Rules that compare forgotten people with strangers.
MEMBERSHIP = ("write_strangers", "score_pairs", "membership")
#: The protocol that the known figures of the section ``anchor`` were measured by.
ANCHOR_PROTOCOL = "mllmu-official"


def check_request(layout: Layout, rule: str) -> None:
    """Refuse a rule that this configuration has no use for or no memory for.

    Raises:
        ConfigError: the reason, with the key and what to set.
    """
    if rule in NEED_LIKELIHOODS and set(layout.tasks) != set(TASKS):
        raise ConfigError(
            f"config.yaml: evaluation.tasks is {layout.tasks}, and the summary (and what is made of it) combines all tasks; "
            f"expected {list(TASKS)}, or results/table3.csv as the target"
        )
    if rule in NEED_LIKELIHOODS and layout.protocol != "unsee":
        raise ConfigError(
            f"config.yaml: evaluation.protocol is '{layout.protocol}', and the summary (and what is made of it) "
            "compares likelihoods of options; expected unsee, or results/table3.csv as the target"
        )
    if rule == "anchor_check":
        _check_anchor(layout)
    if rule == "tuning":
        _check_tuning(layout)
    if rule in ATTACKS:
        _check_attacks(layout)
    if rule in MEMBERSHIP:
        _check_membership(layout, rule)
    if rule in memory.ON_REQUEST:
        config_checks.check_memory(rule, layout.config, layout.entries, layout.root, layout.config_files)


def _check_attacks(layout: Layout) -> None:
    if layout.protocol != ATTACK_PROTOCOL:
        raise ConfigError(
            f"config.yaml: evaluation.protocol is '{layout.protocol}', and attacks change the questions of {ATTACK_PROTOCOL}; "
            f"expected evaluation.protocol: {ATTACK_PROTOCOL}, or results/table3.csv as the target"
        )
    if not layout.attacks:
        raise ConfigError(
            "config.yaml: attacks has no entry that is not false, so that no model is attacked; expected at least one, such as "
            "noise: {}, or results/table3.csv as the target"
        )
    config_checks.check_attacks(layout.config, layout.attacks, layout.entries, layout.root, layout.config_files)


def has_summary(layout: Layout) -> bool:
    """Whether the configuration measures what the summary compares."""
    return layout.protocol == "unsee" and set(layout.tasks) == set(TASKS)


def _check_anchor(layout: Layout) -> None:
    if ANCHOR_TASK not in layout.tasks:
        raise ConfigError(
            f"config.yaml: evaluation.tasks is {layout.tasks}, and the known figure is of {ANCHOR_TASK}; expected it among them"
        )
    if layout.benchmark.held_out:
        raise ConfigError(
            f"config.yaml: benchmark.held_out is {layout.config['benchmark']['held_out']}, and the figures of the section anchor are "
            "means over all people; expected 0"
        )
    if layout.protocol != ANCHOR_PROTOCOL:
        raise ConfigError(
            f"config.yaml: evaluation.protocol is '{layout.protocol}', and the figures of the section anchor were measured "
            f"by {ANCHOR_PROTOCOL}; expected evaluation.protocol: {ANCHOR_PROTOCOL}"
        )
    percent, percents = layout.config["anchor"]["forget_percent"], layout.config["benchmark"]["forget_percents"]
    if percent not in percents:
        raise ConfigError(
            f"config.yaml: anchor.forget_percent is {percent}; expected one of benchmark.forget_percents, {percents}"
        )


def _check_tuning(layout: Layout) -> None:
    """Refuse a search for which there are no other people than the reported ones, or no memory."""
    benchmark, why = layout.config["benchmark"], "settings are tried on people who are not reported"
    if benchmark["name"] != "synthetic":
        raise ConfigError(
            f"config.yaml: benchmark.name is '{benchmark['name']}'; {why}, and only the synthetic benchmark can make some; "
            "expected synthetic, or values in methods in place of `tuned`"
        )
    if benchmark["seed"] == benchmark["apart_from"]:
        raise ConfigError(
            f"config.yaml: tuning.seed is {benchmark['seed']}, as is benchmark.seed; {why}; expected another"
        )
    for key, n in (("people", PORTRAITS["fictitious"]), ("celebrities", PORTRAITS["celebrity"])):
        if 2 * benchmark[key] > n:
            raise ConfigError(
                f"config.yaml: benchmark.{key} is {benchmark[key]}; {why}, as many more, and there are portraits of {n}; "
                f"expected at most {n // 2}, or values in methods in place of `tuned`"
            )
    tried = {name: entry.searched() for name, entry in layout.entries.items()}
    config_checks.check_memory("tune", layout.config, tried, layout.root, layout.config_files)


def _check_membership(layout: Layout, rule: str) -> None:
    benchmark, section = layout.config["benchmark"], layout.config["membership"]
    synthetic = benchmark["name"] == "synthetic"
    if not synthetic and rule == "write_strangers":
        raise ConfigError(
            f"config.yaml: benchmark.name is '{benchmark['name']}', and strangers are made for the synthetic benchmark; expected "
            "benchmark.held_out people, whose tables are in results/benchmark/held_out"
        )
    if not synthetic and not benchmark["held_out"]:
        raise ConfigError(
            f"config.yaml: benchmark.held_out is 0, and membership needs people of the same kind whom no model met, which "
            f"{benchmark['name']} does not have; expected as many people to be held out of all training as are forgotten, or more "
            "(every model is then trained again), or results/table3.csv as the target"
        )
    for i, percent in enumerate(section["forget_percents"] or []):
        if percent not in benchmark["forget_percents"]:
            raise ConfigError(
                f"config.yaml: membership.forget_percents[{i}] is {percent}; expected one of benchmark.forget_percents, "
                f"{benchmark['forget_percents']}, or null for all"
            )
    portraits = PORTRAITS["fictitious"]
    left = portraits - benchmark["people"]
    if synthetic and layout.strangers > left:
        raise ConfigError(
            f"config.yaml: benchmark.people is {benchmark['people']}, and there are portraits of {portraits} people, which leaves "
            f"{left} for the {layout.strangers} strangers of membership (membership.strangers); expected fewer people, or fewer "
            "strangers"
        )


def check_model_name(layout: Layout, wildcards: Mapping[str, str]) -> None:
    """Refuse a target under the name of another model, whose answers it would not have.

    Raises:
        ConfigError: the name is not that of the configuration.
    """
    requested = wildcards.get("model", layout.model.name)
    if requested != layout.model.name:
        raise ConfigError(
            f"results/models/{requested}: model.name is '{layout.model.name}', and a file under another name would have its "
            f"answers; expected results/models/{layout.model.name}, or the configuration of {requested}"
        )
