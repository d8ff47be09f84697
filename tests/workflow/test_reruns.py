"""What runs again after a change: a finished run, one change at a time, and exactly these jobs.

``docs/reruns.md`` is written from what is found here: WRITE_PAGES=1 pytest tests/workflow/test_reruns.py
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from unsee.evaluation.settings import TASKS

PAGE = Path(__file__).parents[2] / "docs" / "reruns.md"
pytestmark = pytest.mark.slow

BASE = ["forget0/base/seed0"]
RUNS = ["forget0/vanilla/seed0", "forget25/retain/seed0", "forget25/ga/seed0", "forget25/npo/seed0"]
#: The jobs that gather what all runs left.
TABLES = {"scores", "tables", "summary"}


def of(rules: str, runs: Iterable[str], tasks: Iterable[str] = TASKS) -> set[str]:
    """The jobs of these rules, runs and, for ``evaluate``, tasks; ``train`` is the rule that makes the run's adapter."""
    jobs = set()
    for run in runs:
        trains = {"vanilla": "finetune", "retain": "train_reference"}.get(run.split("/")[1], "unlearn")
        for rule in rules.split():
            if rule == "evaluate":
                jobs |= {f"evaluate {run}/{task}" for task in tasks}
            else:
                jobs.add(f"{trains if rule == 'train' else rule} {run}")
    return jobs


@dataclass(frozen=True)
class Change:
    """One row of the page.

    Attributes:
        name: in words.
        edits: file, text in it (a pattern), and the text that it is replaced by.
        runs: the jobs that it must run again.
        act: what is done instead of edits.
    """

    name: str
    edits: Sequence[tuple[str, str, str]] = ()
    runs: set[str] = field(default_factory=set)
    act: Callable[[Path], Any] | None = None


def configured(pattern: str, text: str) -> list[tuple[str, str, str]]:
    """A change of the run's settings."""
    return [("mini.yaml", pattern, text)]


def commented(name: str) -> tuple[str, str, str]:
    """A comment at the end, and another docstring."""
    return (name, r'(?s)^"""(.*)\Z', r'"""In other words: \1\n\n# A remark.\n')


def touch(root: Path) -> None:
    """Every file of the project and of the results is as if written now, in no order that means anything."""
    for path in sorted(root.rglob("*"), reverse=True):
        if ".snakemake" not in path.parts:
            os.utime(path)


