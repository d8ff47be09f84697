"""Was there anything to forget? Hand-made gaps, the recorded default run, and a model that learned nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unsee.results.tables.knowledge import COLUMNS, as_list, knowledge, sentences, to_markdown

# Scores of the default run (seed 0) on the people to forget: for each ratio, model and person the mean of each task's questions. All
# people have equally many questions of a task (5 of classification, 2 of each other), so means and intervals are those of the
# questions. Made in a folder with that run's results by
#     items = pd.read_parquet("results/scores.parquet")
#     items = items[items["method"].isin(["vanilla", "retain"]) & items["set"].isin(["forget", "test"])]
#     items = items[items["metric"].isin(["accuracy", "rouge_l"])].astype({"set": str, "modality": str, "task": str})
#     items["cell"] = items["set"] + "/" + items["modality"] + "/" + items["task"]
#     table = items.pivot_table("value", ["forget_percent", "method", "person_id"], "cell", observed=True)
#     print(table.round(4).to_csv(), end="")
RECORDED = Path(__file__).parent / "data" / "default_benchmark.csv"
KEYS = ["forget_percent", "method", "person_id"]
CLOZE = {"forget_percent": 5, "set": "forget", "modality": "image", "task": "cloze", "metric": "accuracy"}


def _items(scores: dict[str, dict[str, list[float]]], seed: int = 0, **cell: object) -> pd.DataFrame:
    """Items of one score: the values of each model and person."""
    rows = [
        {
            **(CLOZE | cell),
            **{"model": "tiny", "method": method, "seed": seed},
            **{"person_id": person, "question_id": f"{person}/{i}", "value": value},
        }
        for method, people in scores.items()
        for person, values in people.items()
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_a_gap_that_is_clear_of_zero_by_hand() -> None:
    """Differences by person (1, 1), (1, 0), (1, 1): mean 5/6, sums of deviations 1/3, -2/3, 1/3.

    The standard error is sqrt(3/2 * 6/9) / 6 = 1/6; the 97.5 % and 80 % points of t with 2 degrees are 4.302653 and 1.060660.
    """
    items = _items(
        {
            "vanilla": {"a": [1, 1], "b": [1, 0], "c": [1, 1]},
            "retain": {"a": [0, 0], "b": [0, 0], "c": [0, 0]},
        }
    )
    table = knowledge(items)
    assert table.columns.tolist() == COLUMNS
    (row,) = table.to_dict("records")
    assert (row["method"], row["verdict"], row["n_questions"], row["n_people"]) == ("vanilla", "more", 6, 3)
    assert (row["score"], row["score_of_retain"], row["difference"]) == pytest.approx((500 / 6, 0, 500 / 6))
    assert (row["low"], row["high"]) == pytest.approx(((5 - 4.302653) * 100 / 6, (5 + 4.302653) * 100 / 6), abs=1e-4)
    assert row["detectable"] == pytest.approx((4.302653 + 1.060660) * 100 / 6, abs=1e-4)
    assert sentences(table) == [
        "There was something to forget: vanilla knows more than the retain-only model in every task and modality, in `forget` and "
        "in `test`, at every ratio."
    ]


def test_a_gap_that_is_not_clear_of_zero() -> None:
    """Differences by person 1, -1, 1, 0: mean 1/4, standard error sqrt(4/3 * 2.75) / 4; 3.182446 and 0.978472 with 3 degrees."""
    items = _items(
        {
            "vanilla": {"a": [1], "b": [0], "c": [1], "d": [0]},
            "retain": {"a": [0], "b": [1], "c": [0], "d": [0]},
        }
    )
    table = knowledge(items)
    (row,) = table.to_dict("records")
    error = 100 * np.sqrt(4 / 3 * 2.75) / 4
    assert (row["low"], row["high"]) == pytest.approx((25 - 3.182446 * error, 25 + 3.182446 * error), abs=1e-4)
    assert row["detectable"] == pytest.approx((3.182446 + 0.978472) * error, abs=1e-4)
    assert row["verdict"] == "unclear"
    assert sentences(table) == [
        "Nothing to forget is shown: vanilla knows more than the retain-only model in none of 1 scores, so no method can be judged.",
        "Nothing to forget is shown here: cloze with a picture at 5 % in `forget`: vanilla 50.0, retain-only 25.0, difference 25.0 "
        "(-127.3 to 177.3); 4 people show differences from 199.2.",
    ]


def test_two_people_show_little() -> None:
    """Vanilla knows far more of both, but an interval from two people is 12.7 standard errors wide on each side."""
    items = _items({"vanilla": {"a": [1, 1], "b": [1, 0]}, "retain": {"a": [0, 0], "b": [0, 0]}})
    (row,) = knowledge(items).to_dict("records")
    assert (row["difference"], row["verdict"], row["n_people"]) == (75.0, "unclear", 2)
    # The standard error is sqrt(2 * (1/4 + 1/4)) / 4 = 1/4.
    assert row["low"] == pytest.approx(75 - 25 * 12.706205, abs=1e-4)
    assert row["detectable"] == pytest.approx(25 * (12.706205 + 1.376382), abs=1e-4)


def test_one_person_shows_nothing() -> None:
    table = knowledge(_items({"vanilla": {"a": [1, 1]}, "retain": {"a": [0, 0]}}))
    (row,) = table.to_dict("records")
    assert row["verdict"] == "unclear" and np.isnan([row["low"], row["detectable"]]).all()
    assert sentences(table) == [
        "Of a single forgotten person vanilla knows more than the retain-only model in 1 of 1 scores. Whether that is more than "
        "chance cannot be said: there is no interval for one person."
    ]
    assert "100.0 (one person, no interval)" in to_markdown(table)


def test_vanilla_that_knows_less_is_no_reason_to_forget() -> None:
    people = [f"p{i}" for i in range(6)]
    rouge = {"task": "generation", "metric": "rouge_l", "modality": "text"}
    values = {"vanilla": {p: [0.10 + i / 100] for i, p in enumerate(people)}, "retain": {p: [0.5] for p in people}}
    table = knowledge(_items(values, **rouge))
    assert table["verdict"].tolist() == ["less"]
    assert sentences(table)[1] == (
        "Nothing to forget is shown here: ROUGE-L in words at 5 % in `forget`: vanilla 0.125, retain-only 0.500, "
        "difference -0.375 (-0.395 to -0.355)."
    )


def test_only_the_forgotten_people_and_the_metrics_of_the_results_table_count() -> None:
    scores = {"vanilla": {"a": [1], "b": [1]}, "retain": {"a": [0], "b": [0]}, "ga": {"a": [0], "b": [0]}}
    other = _items(scores, set="retain")
    bleu = _items(scores, task="generation", metric="bleu")
    table = knowledge(pd.concat([_items(scores), other, bleu]))
    assert table[["method", "set", "metric"]].to_numpy().tolist() == [["vanilla", "forget", "accuracy"]]
    nothing = knowledge(other)
    assert nothing.empty and sentences(nothing) == [] and as_list([]) == ""


def test_the_base_model_is_compared_in_forget() -> None:
    """It answers one person's question: not clearly above a model that answers none. Or it answers nearly all."""
    people = list("abcdef")
    none = {person: [0.0] for person in people}
    scores = {"vanilla": {p: [1.0] for p in people}, "retain": none}
    unaware, aware = none | {"a": [1.0]}, {p: [1.0] for p in people} | {"a": [0.0]}
    in_test = _items(scores | {"base": aware}, set="test")
    table = knowledge(pd.concat([_items(scores | {"base": unaware}), in_test]))
    assert table[["method", "set"]].to_numpy().tolist() == [
        ["vanilla", "forget"],
        ["vanilla", "test"],
        ["base", "forget"],
    ]
    assert sentences(table)[1:] == [
        "The base model did not know the people: it is above the retain-only model in none of 1 scores of `forget`."
    ]
    table = knowledge(_items(scores | {"base": aware}))
    assert sentences(table)[1:] == [
        "The base model knew of the people before: it is above the retain-only model in 1 of 1 scores of `forget`.",
        "Known before: cloze with a picture at 5 % in `forget`: base 83.3, retain-only 0.0, difference 83.3 (40.5 to 126.2).",
    ]


