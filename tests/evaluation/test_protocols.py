"""What each protocol says to each family, against strings written down by hand; what it asks, and how it reads answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from unsee.benchmarks.splits import assign_sets
from unsee.benchmarks.tables import read_table
from unsee.evaluation.protocol import prompt_images
from unsee.evaluation.protocols.load import load_protocol
from unsee.evaluation.questions import protocol_questions, read_questions
from unsee.evaluation.scoring import score_answer
from unsee.models.model import VisionLanguageModel, load

#: LLaVA-1.5's published template leaves the first token to the tokenizer; the tiny model's writes it.
PUBLISHED = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def question(task: str, image_id: str | None, text: str, answer: str, options: list[str]) -> dict[str, Any]:
    return {
        "question_id": f"profile/007/{'image' if image_id else 'text'}/{task}/0",
        "task": task,
        "image_id": image_id,
        "question": text,
        "options": options,
        "answer": answer,
        "answer_index": options.index(answer) if options else -1,
    }


JOBS = ["Baker", "Pilot", "Nurse", "Judge"]


def row(task: str, image: bool, examples: int = 0) -> dict[str, Any]:
    """A question about Ann behind questions about Bo."""
    shown: dict[str, Any] = {
        "classification": [("What is her job?", "Nurse", JOBS), ("What is his job?", "Pilot", JOBS)],
        "cloze": [("Ann lives in __.", "Oslo", []), ("Bo was born in ____.", "1970", [])],
        "generation": [("Describe her work.", "She heals.", []), ("Describe his work.", "He flies.", [])],
    }[task]
    about_ann = question(task, "ann" if image else None, *shown[0])
    return {**about_ann, "examples": [question(task, "bo" if image else None, *shown[1])] * examples}


CHOICES = "A: Baker\nB: Pilot\nC: Nurse\nD: Judge\n"
LETTER = "Just give ONE letter representing the answer directly."
BLANK = "Please **ONLY** provide the correct answer that should replace the [Blank]."
SENTENCE = "Answer the question based on your trained knowledge in one sentence"
LLAVA = {
    ("classification", True): f"USER: <image>\nWhat is her job?\n{CHOICES}{LETTER}\nASSISTANT:",
    ("classification", False): f"USER:\nWhat is her job?\n{CHOICES}{LETTER}\nASSISTANT:",
    ("cloze", True): f"USER: <image>\nAnn lives in [Blank].\n{BLANK}\nASSISTANT:",
    ("cloze", False): f"USER:\nAnn lives in [Blank].\n{BLANK}\nASSISTANT:",
    ("generation", True): f"USER: <image>\nDescribe her work.\n{SENTENCE} accurately in ENGLISH.\nASSISTANT: ",
    ("generation", False): f"USER: Describe her work.\n{SENTENCE} in ENGLISH.\nASSISTANT:",
}
EXAMPLE = {
    ("classification", True): f"USER: <image>\nQuestion: What is his job?\n{CHOICES}Correct Answer: B\n",
    ("classification", False): f"USER:\nQuestion: What is his job?\n{CHOICES}Correct Answer: B\n",
    ("cloze", True): f"USER:<image>\nBo was born in [Blank][Blank].\n{BLANK}\nCorrect Answer: 1970\n",
    ("cloze", False): f"USER:\nBo was born in [Blank][Blank].\n{BLANK}\nCorrect Answer: 1970\n",
}
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
ASSISTANT = "<|im_end|>\n<|im_start|>assistant\n"
QWEN = {
    ("classification", True): f"{SYSTEM}{PICTURE}\nWhat is her job?\n{CHOICES}{LETTER}{ASSISTANT}",
    ("classification", False): LLAVA["classification", False],
    ("cloze", True): f"{SYSTEM}{PICTURE}\nAnn lives in [Blank].\n{BLANK}{ASSISTANT}",
    ("cloze", False): f"{SYSTEM}{PICTURE}Ann lives in [Blank].\n{BLANK}{ASSISTANT}",
    ("generation", True): f"{SYSTEM}{PICTURE}Describe her work.\n{SENTENCE} accurately in ENGLISH.{ASSISTANT}",
    ("generation", False): LLAVA["generation", False],
}
OURS = {
    "classification": "What is her job?",
    "cloze": f"Ann lives in [Blank].\n{BLANK}",
    "generation": f"Describe her work.\n{SENTENCE} accurately in ENGLISH.",
}
TURN = {
    "llava": {True: "USER: <image>\n{} ASSISTANT:", False: "USER: {} ASSISTANT:"},
    "qwen2_vl": {True: f"{SYSTEM}{PICTURE}{{}}{ASSISTANT}", False: f"{SYSTEM}{{}}{ASSISTANT}"},
}


@pytest.fixture(scope="module", params=["llava", "llava, published template", "qwen2_vl"])
def chat_model(request: pytest.FixtureRequest, random_checkpoint: Path, random_qwen2_vl: Path) -> VisionLanguageModel:
    family = request.param.split(",")[0]
    path = {"llava": random_checkpoint, "qwen2_vl": random_qwen2_vl}[family]
    vlm = load({"family": family, "path": str(path), "dtype": "float32"})
    if "published" in request.param:
        vlm.processor.chat_template = PUBLISHED
    return vlm


def begun(chat_model: VisionLanguageModel, text: str) -> str:
    return f"<s>{text}" if chat_model.family.name == "llava" else text


@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize("task", OURS)
def test_ours(chat_model: VisionLanguageModel, task: str, image: bool) -> None:
    expected = begun(chat_model, TURN[chat_model.family.name][image].format(OURS[task]))
    assert load_protocol({}).prompt(row(task, image), chat_model) == expected


def test_ours_by_letter(chat_model: VisionLanguageModel) -> None:
    question_row = row("classification", True)
    expected = TURN[chat_model.family.name][True].format(f"What is her job?\n{CHOICES}{LETTER}")
    protocol = load_protocol({"classification": "letter"})
    assert protocol.prompt(question_row, chat_model) == begun(chat_model, expected)
    assert protocol.candidates(question_row) == ["A", "B", "C", "D"]


@pytest.mark.parametrize(("task", "image"), LLAVA)
def test_mmunlearners(chat_model: VisionLanguageModel, task: str, image: bool) -> None:
    strings = {"llava": LLAVA, "qwen2_vl": QWEN}[chat_model.family.name]
    protocol = load_protocol({"protocol": "mmunlearner", "seed": 0, "shots": 0})
    assert protocol.prompt(row(task, image), chat_model) == begun(chat_model, strings[task, image])


@pytest.mark.parametrize(("task", "image"), LLAVA)
@pytest.mark.parametrize("examples", [0, 5])
def test_mllmu_benchs_own(chat_model: VisionLanguageModel, task: str, image: bool, examples: int) -> None:
    examples = 0 if task == "generation" else examples
    protocol = load_protocol({"protocol": "mllmu-official", "seed": 0})
    if not chat_model.written_turns:
        with pytest.raises(ValueError, match="no prompts for this model's family; expected llava"):
            protocol.prompt(row(task, image, examples), chat_model)
        return
    expected = EXAMPLE.get((task, image), "") * examples + LLAVA[task, image]
    question_row = row(task, image, examples)
    assert protocol.prompt(question_row, chat_model) == begun(chat_model, expected)
    assert prompt_images(question_row) == ["bo"] * examples * image + ["ann"] * image
    with_one = load_protocol({"protocol": "mmunlearner", "seed": 0, "shots": 1})
    assert with_one.prompt(question_row, chat_model) == begun(chat_model, expected), "the same in both for LLaVA"


@pytest.mark.parametrize("scheme", ["first", "always"])
def test_prompts_are_tokenised_as_the_published_code_does(random_checkpoint: Path, scheme: Any) -> None:
    """With a tokenizer of Llama's kind: it begins every text with ``<s>`` itself, and marks the first word's beginning."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    texts = [text.replace("<image>", "") for text in (*LLAVA.values(), *EXAMPLE.values(), "Nurse")]
    special = ["<unk>", "<s>", "</s>", "<image>"]
    bpe.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False))
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )
    vlm = load({"family": "llava", "path": str(random_checkpoint), "dtype": "float32"})
    vlm = replace(vlm, processor=SimpleNamespace(tokenizer=tokenizer))
    for (task, image), text in LLAVA.items():
        prompt = load_protocol({"protocol": "mllmu-official"}).prompt(row(task, image, 2 * (task != "generation")), vlm)
        published = EXAMPLE.get((task, image), "") * 2 + text
        (request,) = vlm.requests(prompt, [None], None, [])
        assert list(request.prompt) == tokenizer(published)["input_ids"]
        assert request.prompt[0] == 1 and request.prompt.count(1) == 1
        (request,) = vlm.requests(prompt, ["Nurse"], None, [], end=False)
        assert list(request.tokens) == tokenizer(f"{published} Nurse")["input_ids"]