LIBRARY = "src/unsee/"
CODE = (r"\Z", "\nCHANGED = True\n")
SEED_1 = [run.replace("seed0", "seed1") for run in RUNS]
BASE_1 = ["forget0/base/seed1"]
AT_50 = [run.replace("forget25", "forget50") for run in RUNS[1:]]
KL_MIN = ["forget25/kl_min/seed0"]
ALL = of("train predict evaluate", RUNS)
EVERYTHING = (
    {"write_benchmark", "load_benchmark", "split_benchmark forget25"} | of("predict evaluate", BASE) | ALL | TABLES
)
CHANGES = [
    Change("nothing"),
    Change("every file touched", act=touch),
    Change("a line in a file that nothing is made of (README.md)", [("README.md", *CODE)]),
    Change(
        "a comment and a docstring in the training loop, in a method and in a rule's script",
        [commented(LIBRARY + "training/loop.py"), commented(LIBRARY + "unlearning/methods/ga.py")]
        + [commented("workflow/scripts/predict.py")],
    ),
    Change("memory, minutes or threads of a rule", configured(r"\Z", "resources: {evaluate: {mem_mb: 1234}}\n")),
    Change("`evaluation.batch_size`, which changes no result", configured(r"\Z", "evaluation: {batch_size: 3}\n")),
    Change(
        "a method's source file (ga.py)",
        [(LIBRARY + "unlearning/methods/ga.py", *CODE)],
        of("train predict evaluate", RUNS[2:3]) | TABLES,
    ),
    Change(
        "a setting of a method (`methods.ga.learning_rate`)",
        configured("ga: {}", "ga: {learning_rate: 0.00015}"),
        of("train predict evaluate", RUNS[2:3]) | TABLES,
    ),
    Change(
        "a setting of every method (`unlearning.steps`)",
        configured("unlearning: {steps: 2}", "unlearning: {steps: 3}"),
        of("train predict evaluate", RUNS[2:]) | TABLES,
    ),
    Change("a setting of fine-tuning", configured("finetune: {epochs: 1}", "finetune: {epochs: 2}"), ALL | TABLES),
    Change("the training loop", [(LIBRARY + "training/loop.py", *CODE)], ALL | TABLES),
    Change(
        "how models are asked (evaluation/prompts.py)",
        [(LIBRARY + "evaluation/prompts.py", *CODE)],
        of("predict evaluate", BASE + RUNS) | TABLES,
    ),
    Change(
        "how every task is scored (evaluation/scoring.py)",
        [(LIBRARY + "evaluation/scoring.py", *CODE)],
        of("evaluate", BASE + RUNS) | TABLES,
    ),
    Change(
        "`evaluation.classification`",
        configured(r"\Z", "evaluation: {classification: likelihood_sum}\n"),
        of("predict evaluate", BASE + RUNS) | TABLES,
    ),
    *(
        Change(
            f"how {task} is scored (evaluation/tasks/{task}.py)",
            [(LIBRARY + f"evaluation/tasks/{task}.py", *CODE)],
            of("evaluate", BASE + RUNS, [task]) | TABLES,
        )
        for task in TASKS
    ),
    Change(
        "`evaluation.rouge_stemmer`",
        configured(r"\Z", "evaluation: {rouge_stemmer: false}\n"),
        of("evaluate", BASE + RUNS, ["generation"]) | TABLES,
    ),
    Change(
        "`evaluation.cloze_rule`",
        configured(r"\Z", "evaluation: {cloze_rule: contains}\n"),
        of("evaluate", BASE + RUNS, ["cloze"]) | TABLES,
    ),
    Change(
        "how the table is laid out in LaTeX (latex.py)", [(LIBRARY + "results/tables/latex.py", *CODE)], {"summary"}
    ),
    Change("how costs are gathered (costs.py)", [(LIBRARY + "results/tables/costs.py", *CODE)], {"tables"}),
    Change(
        "one ratio added (50 %)",
        configured(r"\[25\]", "[25, 50]"),
        {"split_benchmark forget50"}
        | of("train predict evaluate", AT_50)
        | of("predict evaluate", BASE + RUNS[:1])
        | TABLES,
    ),
    Change(
        "one seed added",
        configured(r"\Z", "seeds: [0, 1]\n"),
        of("train predict evaluate", SEED_1) | of("predict evaluate", BASE_1) | TABLES,
    ),
    Change(
        "one method added (kl_min)",
        configured("kl_min: false", "kl_min: {}"),
        of("train predict evaluate", KL_MIN) | TABLES,
    ),
    Change("one method left out (npo)", configured("npo: {}", "npo: false"), TABLES),
    Change(
        "the benchmark's seed",
        configured("people: 8", "people: 8, seed: 1"),
        EVERYTHING,
    ),
]


@contextmanager
def edited(root: Path, change: Change) -> Iterator[None]:
    """The project under a change."""
    before = {root / file: (root / file).read_text() for file, _, _ in change.edits}
    for file, pattern, text in change.edits:
        old = (root / file).read_text()
        new = re.sub(pattern, text, old, count=1)
        assert new != old, f"{file} has no {pattern}"
        (root / file).write_text(new)
    if change.act:
        change.act(root)
    try:
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)