def test_several_seeds_widen_the_interval_as_in_the_differences() -> None:
    """Vanilla of another seed knows nothing: with the spread between seeds the gap is not clear."""
    draw = np.random.default_rng(0)
    people = {f"p{i}": draw.random(4).round(2).tolist() for i in range(10)}
    none = {person: [0.0] * 4 for person in people}
    first = _items({"vanilla": people, "retain": none})
    both = pd.concat([first, _items({"vanilla": none, "retain": none}, seed=1)])
    one, two = knowledge(first), knowledge(both)
    assert one["verdict"].tolist() == ["more"] and two["verdict"].tolist() == ["unclear"]
    assert two["n_questions"].tolist() == one["n_questions"].tolist() == [40]
    assert two["detectable"][0] > one["detectable"][0]


@pytest.fixture(scope="module")
def recorded() -> pd.DataFrame:
    return pd.read_csv(RECORDED, dtype={"person_id": str})


def _as_items(recorded: pd.DataFrame) -> pd.DataFrame:
    """The recorded means as items, one question for each person."""
    table = recorded.melt(id_vars=KEYS, var_name="cell")
    table[["set", "modality", "task"]] = table.pop("cell").str.split("/", expand=True)
    metric = table["task"].map({"classification": "accuracy", "generation": "rouge_l", "cloze": "accuracy"})
    return table.assign(model="tiny-llava", seed=0, metric=metric, question_id=table["person_id"])


