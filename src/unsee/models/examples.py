"""Examples in front of a question: tokens that many people's prompts share, cut from the prefix of a pack."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unsee.models.packing import Pack


def split_examples(prefix: Pack) -> tuple[Pack | None, Pack]:
    """Cut a prefix in front of its last picture: the tokens before it belong to examples, which many people's prompts share.

    A prefix with one picture, or one that branches, is not cut.

    Returns:
        The examples, or ``None``, and the rest of the prefix.
    """
    begins = prefix.is_image & ~np.concatenate([[False], prefix.is_image[:-1]])
    starts = np.flatnonzero(begins)
    # Pictures that follow each other without a word cannot be told apart here.
    if len(starts) < 2 or len(starts) != len(prefix.image_ids) or prefix.branches:
        return None, prefix
    cut = int(starts[-1])
    return _part(prefix, slice(cut), prefix.image_ids[:-1]), _part(prefix, slice(cut, None), prefix.image_ids[-1:])


def _part(chain: Pack, part: slice, image_ids: list[str]) -> Pack:
    """A part of a pack that does not branch."""
    tokens = chain.tokens[part]
    n = len(tokens)
    return replace(
        chain,
        tokens=tokens,
        ends=np.full(n, n),
        positions=chain.positions[:, part],
        is_image=chain.is_image[part],
        paths=[np.arange(n)],
        prompt_lengths=[n],
        image_ids=image_ids,
    )