@pytest.fixture(scope="module")
def finished(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A copy of the finished run: the tests below edit its project and put it back."""
    return finished.copy(tmp_path_factory.mktemp("reruns") / "project")


@pytest.fixture(scope="module")
def jobs_of(finished: Any) -> dict[str, set[str]]:
    """The jobs that each change runs again, by its name."""
    jobs = {}
    for change in CHANGES:
        with edited(finished.root, change):
            jobs[change.name] = finished.jobs()
    return jobs


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_a_change_runs_again_what_rests_on_it_and_nothing_else(change: Change, jobs_of: dict[str, set[str]]) -> None:
    assert jobs_of[change.name] == change.runs


def test_a_copy_elsewhere_runs_nothing_again(finished: Any, tmp_path: Path) -> None:
    # As a fresh clone beside whose sources the results are put: other places, other times, the same contents.
    shutil.copytree(finished.root, tmp_path / "clone", copy_function=shutil.copyfile)
    copy = type(finished)(tmp_path / "clone", tmp_path / "clone" / "mini.yaml")
    assert copy.jobs() == set()


def test_a_copy_at_another_depth_is_taken_over_with_touch(finished: Any, snakemake: Any) -> None:
    """Snakemake goes by the paths of inputs as they are written, and ../../src is not src."""
    folder = finished.root / "runs" / "first"
    shutil.copytree(finished.root / "results", folder / "results", copy_function=shutil.copyfile)
    settings = ["--configfile", str(finished.settings)]

    def nothing_to_do() -> bool:
        outcome = snakemake(folder, "-n", *settings, root=finished.root)
        assert outcome.code == 0, outcome.text
        return not outcome.jobs

    try:
        assert not nothing_to_do(), "if this fails, docs/reruns.md can do without its advice"
        outcome = snakemake(folder, "--touch", *settings, root=finished.root)
        assert outcome.code == 0, outcome.text
        assert nothing_to_do()
        table = folder / "results" / "table3.csv"
        assert table.read_bytes() == (finished.root / "results" / "table3.csv").read_bytes()
    finally:
        shutil.rmtree(folder.parent)


ORDER = ["write_benchmark", "load_benchmark", "split_benchmark", "finetune", "train_reference", "unlearn"]
ORDER += ["predict", "evaluate", "scores", "tables", "summary"]


def words(jobs: set[str]) -> str:
    """A cell of the page: the rules in the order of the workflow, and whose jobs they are."""
    tasks = [task for task in TASKS if any(job.startswith("evaluate ") and job.endswith(f"/{task}") for job in jobs)]
    by_rule: dict[str, list[str]] = {}
    for job in sorted(jobs):
        rule, _, run = job.partition(" ")
        rows = by_rule.setdefault(rule, [])
        if run:
            match = re.fullmatch(r"forget(\d+)(?:/(\w+)/seed(\d+))?(?:/\w+)?", run)
            assert match is not None, run
            percent, method, seed = match.groups()
            parts = [method, f"{percent} %" if percent not in ("0", "25") or not method else ""]
            parts += [f"seed {seed}" if seed not in ("0", None) else ""]
            rows.append(" ".join(filter(None, parts)))
    cells = []
    for rule in sorted(by_rule, key=lambda rule: (ORDER + [rule]).index(rule)):
        name = f"`{rule}`" + (f" {' and '.join(tasks)} only" if rule == "evaluate" and tasks != list(TASKS) else "")
        rows = list(dict.fromkeys(by_rule[rule]))
        cells.append(f"{name} ({', '.join(rows)})" if rows else name)
    return ", ".join(cells) or "nothing"


def test_the_page_says_what_was_found(jobs_of: dict[str, set[str]]) -> None:
    start, end = "| change | what runs again |\n|---|---|\n", "\n<!-- end of the table -->"
    table = "".join(f"| {name} | {words(jobs)} |\n" for name, jobs in jobs_of.items())
    before, rest = PAGE.read_text().split(start)
    _, after = rest.split(end)
    page = before + start + table + end + after
    if os.environ.get("WRITE_PAGES"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "WRITE_PAGES=1 pytest tests/workflow/test_reruns.py writes the page anew"
