"""Batched greedy decoding from the keys and values of packs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unsee.evaluation.pack_cache import PackCache
from unsee.models.model import VisionLanguageModel


@dataclass
class OpenQuestions:
    """The q open questions of one pack, after the pack was read.

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


def decode_greedily(
    vlm: VisionLanguageModel, cache: PackCache, packs: Sequence[OpenQuestions], max_new_tokens: int
) -> list[list[int]]:
    """Continue open questions greedily.

    A row is a pack. All its questions are continued at once, by one token per step. They share the keys of the picture, and each sees
    only its own words. A question is left out when its answer has ended, and a row when all its answers have ended.

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
    counts = [len(p.token) for p in packs]
    prefix, n = max(p.prefix.shape[1] for p in packs), max(p.rest.shape[1] for p in packs)
    mask = _mask(packs, prefix, n + max(counts) * max_new_tokens, cache.dtype)
    token = pad_sequence([torch.tensor(p.token) for p in packs], batch_first=True, padding_value=end)
    position = pad_sequence([torch.tensor(p.position) for p in packs], batch_first=True)
    # Which question is in which place: rows become shorter while questions end.
    number = pad_sequence(list(torch.arange(sum(counts)).split(counts)), batch_first=True, padding_value=-1)
    outputs: list[list[int]] = [[] for _ in range(sum(counts))]
    cache.move_to_front([p.row for p in packs])
    decoder, embed = vlm.family.language_model(vlm.base), vlm.base.get_input_embeddings()
    head = vlm.base.get_output_embeddings()
    width = prefix + n
    for step in range(max_new_tokens):
        going = ~torch.isin(token, ends)
        for i, t in zip(number[going].tolist(), token[going].tolist(), strict=True):
            outputs[i].append(t)
        if not going.any() or step + 1 == max_new_tokens:
            break
        if not going.all():
            rows = going.any(1).nonzero()[:, 0]
            cache.move_to_front(rows.tolist())
            # Unfinished questions come first, in as many places as the row with the most of them needs.
            places = (~going[rows]).int().argsort(dim=1, stable=True)[:, : int(going.sum(1).max())]
            mask, token, position, number = (x[rows[:, None], places] for x in (mask, token, position, number))
        b, q = token.shape
        mask[:, torch.arange(q), width + torch.arange(q)] = 0.0
        width += q
        output = decoder(
            inputs_embeds=embed(token.to(device)),
            attention_mask=mask[:, None, :, :width].to(device),
            position_ids=position.to(device),
            past_key_values=cache.continue_rows(b, prefix, width - prefix - q, q),
            use_cache=True,
        )
        # An answer that has ended stays ended, whatever the model predicts behind its end.
        token = head(output.last_hidden_state).argmax(-1).cpu().where(~torch.isin(token, ends), torch.tensor(end))
        position = position + 1
    cache.restore_order()
    return outputs


def _mask(packs: Sequence[OpenQuestions], prefix: int, columns: int, dtype: torch.dtype) -> Tensor:
    """The mask that is added to attention's logits: which columns each question sees, (b, q, prefix + columns); of new words none yet."""
    mask = torch.full((len(packs), max(len(p.token) for p in packs), prefix + columns), -torch.inf, dtype=dtype)
    for row, p in enumerate(packs):
        k = len(p.token)
        mask[row, :k, prefix - p.prefix.shape[1] : prefix].masked_fill_(p.prefix, 0.0)
        mask[row, :k, prefix : prefix + p.rest.shape[1]].masked_fill_(p.rest, 0.0)
    return mask
