"""The example in docs/results.md runs and prints the right numbers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from unsee.results.tables.scores import gather, over_seeds

ROOT = Path(__file__).parents[2]


def test_the_example_for_pandas(world: Any, tmp_path: Path) -> None:
    items = gather(world.runs, world.questions, world.splits, (10, 20))
    (tmp_path / "results").mkdir()
    items.to_parquet(tmp_path / "results" / "scores.parquet", index=False)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "results.md").read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    scores = over_seeds(items).set_index(["forget_percent", "method", "set", "modality", "metric"])["value"]
    (zeta,) = [row for row in rows if row[0] == "zeta" or row[:2] == ["10", "zeta"]][:1]
    expected = [scores[10, "zeta", "forget", modality, "rouge_l"] for modality in ("image", "text")]
    assert [float(value) for value in zeta[-2:]] == [round(value, 6) for value in expected]
