"""Attention block by block against attention over whole packs."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsee.models import attention
from unsee.models.attention import BLOCK, attend, blocks
from unsee.models.model import load
from unsee.models.packing import Request, collate, pack


def _packs(seed: int) -> list[list[Request]]:
    """Two rows of requests that begin alike for a while; the rows are of different lengths."""
    random = Random(seed)
    rows = []
    for size in (9, 4):
        start = [random.randrange(9) for _ in range(20)]
        starts = [start + [random.randrange(9) for _ in range(random.randrange(30))] for _ in range(4)]
        rows.append(
            [
                Request(tuple(random.choice(starts) + [random.randrange(9) for _ in range(random.randrange(1, 40))]))
                for _ in range(size)
            ]
        )
    return rows


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_outputs_and_gradients_are_those_of_whole_packs(seed: int, groups: int) -> None:
    batch = collate([pack(requests, image_token=-1) for requests in _packs(seed)], pad_token=0)
    assert batch.blocks is not None
    b, n = batch.tokens.shape
    assert n > 2 * BLOCK and n % BLOCK, "several blocks, the last one not full"
    assert batch.blocks.keys.shape[1] < n, "or there is nothing to save"
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(b, 4, n, 8, generator=generator, requires_grad=True)
    key, value = (torch.randn(b, 4 // groups, n, 8, generator=generator, requires_grad=True) for _ in range(2))
    out, weights = attend(nn.Identity(), query, key, value, batch.attention_mask, blocks=batch.blocks, scaling=0.3)
    dense = F.scaled_dot_product_attention(query, key, value, batch.attention_mask, scale=0.3, enable_gqa=groups > 1)
    dense = dense.transpose(1, 2)
    assert weights is None and out.shape == (b, n, 4, 8)
    torch.testing.assert_close(out, dense)
    wanted = torch.randn(out.shape, generator=generator)
    for one, other in zip(
        torch.autograd.grad((out * wanted).sum(), [query, key, value]),
        torch.autograd.grad((dense * wanted).sum(), [query, key, value]),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_keys_of_a_block_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "BLOCK", 2)
    # 0 - 1 - 2 and 0 - 3 - 4: the second block begins inside the first branch, the third behind it.
    cut = blocks(np.array([[5, 3, 3, 5, 5]]))
    assert cut.keys.tolist() == [[0, 0, 0, 1], [0, 1, 2, 3], [0, 3, 4, 4]]
    assert (cut.mask[:, 0] == 0).tolist() == [
        [[False, False, True, False], [False, False, True, True]],
        [[True, True, True, False], [True, False, False, True]],
        [[True, True, True, False], [False, False, False, True]],  # the last one fills up
    ]


def test_without_branches_there_are_no_blocks() -> None:
    assert collate([pack([Request((1, 2, 3), (4,))], image_token=-1)], pad_token=0).blocks is None


def test_every_family_attends_in_blocks_on_a_cpu(family_spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = load(family_spec)
    prompt = vlm.prompt("Where does this person live?", with_image=False)
    requests = vlm.requests(prompt, ["in a town", "in a village", "by the sea"], None, [])
    batch = collate([pack(requests, vlm.image_token)], pad_token=vlm.pad_token)
    gathered: list[int] = []
    gather = attention._gather

    def counted(states: Tensor, keys: Tensor) -> Tensor:
        gathered.append(len(keys))
        return gather(states, keys)

    monkeypatch.setattr(attention, "_gather", counted)
    with torch.no_grad():
        hidden = vlm.hidden_states(batch, None)
        assert len(gathered) == 2 * vlm.base.config.get_text_config().num_hidden_layers
        torch.testing.assert_close(vlm.hidden_states(replace(batch, blocks=None), None), hidden, rtol=1e-4, atol=1e-5)
    assert len(gathered) == 2 * vlm.base.config.get_text_config().num_hidden_layers


def test_grouped_keys_are_repeated_for_a_gpus_float32_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen with tensors that have shapes only: torch falls back to holding all logits where heads differ."""
    shapes: list[tuple[int, ...]] = []

    def attended(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **more: Any) -> torch.Tensor:
        shapes.extend((tuple(key.shape), tuple(value.shape)))
        return query

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attended)
    module = SimpleNamespace(num_key_value_groups=7, is_causal=True)
    query, key = torch.empty(1, 28, 9, 16, device="meta"), torch.empty(1, 4, 9, 16, device="meta")
    attention.attend(module, query, key, key, None)  # type: ignore[arg-type]
    assert shapes == [(1, 28, 9, 16)] * 2
    shapes.clear()
    attention.attend(module, query.to(torch.bfloat16), key.to(torch.bfloat16), key.to(torch.bfloat16), None)  # type: ignore[arg-type]
    assert shapes == [(1, 4, 9, 16)] * 2, "other kernels take groups"


def test_repeated_keys_are_grouped_ones() -> None:
    query, key, value = torch.randn(2, 6, 5, 4), torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 4)
    grouped = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    repeated = (attention._repeat(states, 6) for states in (key, value))
    torch.testing.assert_close(
        torch.nn.functional.scaled_dot_product_attention(query, *repeated, is_causal=True), grouped
    )