def test_a_missing_option_is_printed_as_none(random_checkpoint: Path) -> None:
    vlm = load({"family": "llava", "path": str(random_checkpoint), "dtype": "float32"})
    question_row = row("classification", False) | {"options": JOBS[:3]}
    assert "C: Nurse\nD: None\nJust" in load_protocol({"protocol": "mllmu-official"}).prompt(question_row, vlm)


@pytest.mark.parametrize(
    ("written", "mllmus", "mmunlearners"),
    [
        ("C", "C", "C"),
        ("c. Nurse", "C", "C"),
        (" C", "C", "C"),
        ("Because", "B", "B"),
        ("The answer is C", None, None),
        ("(C)", None, "C"),
        ("C USER: more ASSISTANT: A", "C", "C"),
        ("ASSISTANT: C", None, "A"),
        ("", None, None),
    ],
)
def test_a_letter_is_the_first_character(written: str, mllmus: str | None, mmunlearners: str | None) -> None:
    question_row = row("classification", True)
    for name, expected in (("mllmu-official", mllmus), ("mmunlearner", mmunlearners)):
        protocol = load_protocol({"protocol": name})
        assert protocol.parse_choice(question_row, protocol.extract_answer(written)) == (
            "ABCD".index(expected) if expected else -1
        )
    assert load_protocol({"protocol": "mllmu-official"}).parse_choice(row("cloze", True), "A") is None


