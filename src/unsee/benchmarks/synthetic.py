"""The synthetic benchmark, written to disk in MLLMU-Bench's published layout.

The loader of the real data (:mod:`unsee.benchmarks.mllmu`) reads it back, so that the default run uses the same code. One extension: a
training pair without picture has ``"Type": "Pure_Text"`` in ft_Data's ``metadata``; all published pairs have a picture.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.benchmarks import question_templates
from unsee.benchmarks.profiles import Profile, people
from unsee.benchmarks.published import numbered
from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.splits import draw_forget_set
from unsee.core.files import atomic_write

#: The first identity of the celebrities' portraits.
FIRST_CELEBRITY = 500
#: The celebrities are the same for every seed, because the shipped base model knows them.
CELEBRITY_SEED = "celebrities"
MAX_CELEBRITIES = 153

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_OPTIONS = pa.struct([(letter, pa.string()) for letter in "ABCD"])
_CHOICES = pa.list_(pa.struct([("Correct_Answer", pa.string()), ("Options", _OPTIONS), ("Question", pa.string())]))
_OPEN = pa.list_(pa.struct([("Ground_Truth", pa.string()), ("Question", pa.string()), ("Type", pa.string())]))
_TASKS = [
    ("Classification_Task", pa.struct([("Image_Textual_Questions", _CHOICES), ("Pure_Text_Questions", _CHOICES)])),
    ("Generation_Task", _OPEN),
    ("Mask_Task", _OPEN),
]
PROFILE = pa.schema(
    [
        ("image", _IMAGE),
        ("ID", pa.string()),
        ("Directory", pa.string()),
        ("biography", pa.string()),
        ("question", pa.string()),
        ("answer", pa.string()),
        *_TASKS,
    ]
)
TEST = pa.schema([("images", pa.list_(_IMAGE)), ("ID", pa.string()), ("biography", pa.string()), *_TASKS])
TRAINING = pa.schema([("image", _IMAGE), ("ID", pa.string()), ("metadata", pa.string())])
_TYPES = {"image": "Image_Textual", "text": "Pure_Text"}


class Portraits:
    """The portraits file: (identity, view) -> JPEG, and the gender that each identity shows."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(str(files("unsee").joinpath("data", "portraits.parquet")))
        if not self.path.is_file():
            raise BenchmarkError(f"{self.path}: not found; expected the portraits file")
        rows = pq.read_table(self.path, columns=["identity", "view", "gender", "jpeg"]).to_pylist()
        self.jpeg = {(row["identity"], row["view"]): row["jpeg"] for row in rows}
        self.gender = {row["identity"]: row["gender"] for row in rows}

    def identities(self, *, celebrities: bool) -> list[int]:
        """Identities of celebrities, or of fictitious people, in order."""
        return sorted(i for i in self.gender if (i >= FIRST_CELEBRITY) == celebrities)


def celebrity_profiles(portraits: Portraits) -> list[Profile]:
    """All celebrities, the same in every benchmark."""
    identities = portraits.identities(celebrities=True)[:MAX_CELEBRITIES]
    return people([(i, portraits.gender[i]) for i in identities], CELEBRITY_SEED)


def fictitious_profiles(portraits: Portraits, n: int, seed: int) -> list[Profile]:
    """``n`` fictitious people; another seed gives other names and facts, and deals the portraits anew.

    Raises:
        BenchmarkError: more people than portraits.
    """
    identities = portraits.identities(celebrities=False)
    if n > len(identities):
        raise BenchmarkError(f"benchmark.people is {n}; {portraits.path} has portraits of {len(identities)}")
    Random(f"{seed}:portraits").shuffle(identities)
    taken = {profile.name for profile in celebrity_profiles(portraits)}
    return people([(i, portraits.gender[i]) for i in identities[:n]], f"{seed}", taken=taken)


