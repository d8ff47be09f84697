"""The made-up page has every answer of every model."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench import page


def test_the_page_of_made_up_answers(tmp_path: Path) -> None:
    text = page.made_up(tmp_path, people=12, celebrities=4, percent=25)
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    explorer = json.loads(data)["explorer"]
    assert [run["method"] for run in explorer["runs"]] == list(page.RIGHT)
    assert {len(run["answers"]) for run in explorer["runs"]} == {(12 + 12 + 4) * 18}
    assert all(-1 not in run["answers"] for run in explorer["runs"])