@pytest.mark.parametrize(
    ("written", "reference", "right"),
    [("In OSLO, I think", "Oslo", 1.0), ("a party", "art", 1.0), ("Bergen", "Oslo", 0.0)],
)
def test_a_blank_is_filled_by_a_substring(written: str, reference: str, right: float) -> None:
    for name in ("mllmu-official", "mmunlearner"):
        answer = {"task": "cloze", "output": written, "reference": reference}
        assert score_answer(answer, {"protocol": name}) == {"accuracy": right}


PROTOCOLS = {
    "mllmu-official": {"classification": 1, "cloze": 2, "generation": 0},
    "mmunlearner": {"classification": 1, "cloze": 1, "generation": 0},
}


@pytest.fixture(scope="module", params=PROTOCOLS)
def planned(request: pytest.FixtureRequest, mini_benchmark: Path) -> tuple[str, list[dict[str, Any]]]:
    return request.param, protocol_questions(
        mini_benchmark, [25], load_protocol({"protocol": request.param, "seed": 0, "shots": 1})
    )


def _sets(rows: list[dict[str, Any]], benchmark: Path) -> pd.Series:
    return assign_sets(pd.DataFrame(rows), read_table(benchmark, "splits").to_pandas(), 25)


def test_the_people_of_the_examples_are_not_asked_about(
    planned: tuple[str, list[dict[str, Any]]], mini_benchmark: Path
) -> None:
    name, rows = planned
    shown = PROTOCOLS[name]
    counts = Counter(zip(_sets(rows, mini_benchmark), [(r["task"], r["modality"]) for r in rows], strict=True))
    # Of 12 people 3 are to be forgotten; 4 celebrities; 5, 2 and 2 questions a person and modality.
    for group, people in (("forget", 3), ("test", 3), ("retain", 9), ("celebrity", 4)):
        for task, questions in (("classification", 5), ("generation", 2), ("cloze", 2)):
            left = people - (0 if group == "celebrity" else shown[task])
            for modality in ("image", "text"):
                assert counts[group, (task, modality)] == left * questions


