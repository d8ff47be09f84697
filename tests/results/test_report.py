"""The content of the page; in a headless browser it opens, sorts and filters without a network request."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.results.attacked import joined, summary_of
from tests.results.attacked import scored as scored_under
from unsee.evaluation.scoring import score_predictions
from unsee.results.page import drawing, figures, figures_trade_off, findings, report
from unsee.results.page.captions import ROBUSTNESS_FIGURES
from unsee.results.page.explorer import PIXELS, data_url, explorer
from unsee.results.page.people import forgotten_people, one_person
from unsee.results.page.write_robustness import write_robustness
from unsee.results.statistics.differences import differences
from unsee.results.statistics.trade_off import trade_off
from unsee.results.tables.knowledge import knowledge
from unsee.results.tables.modalities import modalities
from unsee.results.tables.scores import Run, gather, over_seeds, summarise
from unsee.results.tables.summary import summary
from unsee.results.tables.table3 import table3

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RUNS = [(0, "vanilla", 0), (25, "retain", 0), (25, "npo", 0), (25, "mine", 0)]
SEES = {"npo": {25: "forget, retain-only"}, "mine": {25: "forget"}}
RIGHT = {"vanilla": 0.95, "retain": 0.6, "npo": 0.5, "mine": 0.3}


@pytest.fixture(scope="module")
def tables(mini_benchmark: Path) -> dict[str, pd.DataFrame]:
    names = ("people", "images", "questions", "splits")
    return {name: pd.read_parquet(mini_benchmark / f"{name}.parquet") for name in names}


@pytest.fixture(scope="module")
def predictions(tables: Mapping[str, pd.DataFrame]) -> dict[tuple[int, str, int], pd.DataFrame]:
    return answers(tables)


def answers(tables: Mapping[str, pd.DataFrame]) -> dict[tuple[int, str, int], pd.DataFrame]:
    """Answers with the share of right ones in ``RIGHT``; the wrong ones are markup that must be escaped."""
    questions, draw = tables["questions"], np.random.default_rng(0)
    frames = {}
    for run in RUNS:
        rows = []
        for row in questions.to_dict("records"):
            right = draw.random() < RIGHT[run[1]]
            n = len(row["options"])
            likelihoods = [-1.0 if (i == row["answer_index"]) == right else -3.0 for i in range(n)]
            rows.append(
                {
                    "question_id": row["question_id"],
                    "output": row["answer"] if right else "</script><b>nobody & nothing",
                    "reference": row["answer"],
                    "correct": right if n else None,
                    "option_log_likelihoods": likelihoods,
                    "option_tokens": [1] * n,
                }
            )
        frames[run] = pd.DataFrame(rows)
    return frames


@pytest.fixture(scope="module")
def scored(
    tables: Mapping[str, pd.DataFrame], predictions: Mapping[Any, pd.DataFrame]
) -> dict[tuple[int, str, int], pd.DataFrame]:
    return {run: score_predictions(table, tables["questions"]) for run, table in predictions.items()}


@pytest.fixture(scope="module")
def page(
    tables: Mapping[str, pd.DataFrame],
    predictions: Mapping[Any, pd.DataFrame],
    scored: Mapping[Any, pd.DataFrame],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    return render(tables, predictions, scored, tmp_path_factory.mktemp("page"))


def render(
    tables: Mapping[str, pd.DataFrame],
    predictions: Mapping[Any, pd.DataFrame],
    scored: Mapping[Any, pd.DataFrame],
    folder: Path,
    tables_too: Mapping[str, pd.DataFrame] = MappingProxyType({}),
    figures_too: Mapping[str, Path] = MappingProxyType({}),
) -> str:
    """The page, from the tables and figures that the workflow makes."""
    runs = []
    for percent, method, seed in RUNS:
        scored[percent, method, seed].to_parquet(folder / f"{method}.parquet")
        runs.append(Run("tiny", percent, method, seed, [folder / f"{method}.parquet"]))
    items = gather(runs, tables["questions"], tables["splits"], [25])
    scores, compared = summarise(items), differences(items)
    table = summary(items, compared, (), SEES)
    drawing.save(figures_trade_off.trade_off(table), folder, "trade_off")
    curves, ranking = trade_off(items, {}, 0.95, None, SEES)
    drawing.save(figures_trade_off.equal_utility(curves, 0.95), folder, "equal_utility")
    people = forgotten_people(tables, predictions, 25, 0)
    drawing.save(figures.portraits(people, list(RIGHT)), folder, "portraits")
    drawing.save(figures.ratios(items), folder, "ratios")
    drawing.save(figures.modalities(items), folder, "modalities")
    cost = {"model": "tiny", "forget_percent": 25, "method": list(RIGHT), "seed": 0, "seconds": [9.0, 8.0, 1.0, 2.0]}
    return report.render(
        tables={
            "summary": table,
            "table3": table3(scores),
            "knowledge": knowledge(items),
            "scores": over_seeds(items),
            "differences": compared,
            "modalities": modalities(items),
            "costs": pd.DataFrame(cost),
            "statistics": pd.DataFrame({"statistic": ["Total Profiles"], "value": ["16"]}),
            "ranking": ranking,
            **tables_too,
        },
        utility=0.95,
        explorer=explorer(tables, predictions, scored),
        person=one_person(tables, predictions, scored, ranking),
        figures={name: folder / f"{name}.svg" for name in ("equal_utility", "trade_off", "portraits")}
        | dict(figures_too),
        configuration="seeds: [0]\n",
        remarks=[],
        manifests={"forget25/npo/seed0": {"adapter_sha256": "ab" * 32, "seed": 0, "versions": {"torch": "2.13.0"}}},
    )


@pytest.fixture(scope="module")
def attacked(
    tables: Mapping[str, pd.DataFrame],
    predictions: Mapping[Any, pd.DataFrame],
    scored: Mapping[Any, pd.DataFrame],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, pd.DataFrame]:
    """The page of a run whose report shows attacks, and the robustness table as it is read from its file."""
    folder = tmp_path_factory.mktemp("attacked")
    knows = {f"p{i}": ([1, 1], [1, 1]) for i in range(8)}
    stranger = {name: ([0, 0], [0, 0]) for name in knows}
    hides = {name: ([0, 0], [1, 1]) for name in knows}
    models = {"vanilla": knows, "retain": stranger, "npo": hides, "mine": stranger}
    utility = summary_of(vanilla=0.5, retain=0.5, npo=0.5, mine=0.5)
    items, attacks = joined(scored_under(models), scored_under(models, modality="text"))
    write_robustness(folder, items=items, attacked=attacks, summary=utility, share=0.8, methods=[], attacks=["noise"])
    table = pd.read_csv(folder / "robustness.csv")
    drawn = {name: folder / "figures" / f"{name}.svg" for name in ROBUSTNESS_FIGURES}
    page = render(tables, predictions, scored, folder, tables_too={"robustness": table}, figures_too=drawn)
    return page, table


def test_a_section_on_attacks(attacked: tuple[str, pd.DataFrame], page: str) -> None:
    with_attacks, table = attacked
    assert page.count("attacks") < with_attacks.count("attacks") and 'id="attacks"' not in page
    section = with_attacks.split('<section id="attacks">')[1].split("</section>")[0]
    assert "NPO recovers from 1 of 1 attacks, most from noise: 1.00 (1.00 to 1.00)." in section
    assert section.count("<figure") == 2 and "robustness" not in _data(page)["tables"]
    shown = _data(with_attacks)["tables"]["robustness"]
    names = [column["name"] for column in shown["columns"]]
    assert "excess" in names and "excess_low" not in names and "task" not in names
    (excess,) = [column for column in shown["columns"] if column["name"] == "excess"]
    assert len(shown["rows"]) == 4 < len(table), "the combined score only"
    assert [row[excess["at"]] for row in shown["rows"]] == [0, None, 1, 0]


def _data(page: str) -> Any:
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(data)


def test_the_page_has_every_answer(
    page: str,
    tables: Mapping[str, pd.DataFrame],
    predictions: Mapping[Any, pd.DataFrame],
    scored: Mapping[Any, pd.DataFrame],
) -> None:
    data = _data(page)["explorer"]
    questions = tables["questions"].sort_values("question_id").reset_index(drop=True)
    assert [data["texts"][i] for i in data["questions"]["answer"]] == questions["answer"].tolist()
    names = tables["people"].set_index("person_id")["name"]
    shown = [data["people"][i]["name"] for i in data["questions"]["person"]]
    assert shown == names[questions["person_id"]].tolist()
    for run, (key, table) in zip(data["runs"], predictions.items(), strict=True):
        assert (run["percent"], run["method"], run["seed"]) == key
        output = table.set_index("question_id")["output"]
        assert [data["texts"][i] for i in run["answers"]] == output[questions["question_id"]].tolist()
        items = scored[key][scored[key]["metric"].isin(["accuracy", "rouge_l"])].set_index("question_id")["value"]
        assert run["values"] == [round(100 * value) for value in items[questions["question_id"]]]
    assert set(data["forgotten"]) == {"25"} and len(data["forgotten"]["25"]) == 3
    assert set(data["images"]) == set(tables["images"]["image_id"])


def test_a_question_that_was_not_asked_has_no_answer(
    tables: Mapping[str, pd.DataFrame], predictions: Mapping[Any, pd.DataFrame], scored: Mapping[Any, pd.DataFrame]
) -> None:
    run = RUNS[2]
    some = predictions[run].iloc[5:]
    data = explorer(tables, {run: some}, {run: scored[run][scored[run]["question_id"].isin(some["question_id"])]})
    order = tables["questions"]["question_id"].sort_values().tolist()
    missing = [order.index(name) for name in predictions[run]["question_id"].iloc[:5]]
    assert [i for i, answer in enumerate(data["runs"][0]["answers"]) if answer == -1] == sorted(missing)


def test_nothing_points_outside(page: str) -> None:
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page.split('<script id="data"')[0])
    assert "sourceMappingURL" not in page and "Content-Security-Policy" in page
    assert page.count("</script>") == 3, "no answer ends a script"
    assert "Permission is hereby granted" in page


def test_the_page_says_what_methods_see_and_that_seeds_are_missing(page: str) -> None:
    assert "<li><code>npo</code>: forget, retain-only</li><li><code>mine</code>: forget</li>" in page
    for name in ("summary", "ranking"):
        spec = _data(page)["tables"][name]
        at = [column["name"] for column in spec["columns"]]
        assert {"sees", "best_alike"} <= set(at), name
    assert page.count("the spread between seeds is missing") == 2


def test_findings_agree_with_the_summary() -> None:
    rows = [("vanilla", 0.0, np.nan, 0), ("retain", 1.0, np.nan, 0), ("npo", 0.8, np.nan, 3)]
    rows += [("ga", 0.7, 0.2, 0), ("kl_min", 0.1, 0.001, 0)]
    part = pd.DataFrame(rows, columns=["method", "combined", "p_against_best", "over_unlearned"]).assign(
        forget_percent=10, combined_low=0.5, combined_high=0.9, forgetting=0.75, utility_kept=0.86, destroyed=False
    )
    part["sees"] = [None, None, "forget", "forget, retained pairs", "forget, retained pairs"]
    part["best_alike"] = [None, None, None, "ga", "ga"]
    assert findings.as_they_stand(part) == (
        "At 10 % forgotten, NPO comes nearest to a model that never met the people: combined score 0.80 (0.50 to 0.90), "
        "forgetting 0.75, utility kept 0.86. It is not clearly better than GA: there are too few people. It is clearly better than KL_Min "
        "(p < 0.05, Holm-corrected). It over-unlearns in 3 of 12 scores: below what the retain-only model guesses. "
        "Best among methods that see the same: GA (forget, retained pairs)."
    )
    assert findings.as_they_stand(part.head(2)) == "At 10 % there is no method to compare."


def test_the_top_of_the_page_agrees_with_the_ranking() -> None:
    rows = [("kl_min", np.nan), ("ga", 0.2), ("npo", 0.01), ("mine", 0.001)]
    ranking = pd.DataFrame(rows, columns=["method", "p_against_best"]).assign(
        forget_percent=10,
        forgetting=0.8,
        forgetting_low=0.7,
        forgetting_high=0.9,
        scale=0.75,
        utility_kept=0.953,
        stopped_early=False,
    )
    (best,) = findings.best_at_equal_utility(ranking)
    assert (best.percent, best.method, best.forgetting) == (10, "kl_min", "0.80 (0.70 to 0.90)")
    assert best.how == "75 % of its update, 95 % of vanilla's utility"
    assert (best.better_than, best.unclear) == ("NPO and mine", "GA")
    (alone,) = findings.best_at_equal_utility(ranking.head(1))
    assert (alone.better_than, alone.unclear, alone.not_compared) == ("", "", "")
    early = ranking.assign(stopped_early=[False, False, True, True])
    (best,) = findings.best_at_equal_utility(early)
    assert (best.method, best.better_than, best.unclear) == ("kl_min", "", "GA")
    assert best.not_compared == "NPO (forgets 0.80, keeps 95 %) and mine (forgets 0.80, keeps 95 %)"
    (none,) = findings.best_at_equal_utility(early.tail(2))
    assert (none.percent, none.method, none.forgetting) == (10, "", "") and none.not_compared == best.not_compared


def test_one_person_agrees_with_the_tables(
    tables: Mapping[str, pd.DataFrame], predictions: Mapping[Any, pd.DataFrame], scored: Mapping[Any, pd.DataFrame]
) -> None:
    ranking = pd.DataFrame({"forget_percent": [25, 25], "method": ["npo", "mine"]})
    person = one_person(tables, predictions, scored, ranking)
    assert person is not None and person["methods"] == ["vanilla", "npo", "retain"]
    gone = tables["splits"].query("role == 'forget'")["person_id"].min()
    questions = tables["questions"][tables["questions"]["person_id"] == gone].query("origin == 'profile'")
    assert len(person["questions"]) == 6, "three tasks with the picture, three without"
    for row in person["questions"]:
        (question_id,) = questions[
            (questions["question"] == row["question"]) & (questions["modality"] == row["modality"])
        ]["question_id"]
        for method, (text, value) in zip(person["methods"], row["answers"], strict=True):
            run = next(run for run in RUNS if run[1] == method)
            assert text == predictions[run].set_index("question_id").loc[question_id, "output"]
            assert value in scored[run].set_index("question_id").loc[[question_id], "value"].tolist()
    assert one_person(tables, predictions, scored, ranking.head(0)) is None


def without_pictures(tables: Mapping[str, pd.DataFrame], people: set[str]) -> dict[str, pd.DataFrame]:
    """The same tables, but these people have no picture and only questions in words."""
    changed = dict(tables)
    changed["images"] = tables["images"][~tables["images"]["person_id"].isin(people)]
    questions = tables["questions"].copy()
    theirs = questions["person_id"].isin(people)
    questions.loc[theirs, "image_id"] = None
    questions.loc[theirs, "modality"] = "text"
    return changed | {"questions": questions}


@pytest.mark.parametrize("who", ["everybody", "the forgotten"])
def test_people_without_pictures_have_a_page(tables: Mapping[str, pd.DataFrame], who: str, tmp_path: Path) -> None:
    gone = set(tables["splits"].query("role == 'forget'")["person_id"])
    bare = without_pictures(tables, set(tables["people"]["person_id"]) if who == "everybody" else gone)
    predictions = answers(bare)
    scored = {run: score_predictions(table, bare["questions"]) for run, table in predictions.items()}
    page = render(bare, predictions, scored, tmp_path)
    name = bare["people"].set_index("person_id")["name"][min(gone)]
    top = page.split('<script id="data"')[0]
    assert f"<strong>{html.escape(name)}</strong>" in top and f'<img alt="{html.escape(name)}"' not in top
    people = forgotten_people(bare, predictions, 25, 0)
    assert len(people) == 3 and {person["picture"] for person in people} == {None}


def test_people_with_a_picture_are_shown_first(
    tables: Mapping[str, pd.DataFrame], predictions: Mapping[Any, pd.DataFrame]
) -> None:
    gone = sorted(tables["splits"].query("role == 'forget'")["person_id"])
    names = tables["people"].set_index("person_id")["name"]
    assert [p["name"] for p in forgotten_people(tables, predictions, 25, 0)] == names[gone].tolist()
    mixed = without_pictures(tables, {gone[0]})
    people = forgotten_people(mixed, predictions, 25, 0)
    assert [p["name"] for p in people] == names[[*gone[1:], gone[0]]].tolist()
    assert [p["picture"] is None for p in people] == [False, False, True]


def test_without_people_to_show_there_is_none(
    tables: Mapping[str, pd.DataFrame], predictions: Mapping[Any, pd.DataFrame]
) -> None:
    open_questions = tables["questions"]["task"] == "generation"
    none = {**tables, "questions": tables["questions"][~open_questions]}
    assert forgotten_people(none, predictions, 25, 0) == []
    empty = {**tables, "questions": tables["questions"].head(0)}
    ranking = pd.DataFrame({"forget_percent": [25], "method": ["npo"]})
    assert one_person(empty, predictions, {run: pd.DataFrame() for run in predictions}, ranking) is None


HOSTILE = ["$x_", r"$\frac{$ 100% of #1 & {2}^~", "王小明", "Ян <b>&amp;</b>", "محمد", "`|_*"]


def test_any_name_and_question_has_a_page(tables: Mapping[str, pd.DataFrame], tmp_path: Path) -> None:
    people, questions = tables["people"].copy(), tables["questions"].copy()
    gone = sorted(tables["splits"].query("role == 'forget'")["person_id"])
    order = [*gone, *(name for name in people["person_id"] if name not in gone)]
    names = {person: HOSTILE[i % len(HOSTILE)] + f" {i}" for i, person in enumerate(order)}
    people["name"] = people["person_id"].map(names)
    for column in ("question", "answer"):
        is_open = questions["task"] != "classification"
        questions.loc[is_open, column] += " " + questions["person_id"].map(names)
    changed = {**tables, "people": people, "questions": questions}
    predictions = answers(changed)
    scored = {run: score_predictions(table, questions) for run, table in predictions.items()}
    page = render(changed, predictions, scored, tmp_path)
    assert f"<strong>{html.escape(names[gone[0]])}</strong>" in page
    assert {person["name"] for person in _data(page)["explorer"]["people"]} == set(names.values())
    assert page.count("</script>") == 3


def test_large_pictures_are_made_small(tables: Mapping[str, pd.DataFrame]) -> None:
    import base64
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGBA", (400, 200), "red").save(buffer, "PNG")
    url = data_url(buffer.getvalue())
    head, code = url.split(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(code))).size == (PIXELS, PIXELS // 2)
    picture = tables["images"]["bytes"].iloc[0]
    if max(Image.open(io.BytesIO(picture)).size) <= PIXELS:
        assert base64.b64decode(data_url(picture).split(",")[1]) == picture


SCRIPT = """
<script>
const errors = [];
window.addEventListener("error", (event) => errors.push(event.message));
window.addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => errors.push("refused: " + event.blockedURI));
for (const kind of ["error", "warn"]) console[kind] = (...words) => errors.push(words.join(" "));
</script>
"""
ACTIONS = """
<script>
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const text = (selector) => [...document.querySelectorAll(selector)].map((cell) => cell.innerText.trim());
async function choose(name, value) {
  const filter = document.getElementById("filters").elements[name];
  filter.value = value;
  filter.dispatchEvent(new Event("input", { bubbles: true }));
  await sleep(500);
}
(async () => {
  const found = {};
  await sleep(500);
  found.undrawn = document.querySelectorAll(".table:empty").length;
  dispatchEvent(new Event("beforeprint"));
  document.querySelectorAll("img").forEach((image) => { image.loading = "eager"; });
  await sleep(500);
  found.ready = document.documentElement.dataset.ready;
  const column = '[data-table="summary"] .tabulator-col[tabulator-field="1"]';
  found.methods = text('[data-table="summary"] .tabulator-cell[tabulator-field="1"]');
  document.querySelector(column).click();
  await sleep(300);
  found.sorted = text('[data-table="summary"] .tabulator-cell[tabulator-field="1"]');
  found.forget = document.getElementById("count").value;
  found.glance = text("#glance .card .name");
  document.querySelector("[data-person]").click();
  await sleep(500);
  found.linked = [...new Set(text('#answers .tabulator-cell[tabulator-field="person"]').map((t) => t.split("\\n")[0]))];
  await choose("person", "");
  await choose("set", "");
  found.all = document.getElementById("count").value;
  await choose("task", "cloze");
  found.tasks = [...new Set(text('#answers .tabulator-cell[tabulator-field="person"]').map((t) => t.split(/\\s/).pop()))];
  await choose("person", PERSON);
  found.person = document.getElementById("count").value;
  found.card = document.getElementById("person").innerText;
  found.people = [...new Set(text('#answers .tabulator-cell[tabulator-field="person"]').map((t) => t.split("\\n")[0]))];
  found.answers = text('#answers .tabulator-cell[tabulator-field="value mine"]');
  await choose("words", "no such words");
  found.none = document.getElementById("count").value;
  await choose("words", ""); await choose("person", ""); await choose("task", ""); await choose("set", "forget");
  found.figures = [...document.querySelectorAll("figure img")].map((image) => image.naturalWidth);
  found.portraits = [...document.querySelectorAll("#answers img")].filter((image) => image.naturalWidth > 0).length;
  found.requests = performance.getEntriesByType("resource").map((e) => e.name).filter((name) => !name.startsWith("data:"));
  found.width = document.documentElement.scrollWidth - window.innerWidth;
  found.errors = errors;
  parent.postMessage(JSON.stringify(found), "*");
})();
</script>
"""
# Chromium's window is never narrower than 500; a frame in it is.
FRAME = """<!DOCTYPE html><style>body { margin: 0; } iframe { border: 0; width: WIDTHpx; height: 5000px; }</style>
<script>
addEventListener("message", (event) => {
  const place = document.createElement("pre");
  place.id = "outcome";
  place.textContent = event.data;
  document.body.append(place);
});
</script>
<iframe src="page.html"></iframe>
"""


def _browse(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *arguments]
    command += ["--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-quic"]
    command += [f"--user-data-dir={path.parent / 'profile'}", "--enable-logging=stderr", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; on Debian: apt-get install chromium")
@pytest.mark.parametrize("width", [1400, 390])
def test_in_a_browser(
    page: str, tables: Mapping[str, pd.DataFrame], tmp_path: Path, width: int, pytestconfig: pytest.Config
) -> None:
    gone = tables["splits"].query("role == 'forget'")["person_id"].iloc[0]
    name = tables["people"].set_index("person_id").loc[gone, "name"]
    file, frame = tmp_path / "page.html", tmp_path / "frame.html"
    actions = ACTIONS.replace("PERSON", json.dumps(name))
    head, foot = page.replace("<style>", f"{SCRIPT}<style>", 1).rsplit("</body>", 1)
    file.write_text(f"{head}{actions}</body>{foot}", encoding="utf-8")
    frame.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    window = max(width, 500)
    done = _browse(frame, f"--window-size={window},900", "--virtual-time-budget=30000", "--dump-dom")
    outcome = json.loads(html.unescape(re.findall(r'<pre id="outcome">(.*?)</pre>', done.stdout, re.DOTALL)[0]))

    assert outcome["ready"] == "true" and outcome["errors"] == [] and "CONSOLE" not in done.stderr
    assert outcome["requests"] == []
    assert outcome["undrawn"] > 0, "the top of the page does not wait for every table"
    assert outcome["width"] <= 0, "nothing is wider than the window"
    assert outcome["methods"] == ["vanilla", "retain-only", "NPO", "mine"]
    assert outcome["sorted"] == sorted(outcome["methods"], key=["mine", "NPO", "retain-only", "vanilla"].index)
    questions = tables["questions"]
    forgotten = tables["splits"].query("role == 'forget'")["person_id"]
    of_gone = questions["person_id"].isin(forgotten)
    evaluated = questions[(questions["origin"] != "test") | of_gone]
    forget = questions[of_gone & (questions["origin"] == "profile")]
    assert outcome["forget"] == f"{len(forget):,} of {len(evaluated):,} questions"
    assert outcome["all"].startswith(f"{len(evaluated):,} of ")
    assert len(outcome["glance"]) == 1 and outcome["glance"][0] in ("NPO", "mine")
    first = tables["people"].set_index("person_id").loc[forgotten.min(), "name"]
    assert outcome["linked"] == [first], "from the top of the page to everything about the person there"
    assert outcome["tasks"] == ["cloze"]
    cloze = evaluated[(evaluated["person_id"] == gone) & (evaluated["task"] == "cloze")]
    assert outcome["person"].startswith(f"{len(cloze)} of ") and outcome["people"] == [name]
    assert "Born:" in outcome["card"]
    if width > 700:
        assert len(outcome["answers"]) == len(cloze)
        assert any("</script><b>nobody & nothing" in answer for answer in outcome["answers"]), "shown as it is"
    assert outcome["none"].startswith("0 of ")
    assert all(size > 100 for size in outcome["figures"]) and len(outcome["figures"]) == 3
    assert outcome["portraits"] > 0

    # The screenshot stays in .pytest_cache/d/screenshots.
    file.write_text(page, encoding="utf-8")
    picture = pytestconfig.cache.mkdir("screenshots") / f"report-{width}.png"  # type: ignore[union-attr]
    _browse(frame, f"--window-size={window},5000", "--virtual-time-budget=5000", f"--screenshot={picture}")
    assert picture.stat().st_size > 20_000