def test_the_default_benchmark(recorded: pd.DataFrame) -> None:
    """There is something to forget in classification and cloze everywhere.

    ROUGE-L is above 0.5 without any knowledge, and a person has two open questions, so that four of its twelve gaps are not clear.
    """
    table = knowledge(_as_items(recorded))
    assert len(table) == 3 * 2 * 2 * 3
    clear = table[table["verdict"] == "more"]
    assert (clear["task"] != "generation").sum() == 24, "all of them"
    unclear = table[table["verdict"] != "more"]
    assert set(unclear["verdict"]) == {"unclear"} and (unclear["difference"] > 0).all()
    assert unclear[["forget_percent", "set", "modality", "task"]].to_numpy().tolist() == [
        [5, "forget", "text", "generation"],
        [5, "test", "image", "generation"],
        [5, "test", "text", "generation"],
        [15, "test", "image", "generation"],
    ]
    assert sentences(table)[:2] == [
        "Vanilla knows more than the retain-only model in 32 of 36 scores. No method can be judged by the other 4: there was nothing "
        "to forget, or there are too few people to show it.",
        "Nothing to forget is shown here: ROUGE-L in words at 5 % in `forget`: vanilla 0.730, retain-only 0.618, difference 0.112 "
        "(-0.103 to 0.327); 5 people show differences from 0.288.",
    ]


def test_the_markdown_of_the_default_benchmark(recorded: pd.DataFrame) -> None:
    note, rest = to_markdown(knowledge(_as_items(recorded))).split("\n\n", 1)
    for name in ("difference", "detectable", "verdict"):
        assert f"`{name}`" in note
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in rest.strip().splitlines()]
    assert rows[0][7:12] == ["score", "score_of_retain", "difference", "detectable", "verdict"]
    assert rows[2][7:12] == ["96.0", "20.0", "76.0 (48.8 to 103.2)", "36.4", "more"]
    assert rows[3][7:12] == ["100.0", "0.0", "100.0 (100.0 to 100.0)", "–", "more"]
    assert rows[4][7:12] == ["0.838", "0.529", "0.309 (0.112 to 0.506)", "0.264", "more"]


def test_a_model_that_learned_nothing(recorded: pd.DataFrame) -> None:
    """A made-up case: as 'vanilla' stand the retain-only models of other ratios, with their scores of people whom they never met.

    At each ratio the first of these people take the places of the people to forget.
    """
    retain = {percent: rows for percent, rows in recorded[recorded["method"] == "retain"].groupby("forget_percent")}
    others = {5: retain[15], 10: retain[15], 15: pd.concat([retain[10], retain[5]])}
    parts = []
    for percent, rows in retain.items():
        place = {"forget_percent": percent, "person_id": rows["person_id"].to_numpy(), "method": "vanilla"}
        parts += [rows, others[int(str(percent))].head(len(rows)).assign(**place)]
    table = knowledge(_as_items(pd.concat(parts)))
    assert set(table["verdict"]) == {"unclear"} and len(table) == 36
    lines = sentences(table)
    assert lines[:2] == [
        "Nothing to forget is shown: vanilla knows more than the retain-only model in none of 36 scores, so no method can be judged.",
        "Nothing to forget is shown here: classification with a picture at 5 % in `forget`: vanilla 32.0, retain-only 20.0, difference "
        "12.0 (-25.7 to 49.7); 5 people show differences from 50.4.",
    ]
    assert len(lines) == 8 and lines[-1] == "30 more are in knowledge.md."