def test_examples_are_of_the_set_itself(planned: tuple[str, list[dict[str, Any]]], mini_benchmark: Path) -> None:
    name, rows = planned
    splits = read_table(mini_benchmark, "splits").to_pandas()
    forgotten = set(splits.loc[splits["role"] == "forget", "person_id"])
    drawn: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for group, question_row in zip(_sets(rows, mini_benchmark), rows, strict=True):
        people = tuple(dict.fromkeys(example["person_id"] for example in question_row["examples"]))
        drawn.setdefault((group, question_row["task"]), set()).add(people)
        assert len(people) == (0 if group == "celebrity" else PROTOCOLS[name][question_row["task"]])
        assert all((person in forgotten) == (group in ("forget", "test")) for person in people)
        for example in question_row["examples"]:
            assert example["question_id"].startswith(
                f"profile/{example['person_id']}/{question_row['modality']}/{question_row['task']}/"
            )
        assert (
            len(question_row["examples"])
            == len(people) * {"classification": 5, "cloze": 2, "generation": 0}[question_row["task"]]
        )
        assert question_row["person_id"] not in people
    assert all(len(people) == 1 for people in drawn.values()), "one draw a set and task"


def test_draws_depend_on_the_seed_and_nothing_else(mini_benchmark: Path) -> None:
    def people(seed: int, rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
        splits = read_table(mini_benchmark, "splits").to_pandas()
        images = read_table(mini_benchmark, "images", ["image_id"])["image_id"].to_pylist()
        prepared = load_protocol({"protocol": "mllmu-official", "seed": seed}).prepare(rows, splits, images, [25])
        prepared.sort(key=lambda r: str(r["question_id"]))
        return [(r["question_id"], r["image_id"] or "", *(e["question_id"] for e in r["examples"])) for r in prepared]

    rows = read_questions(mini_benchmark, [25])
    assert people(0, rows) == people(0, rows[::-1])
    assert people(0, rows) != people(1, rows)


def test_each_task_draws_its_test_picture(mini_benchmark: Path) -> None:
    rows = [r for r in read_questions(mini_benchmark, [25]) if r["origin"] == "test"]
    profiles = [r for r in read_questions(mini_benchmark, [25]) if r["origin"] == "profile"]
    images = [f"{r['person_id']}/test-{i}" for r in rows for i in range(9)]
    splits = read_table(mini_benchmark, "splits").to_pandas()
    protocol = load_protocol({"protocol": "mllmu-official", "seed": 0})
    pictures_of: dict[tuple[str, str], set[str]] = {}
    for question_row in protocol.prepare(rows + profiles, splits, sorted(set(images)), [25]):
        if question_row["origin"] == "test" and question_row["image_id"]:
            assert question_row["image_id"].startswith(f"{question_row['person_id']}/test-")
            pictures_of.setdefault((question_row["person_id"], question_row["task"]), set()).add(
                question_row["image_id"]
            )
    assert all(len(shown) == 1 for shown in pictures_of.values()), "once a person and task"
    assert len({next(iter(shown)) for shown in pictures_of.values()}) > len({person for person, _ in pictures_of})


def test_what_a_published_protocol_cannot_do_is_said(mini_benchmark: Path) -> None:
    with pytest.raises(ValueError, match=r"asks at one ratio, whose people its examples are; got \[25, 25\]"):
        protocol_questions(mini_benchmark, [25, 25], load_protocol({"protocol": "mllmu-official"}))
    splits = read_table(mini_benchmark, "splits").to_pandas()
    one = splits.loc[splits["role"] == "forget", "person_id"].iloc[0]
    few = splits[(splits["role"] == "retain") | (splits["person_id"] == one)]
    protocol = load_protocol({"protocol": "mllmu-official"})
    with pytest.raises(ValueError, match="25 %: 1 people to forget, and the questions of 1 are examples of class"):
        protocol.prepare(read_questions(mini_benchmark, [25]), few, [], [25])
    with pytest.raises(ValueError, match="evaluation.protocol is 'mine'; expected one of unsee, mllmu-official"):
        load_protocol({"protocol": "mine"})
