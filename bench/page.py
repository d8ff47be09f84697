"""Measure how long the report takes to open, with made-up answers of 8 models to the full synthetic benchmark: `python -m bench.page`.

Opens the page in a headless Chromium and prints the seconds from the start of the navigation until the first screen is drawn, and from
the jump to the explorer until its table is drawn. `python -m bench.page results/report.html` opens an existing page instead.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
#: Share of answers that each made-up model gets right.
RIGHT = {
    "vanilla": 0.9,
    "retain": 0.85,
    "ga": 0.4,
    "ga_diff": 0.7,
    "kl_min": 0.65,
    "npo": 0.5,
    "mmunlearner": 0.6,
    "vl_eraser": 0.75,
}
SHOWN = """<script>
const frames = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
addEventListener("load", () => frames(() => {
  const shown = performance.now();
  document.getElementById("explorer").scrollIntoView();
  ready.then(() => frames(() => console.log(`SHOWN ${shown} ${performance.now() - shown}`)));
}));
</script>"""
TIMES = 5


def main(arguments: list[str]) -> None:
    """Print the size of the page and the median of the times to open it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = Path(arguments[0]).read_text(encoding="utf-8") if arguments else made_up(folder)
        page = folder / "page.html"
        head, foot = text.rsplit("</body>", 1)
        page.write_text(f"{head}{SHOWN}</body>{foot}", encoding="utf-8")
        seconds = [opened(page, folder / f"profile-{i}") for i in range(TIMES)]
    for what, times in zip(("opens", "explorer"), zip(*seconds, strict=True), strict=True):
        print(f"{len(text.encode()) / 1e6:.1f} MB, {what}: {statistics.median(times):.2f} s, median of {sorted(times)}")


def opened(page: Path, profile: Path) -> tuple[float, float]:
    """Seconds to the first screen and to the explorer, in a browser with an empty cache."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or "google-chrome"
    quiet = [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
        "--no-first-run",
    ]
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--window-size=1400,900",
        *quiet,
    ]
    with subprocess.Popen(
        [*command, f"--user-data-dir={profile}", page.as_uri()], stderr=subprocess.PIPE, text=True
    ) as browser:
        assert browser.stderr is not None
        try:
            for line in browser.stderr:
                if match := re.search(r"SHOWN ([0-9.]+) ([0-9.]+)", line):
                    return round(float(match[1]) / 1000, 2), round(float(match[2]) / 1000, 2)
        finally:
            browser.kill()
    raise RuntimeError(f"{page}: the browser ended before the page was drawn")


def made_up(folder: Path, people: int = 500, celebrities: int = 153, percent: int = 5) -> str:
    """The page of made-up answers: correct at the model's rate, otherwise the answer about another person."""
    import numpy as np
    import pandas as pd

    from unsee.benchmarks import published, synthetic
    from unsee.benchmarks.statistics import count
    from unsee.evaluation.scoring import score_predictions
    from unsee.results.page import drawing, explorer, figures, figures_trade_off, report
    from unsee.results.page.people import forgotten_people, one_person
    from unsee.results.statistics.differences import differences
    from unsee.results.statistics.trade_off import trade_off
    from unsee.results.tables.knowledge import knowledge
    from unsee.results.tables.modalities import modalities
    from unsee.results.tables.scores import Run, gather, over_seeds, summarise
    from unsee.results.tables.summary import summary
    from unsee.results.tables.table3 import table3

    synthetic.write(folder / "raw", people=people, celebrities=celebrities, forget_percents=[percent], seed=0)
    published.load("mllmu", folder / "raw", [percent]).write(folder)
    names = ("people", "images", "questions", "splits", "training_pairs")
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in names}
    questions, draw = tables["questions"], np.random.default_rng(0)
    others = questions.groupby(["task", "modality"])["answer"].transform(lambda answers: draw.permutation(answers))
    predictions: dict[tuple[int, str, int], Any] = {}
    scores, runs = {}, []
    for method, share in RIGHT.items():
        run = (0 if method == "vanilla" else percent, method, 0)
        right = draw.random(len(questions)) < share
        predictions[run] = pd.DataFrame(
            {
                "question_id": questions["question_id"],
                "output": questions["answer"].where(right, others),
                "reference": questions["answer"],
                "correct": pd.Series(right, dtype=object).where(questions["task"] == "classification", None),
                "option_log_likelihoods": [
                    [-1.0 if (i == a) == r else -3.0 for i in range(len(o))]
                    for o, a, r in zip(questions["options"], questions["answer_index"], right, strict=True)
                ],
                "option_tokens": [[1] * len(options) for options in questions["options"]],
            }
        )
        scores[run] = score_predictions(predictions[run], questions)
        scores[run].to_parquet(folder / f"{method}.parquet")
        runs.append(Run("made-up", *run, [folder / f"{method}.parquet"]))
    items = gather(runs, questions, tables["splits"], [percent])
    compared, (curves, ranking) = differences(items), trade_off(items, {}, 0.95)
    table = summary(items, compared)
    drawing.save(figures_trade_off.equal_utility(curves, 0.95), folder, "equal_utility")
    drawing.save(figures_trade_off.trade_off(table), folder, "trade_off")
    people_shown = forgotten_people(tables, predictions, percent, 0)
    drawing.save(figures.portraits(people_shown, list(RIGHT)), folder, "portraits")
    return report.render(
        tables={
            "summary": table,
            "table3": table3(summarise(items)),
            "knowledge": knowledge(items),
            "scores": over_seeds(items),
            "differences": compared,
            "modalities": modalities(items),
            "costs": pd.DataFrame({"model": "made-up", "forget_percent": percent, "method": list(RIGHT), "seed": 0}),
            "statistics": count(folder, [percent]),
            "ranking": ranking,
        },
        utility=0.95,
        explorer=explorer.explorer(tables, predictions, scores),
        person=one_person(tables, predictions, scores, ranking),
        figures={name: folder / f"{name}.svg" for name in ("equal_utility", "trade_off", "portraits")},
        configuration="made up\n",
        remarks=[],
        manifests={},
    )


if __name__ == "__main__":
    main(sys.argv[1:])
