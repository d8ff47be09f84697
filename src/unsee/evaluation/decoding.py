"""Batched greedy decoding from the keys and values of packs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unsee.evaluation.pack_cache import PackCache
from unsee.models.model import VisionLanguageModel


@dataclass
class OpenQuestions:
    """The q open questions of one pack, after it was read.

    Attributes:
        row: the pack's row in the cache.
        prefix: which tokens of the pack's prefix each question sees, (q, p).
        rest: which of the stored tokens behind the prefix each question sees, (q, n).
        token, position: the first token of each answer, and its rotary position.
    """

    row: int
    prefix: Tensor
    rest: Tensor
    token: list[int]
    position: list[int]


@dataclass
class _Places:
    """Open questions in b rows of q places; a place without a question holds an end token.

    Attributes:
        mask: 0 where a question sees a column of the cache, minus infinity elsewhere, (b, q, columns).
        token, position: the last token of each answer so far, and its rotary position, (b, q).
        number: the question in each place, numbered through all packs; -1 for none, (b, q).
    """

    mask: Tensor
    token: Tensor
    position: Tensor
    number: Tensor

    def select(self, rows: Tensor, places: Tensor) -> _Places:
        """Some rows, (r,), and some places of each, (r, q)."""
        tensors = (self.mask, self.token, self.position, self.number)
        return _Places(*(tensor[rows[:, None], places] for tensor in tensors))


def decode_greedily(
    vlm: VisionLanguageModel, cache: PackCache, packs: Sequence[OpenQuestions], max_new_tokens: int
) -> list[list[int]]:
    """Continue open questions greedily.

    A row is a pack. All its questions are continued at once, by one token a step. They share the keys of the picture, and each sees
    only its own words. A question whose answer has ended is left out of later steps, and so is a row without other questions.

    Args:
        vlm: the model.
        cache: keys and values of the packs.
        packs: in the order of their rows.
        max_new_tokens: the most tokens of an answer.

    Returns:
        The new tokens of each question, without the token that ended it.
    """
    if not packs:
        return []
    device, end = vlm.device, vlm.tokenizer.eos_token_id
    ends = torch.tensor(sorted(vlm.end_tokens))
    prefix = max(p.prefix.shape[1] for p in packs)
    width = prefix + max(p.rest.shape[1] for p in packs)
    open_places = _lay_out(packs, prefix, width, max_new_tokens, cache.dtype, end)
    answers: list[list[int]] = [[] for p in packs for _ in p.token]
    cache.move_to_front([p.row for p in packs])
    decoder, embed = vlm.family.language_model(vlm.base), vlm.base.get_input_embeddings()
    head = vlm.base.get_output_embeddings()
    for step in range(max_new_tokens):
        going = ~torch.isin(open_places.token, ends)
        for i, token in zip(open_places.number[going].tolist(), open_places.token[going].tolist(), strict=True):
            answers[i].append(token)
        if not going.any() or step + 1 == max_new_tokens:
            break
        if not going.all():
            rows = going.any(1).nonzero()[:, 0]
            cache.move_to_front(rows.tolist())
            # Questions that go on come first, in as many places as the row with the most of them needs.
            places = (~going[rows]).int().argsort(dim=1, stable=True)[:, : int(going.sum(1).max())]
            open_places = open_places.select(rows, places)
        b, q = open_places.token.shape
        open_places.mask[:, torch.arange(q), width + torch.arange(q)] = 0.0
        width += q
        output = decoder(
            inputs_embeds=embed(open_places.token.to(device)),
            attention_mask=open_places.mask[:, None, :, :width].to(device),
            position_ids=open_places.position.to(device),
            past_key_values=cache.continue_rows(b, prefix, width - prefix - q, q),
            use_cache=True,
        )
        # An answer that has ended stays ended, whatever the model predicts behind its end.
        going = ~torch.isin(open_places.token, ends)
        open_places.token = head(output.last_hidden_state).argmax(-1).cpu().where(going, torch.tensor(end))
        open_places.position = open_places.position + 1
    cache.restore_order()
    return answers


def _lay_out(
    packs: Sequence[OpenQuestions], prefix: int, width: int, max_new_tokens: int, dtype: torch.dtype, end: int
) -> _Places:
    """The open questions of each pack in a row of their own.

    Args:
        packs: the packs.
        prefix: length of the longest prefix.
        width: the columns of the cache that are in use.
        max_new_tokens: the most tokens of an answer, which decides how many columns will be in use.
        dtype: of the mask.
        end: the token of a place without a question.
    """
    b, q = len(packs), max(len(p.token) for p in packs)
    mask = torch.full((b, q, width + q * max_new_tokens), -torch.inf, dtype=dtype)
    token, position = torch.full((b, q), end), torch.zeros(b, q, dtype=torch.long)
    number, n_questions = torch.full((b, q), -1), 0
    for row, p in enumerate(packs):
        k = len(p.token)
        mask[row, :k, prefix - p.prefix.shape[1] : prefix].masked_fill_(p.prefix, 0.0)
        mask[row, :k, prefix : prefix + p.rest.shape[1]].masked_fill_(p.rest, 0.0)
        token[row, :k], position[row, :k] = torch.tensor(p.token), torch.tensor(p.position)
        number[row, :k] = torch.arange(n_questions, n_questions + k)
        n_questions += k
    return _Places(mask, token, position, number)
