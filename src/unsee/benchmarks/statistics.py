"""What is in a benchmark, counted: the rows of the source paper's Table 3."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from unsee.benchmarks.schema import read_table

#: Keys under which published biographies give an attribute.
_COUNTRY = ("Country", "Nationality")
_REGION = ("Residence", "Region")
_BORN = ("Born", "Date of Birth")
_EMPLOYMENT = ("Employment",)


def count(benchmark: Path) -> pd.DataFrame:
    """``statistic`` and ``value`` of each row of the paper's Table 3, from a folder of canonical tables."""
    questions = read_table(benchmark, "questions", ["modality", "task"]).to_pandas()
    people = read_table(benchmark, "people").to_pandas()
    images = read_table(benchmark, "images", ["image_id"]).num_rows
    percents = sorted(set(read_table(benchmark, "splits", ["forget_percent"])["forget_percent"].to_pylist()))
    biographies = [json.loads(text) for text in people["biography"]]

    def distinct(keys: tuple[str, ...]) -> int:
        values = [next((str(b[key]) for key in keys if key in b), None) for b in biographies]
        return len({value for value in values if value})

    tasks, modalities, groups = (
        column.value_counts() for column in (questions["task"], questions["modality"], people["group"])
    )
    rows = [
        ("Total Questions", len(questions)),
        ("Image + Text Questions", modalities.get("image", 0)),
        ("Pure Text Questions", modalities.get("text", 0)),
        ("Total Images", images),
        ("Forget Percentile", "/".join(f"{percent}%" for percent in percents)),
        ("Multiple-choice Questions", tasks.get("classification", 0)),
        ("Free Generation Questions", tasks.get("generation", 0)),
        ("Fill-in-the-blank Questions", tasks.get("cloze", 0)),
        ("Total Profiles", len(people)),
        ("Fictitious", groups.get("fictitious", 0)),
        ("Real Celeb", groups.get("celebrity", 0)),
        ("Total Countries", distinct(_COUNTRY)),
        ("Total Regions", distinct(_REGION)),
        ("Total Birth Years", distinct(_BORN)),
        ("Total Employment", distinct(_EMPLOYMENT)),
    ]
    return pd.DataFrame([(name, str(value)) for name, value in rows], columns=["statistic", "value"])
