"""MLLMU-Bench's published layout by hand: three people, one of them to forget, and a celebrity."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from unsee.benchmarks import synthetic

TEXT = pa.string()


def picture(colour: int) -> dict[str, Any]:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": f"{colour}.png"}


def choice(question: str, answer: str = "B") -> dict[str, Any]:
    return {
        "Question": question,
        "Options": dict(zip("ABCD", ["w", "x", "y", "z"], strict=True)),
        "Correct_Answer": answer,
    }


def tasks(who: str) -> dict[str, Any]:
    return {
        "Classification_Task": {
            "Image_Textual_Questions": [choice(f"{who} i?")],
            "Pure_Text_Questions": [choice(f"{who} t?", "D")],
        },
        "Generation_Task": [{"Type": "Image_Textual", "Question": f"{who} g?", "Ground_Truth": "long answer"}],
        "Mask_Task": [{"Type": "Pure_Text", "Question": f"{who} is __", "Ground_Truth": "gap"}],
    }


def profile(number: int, **biography: Any) -> dict[str, Any]:
    who = f"Person {number}"
    return {
        "image": picture(number),
        "ID": f"{number:03d}",
        "Directory": "d",
        "biography": json.dumps({"Name": who, **biography}),
        "question": "q",
        "answer": "a",
        **tasks(who),
    }


class Published:
    """Rows of each folder, to be changed and then written."""

    def __init__(self) -> None:
        # Biography keys are uneven in the published data.
        people = [profile(1, Born="1950"), profile(2, **{"Date of Birth": "1960"}), profile(93, Parents=["a", "b"])]
        self.rows: dict[str, list[dict[str, Any]]] = {
            "Full_Set": people,
            "forget_33": [people[2]],
            "retain_67": people[:2],
            "Retain_Set": [profile(1)],
            "Test_Set": [
                {"images": [picture(100 + i), picture(200)], "ID": p["ID"], "biography": p["biography"], **tasks("T")}
                for i, p in enumerate(people)
            ],
            "ft_Data": [
                {
                    "image": p["image"],
                    "ID": p["ID"],
                    "metadata": json.dumps(
                        [{"Question": "Who?", "Answer": "Me"}, {"Question": "x", "Answer": "y", "Type": "Pure_Text"}]
                    ),
                }
                for p in people
            ],
        }
        self.after: list[Callable[[Path], None]] = []
        self.schemas = {name: synthetic.PROFILE for name in self.rows} | {
            "Test_Set": synthetic.TEST,
            "ft_Data": synthetic.TRAINING,
        }

    def write(self, folder: Path) -> Path:
        for name, rows in self.rows.items():
            half = len(rows) // 2 if name == "Test_Set" else len(rows)
            shards = [rows[:half], rows[half:]] if half < len(rows) else [rows]
            synthetic._write(folder / name, shards, self.schemas[name])
        for change in self.after:
            change(folder)
        return folder
