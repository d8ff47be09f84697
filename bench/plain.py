"""Plain evaluation: every question is a separate sequence with its picture encoded again, answered by transformers' ``generate``.

With ``batch_size=1`` and ``choose="write"`` it is the published evaluation: options have letters, and the model writes a letter.
It shares only the wording of the prompts with the engine, and the tests compare the engine's answers with it.
:func:`write` does the same for the prompts of any protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch

from unsee.evaluation import prompts
from unsee.evaluation.queries import Query
from unsee.models.model import VisionLanguageModel
from unsee.models.pictures import Pictures

Choose = Literal["write", "likelihood"]


@torch.no_grad()
def answer(
    vlm: VisionLanguageModel,
    pictures: Pictures,
    questions: Sequence[dict[str, Any]],
    *,
    batch_size: int = 1,
    max_new_tokens: int = 50,
    choose: Choose = "likelihood",
) -> list[dict[str, Any]]:
    """Answer questions one by one or in padded batches.

    Args:
        vlm: the model.
        pictures: the pictures of the questions.
        questions: rows of the questions table.
        batch_size: number of sequences at a time, padded on the left, of one modality, longest first.
        max_new_tokens: length of a written answer.
        choose: ``write`` the letter of an option, or compare the ``likelihood`` of each option's text.

    Returns:
        ``question_id``, ``output``, ``choice`` and ``option_log_likelihoods`` of every question, sorted by ``question_id``.
    """
    answers: dict[str, dict[str, Any]] = {}
    for image in (True, False):
        rows = [row for row in questions if (row["image_id"] is not None) == image]
        written = [row for row in rows if row["task"] != "classification" or choose == "write"]
        scored = [row for row in rows if row["task"] == "classification" and choose == "likelihood"]
        for part in _batches(written, batch_size):
            texts = [_prompt(vlm, row, "letter") for row in part]
            for row, output in zip(part, _generate(vlm, pictures, part, texts, max_new_tokens), strict=True):
                choice = prompts.LETTERS.find(output[:1]) if output and row["task"] == "classification" else -1
                answers[row["question_id"]] = {"output": output, "choice": choice, "option_log_likelihoods": []}
        options = [(row, option) for row in scored for option in row["options"]]
        sums: dict[str, list[tuple[float, int]]] = {}
        for start in range(0, len(options), batch_size):
            pairs = options[start : start + batch_size]
            for (row, _), one in zip(pairs, _score(vlm, pictures, pairs), strict=True):
                sums.setdefault(row["question_id"], []).append(one)
        for row in scored:
            means = [total / count for total, count in sums[row["question_id"]]]
            choice = means.index(max(means))
            answers[row["question_id"]] = {
                "output": row["options"][choice],
                "choice": choice,
                "option_log_likelihoods": [total for total, _ in sums[row["question_id"]]],
            }
    return [{"question_id": question_id, **answers[question_id]} for question_id in sorted(answers)]


@torch.no_grad()
def write(
    vlm: VisionLanguageModel,
    pictures: Pictures,
    queries: Sequence[Query],
    *,
    batch_size: int = 1,
    max_new_tokens: int = 50,
) -> dict[str, str]:
    """Written answers by question id, to the prompts of any protocol; every prompt encodes all its pictures again.

    Args:
        vlm: the model.
        pictures: the pictures of the prompts.
        queries: the prompts.
        batch_size: number of sequences at a time, padded on the left, of one modality.
        max_new_tokens: length of an answer.
    """
    answers: dict[str, str] = {}
    for image in (True, False):
        of_modality = [query for query in queries if bool(query.image_ids) == image]
        for start in range(0, len(of_modality), batch_size):
            part = of_modality[start : start + batch_size]
            inputs = _inputs(
                vlm, pictures, [query.prompt for query in part], [i for query in part for i in query.image_ids]
            )
            texts = _continue(vlm, inputs, max_new_tokens)
            answers |= {query.question_id: text for query, text in zip(part, texts, strict=True)}
    return answers


def _batches(rows: Sequence[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
    ordered = sorted(rows, key=lambda row: -len(row["question"]))
    return (ordered[start : start + size] for start in range(0, len(ordered), size))


def _prompt(vlm: VisionLanguageModel, row: dict[str, Any], scoring: str) -> str:
    words = prompts.render(row["task"], row["question"], row["options"], scoring)
    return vlm.prompt(words, with_image=row["image_id"] is not None)


def _inputs(vlm: VisionLanguageModel, pictures: Pictures, texts: list[str], image_ids: Sequence[str]) -> Any:
    images = [pictures.image(image_id) for image_id in image_ids]
    # Without a picture, a placeholder is an ordinary token, which processors refuse.
    read, shown = (vlm.processor, {"images": images}) if images else (vlm.tokenizer, {})
    vlm.tokenizer.padding_side = "left"
    inputs = read(text=texts, padding=True, return_tensors="pt", add_special_tokens=False, **shown)
    dtype = next(vlm.base.parameters()).dtype
    return {
        name: tensor.to(vlm.device, dtype if tensor.is_floating_point() else None) for name, tensor in inputs.items()
    }


def _generate(
    vlm: VisionLanguageModel,
    pictures: Pictures,
    rows: Sequence[dict[str, Any]],
    texts: list[str],
    max_new_tokens: int,
) -> list[str]:
    return _continue(vlm, _inputs(vlm, pictures, texts, _image_ids(rows)), max_new_tokens)


def _image_ids(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["image_id"] for row in rows if row["image_id"] is not None]


def _continue(vlm: VisionLanguageModel, inputs: Any, max_new_tokens: int) -> list[str]:
    tokens = vlm.base.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=vlm.pad_token)
    new = tokens[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in vlm.tokenizer.batch_decode(new, skip_special_tokens=True)]


def _score(
    vlm: VisionLanguageModel, pictures: Pictures, pairs: Sequence[tuple[dict[str, Any], str]]
) -> list[tuple[float, int]]:
    """The sum of the log-probabilities of each option's tokens, and the number of tokens."""
    rows = [row for row, _ in pairs]
    starts = [_prompt(vlm, row, "likelihood") for row in rows]
    texts = [f"{start} {option}" for start, (_, option) in zip(starts, pairs, strict=True)]
    counts = [
        len(vlm.tokenizer(text, add_special_tokens=False)["input_ids"])
        - len(vlm.tokenizer(start, add_special_tokens=False)["input_ids"])
        for text, start in zip(texts, starts, strict=True)
    ]
    inputs = _inputs(vlm, pictures, texts, _image_ids(rows))
    mask = inputs["attention_mask"]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = vlm.base(**inputs, position_ids=positions, logits_to_keep=max(counts) + 1).logits.float().log_softmax(-1)
    scores = []
    for i, count in enumerate(counts):
        tokens = inputs["input_ids"][i, -count:]
        scores.append((logits[i, -count - 1 : -1].gather(1, tokens[:, None]).sum().item(), count))
    return scores