def stranger_profiles(portraits: Portraits, n_people: int, seed: int, n: int) -> list[Profile]:
    """``n`` people who are not in the benchmark of this seed.

    Args:
        portraits: the portraits file.
        n_people, seed: the size and the seed of the benchmark.
        n: the number of strangers. A larger number leaves the first ones as they are.

    Raises:
        BenchmarkError: too few portraits are left.
    """
    benchmark = fictitious_profiles(portraits, n_people, seed)
    taken = {profile.name for profile in [*benchmark, *celebrity_profiles(portraits)]}
    shown = {profile.identity for profile in benchmark}
    left = [identity for identity in portraits.identities(celebrities=False) if identity not in shown]
    if n > len(left):
        raise BenchmarkError(
            f"{portraits.path}: has portraits of {len(left)} people who are not in the benchmark, and {n} strangers are "
            "wanted; expected fewer strangers, or fewer people in the benchmark"
        )
    Random(f"{seed}:strangers:portraits").shuffle(left)
    return people([(i, portraits.gender[i]) for i in left[:n]], f"{seed}:strangers", taken=taken)


def profiles_apart(portraits: Portraits, n: int, seed: int, reported: int) -> list[Profile]:
    """``n`` people who are not in the benchmark of the seed ``reported`` and of the same size.

    They share no name and no portrait with its people; nor with its strangers, as long as there are portraits for all three.

    Raises:
        BenchmarkError: too few portraits are left.
    """
    benchmark = fictitious_profiles(portraits, n, reported)
    left = len(portraits.identities(celebrities=False)) - n
    if n > left:
        raise BenchmarkError(
            f"benchmark.people is {n}; {portraits.path} has portraits of {left} more, expected as many"
        )
    strangers = stranger_profiles(portraits, n, reported, left)  # the last of them are the last to be strangers
    identities = [profile.identity for profile in strangers[-n:]]
    Random(f"{seed}:portraits").shuffle(identities)
    taken = {profile.name for profile in (*celebrity_profiles(portraits), *benchmark, *strangers)}
    return people([(i, portraits.gender[i]) for i in identities], f"{seed}", taken=taken)


def write(
    directory: Path,
    *,
    people: int,
    celebrities: int,
    seed: int,
    forget_percents: Sequence[int] = (),
    portraits: Path | None = None,
    apart_from: int | None = None,
) -> None:
    """Write the benchmark's folders (ft_Data, Full_Set, Test_Set, Retain_Set, forget_*, retain_*).

    Args:
        directory: the folder to write.
        people, celebrities: the numbers of people.
        seed: the seed of people, questions and splits.
        forget_percents: the ratios; each gets a forget and a retain folder.
        portraits: the portraits file; the shipped one by default.
        apart_from: the seed of another benchmark of this size; no person, celebrity, name, picture or number of it is in this one.

    Raises:
        BenchmarkError: there are more people than portraits, or a ratio leaves no person to forget or to retain.
    """
    faces = Portraits(portraits)
    famous = celebrity_profiles(faces)
    if apart_from is None:
        fictitious, first_celebrity, first_id = fictitious_profiles(faces, people, seed), 0, 0
    else:
        fictitious, first_celebrity = profiles_apart(faces, people, seed, apart_from), celebrities
        first_id = people + celebrities
    if first_celebrity + celebrities > len(famous):
        raise BenchmarkError(f"benchmark.celebrities is {celebrities}; {faces.path} has portraits of {len(famous)}")
    ids = numbered(first_id, len(fictitious))
    forgotten = {percent: draw_forget_set(ids, percent, seed) for percent in forget_percents}

    full = [_profile_row(faces, i, p, fictitious, seed) for i, p in zip(ids, fictitious, strict=True)]
    test = [_test_row(faces, i, p, fictitious, seed) for i, p in zip(ids, fictitious, strict=True)]
    training = [_training_row(faces, i, p, seed) for i, p in zip(ids, fictitious, strict=True)]
    shown = famous[first_celebrity : first_celebrity + celebrities]
    celebrity_rows = [_profile_row(faces, f"{first_id + i:03d}", p, famous, seed) for i, p in enumerate(shown)]
    with atomic_write(directory) as part:
        _write(part / "ft_Data", [training], TRAINING)
        _write(part / "Full_Set", [full], PROFILE)
        _write(part / "Test_Set", [test[: len(test) // 2], test[len(test) // 2 :]], TEST)
        _write(part / "Retain_Set", [celebrity_rows], PROFILE)
        for percent, forget_ids in forgotten.items():
            _write(part / f"forget_{percent}", [[r for r in full if r["ID"] in forget_ids]], PROFILE)
            _write(part / f"retain_{100 - percent}", [[r for r in full if r["ID"] not in forget_ids]], PROFILE)


def _write(folder: Path, shards: list[list[dict[str, Any]]], schema: pa.Schema) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, rows in enumerate(shards):
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"train-{i:05d}-of-{len(shards):05d}.parquet")


def _image(faces: Portraits, profile: Profile, view: int) -> dict[str, Any]:
    return {"bytes": faces.jpeg[profile.identity, view], "path": f"{profile.identity}-{view}.jpg"}


def _profile_row(faces: Portraits, row_id: str, profile: Profile, others: list[Profile], seed: int) -> dict[str, Any]:
    first = question_templates.training_pairs(profile, str(seed))[0]
    return {
        "image": _image(faces, profile, 0),
        "ID": row_id,
        "Directory": row_id,
        "biography": json.dumps(profile.biography()),
        "question": first.question,
        "answer": first.answer,
        **_tasks(profile, "profile", others, seed),
    }


def _test_row(faces: Portraits, row_id: str, profile: Profile, others: list[Profile], seed: int) -> dict[str, Any]:
    return {
        "images": [_image(faces, profile, 1)],
        "ID": row_id,
        "biography": json.dumps(profile.biography()),
        **_tasks(profile, "test", others, seed),
    }


def _training_row(faces: Portraits, row_id: str, profile: Profile, seed: int) -> dict[str, Any]:
    metadata = []
    for pair in question_templates.training_pairs(profile, str(seed)):
        entry = {"Question": pair.question, "Answer": pair.answer, "ID": row_id}
        metadata.append(entry if pair.modality == "image" else {**entry, "Type": "Pure_Text"})
    return {"image": _image(faces, profile, 0), "ID": row_id, "metadata": json.dumps(metadata)}


def _tasks(profile: Profile, origin: str, others: list[Profile], seed: int) -> dict[str, Any]:
    questions = question_templates.evaluation(profile, origin)
    choices: dict[str, list[dict[str, Any]]] = {"image": [], "text": []}
    for a in questions:
        if a.task == "classification":
            random = Random(f"{seed}:{origin}:{profile.name}:{a.modality}:{a.attribute}")
            choices[a.modality].append(_choice(a, others, random))
    return {
        "Classification_Task": {
            "Image_Textual_Questions": choices["image"],
            "Pure_Text_Questions": choices["text"],
        },
        "Generation_Task": [_open(a) for a in questions if a.task == "generation"],
        "Mask_Task": [_open(a) for a in questions if a.task == "cloze"],
    }


def _open(question: question_templates.QuestionAnswer) -> dict[str, str]:
    return {"Type": _TYPES[question.modality], "Question": question.question, "Ground_Truth": question.answer}


def _choice(question: question_templates.QuestionAnswer, others: list[Profile], random: Random) -> dict[str, Any]:
    """A multiple-choice question whose wrong options are other people's values of the same attribute."""
    values = sorted({getattr(other, question.attribute) for other in others} - {question.answer})
    if len(values) < 3:
        raise BenchmarkError(
            f"{question.attribute}: {len(values)} other values among {len(others)} people, expected at least 3 to "
            "make wrong options of; ask for more people"
        )
    options = random.sample(values, 3)
    options.insert(random.randrange(4), question.answer)
    return {
        "Question": question.question,
        "Options": dict(zip("ABCD", options, strict=True)),
        "Correct_Answer": "ABCD"[options.index(question.answer)],
    }
