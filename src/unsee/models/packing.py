"""Packs: many prompts about the same pictures in one sequence, in which each prompt attends only to its own tokens.

A *pack* is a trie of tokens laid out in depth-first order. Requests that begin with the same tokens (the same picture, the same
question, the same first word of two options) share those tokens. A token attends to itself and its ancestors only, and its position
is its depth. The hidden state of a token is therefore the same as in a sequence that holds one request alone, and scores and gradients
equal the unpacked ones up to rounding. A prompt may have any number of pictures, and may show a picture several times.

A request that shares no token is a trie with one branch, which is an ordinary sequence. Packed and unpacked runs use the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unsee.models.attention import BLOCK, Blocks, Ranges, blocks, ranges

# A pack that is read behind a cached prefix is not cut into blocks if it has at most this many keys, and is cut into ranges if the prefix,
# or a pack without one that does not branch, has more.
_SHORT = 4 * BLOCK


@dataclass(frozen=True)
class Request:
    """A prompt, and an answer to be scored after it.

    Attributes:
        prompt: token ids of the prompt, with picture placeholders expanded, (p,).
        answer: token ids of the answer, (a,); empty if the model generates the answer.
        images: (image id, index of its first placeholder) of each picture, in order. A placeholder outside of every picture is an
            ordinary token.
        positions: rotary positions of prompt and answer, (axes, p + a); ``None`` means 0, 1, 2, ...
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...] = ()
    images: tuple[tuple[str, int], ...] = ()
    positions: np.ndarray | None = None

    @property
    def image_ids(self) -> tuple[str, ...]:
        """The ids of the pictures, in order."""
        return tuple(image_id for image_id, _ in self.images)

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.prompt + self.answer


@dataclass
class Pack:
    """A trie of tokens in depth-first order, ``n`` nodes.

    Attributes:
        tokens: token id of each node, (n,).
        ends: one past the last node of each node's subtree, (n,). Node j is node i or an ancestor of it exactly when
            ``j <= i < ends[j]``.
        positions: rotary positions, (axes, n).
        is_image: whether each node is a placeholder of a picture, (n,).
        paths: the nodes of each request's tokens, (p + a,), in the order of the requests.
        prompt_lengths: p of each request.
        image_ids: the pictures in the order of their placeholders in ``tokens``.
    """

    tokens: np.ndarray
    ends: np.ndarray
    positions: np.ndarray
    is_image: np.ndarray
    paths: list[np.ndarray]
    prompt_lengths: list[int]
    image_ids: list[str]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def branches(self) -> bool:
        """Whether a token has two continuations, so that a causal mask would be wrong."""
        return bool((self.ends != len(self.tokens)).any())


@dataclass
class _Node:
    token: int
    image: str | None
    begins: bool  # the picture's first placeholder
    position: np.ndarray
    children: dict[tuple[int, str | None, bool], _Node] = field(default_factory=dict)
    index: int = -1


def pack(requests: Sequence[Request], image_token: int) -> Pack:
    """Lay requests out as one trie.

    Args:
        requests: at least one; requests that begin with the same pictures and words share their tokens.
        image_token: id of the picture placeholder; equal placeholders of different pictures are not shared.
    """
    axes = 1 if requests[0].positions is None else requests[0].positions.shape[0]
    root = _Node(-1, None, False, np.zeros(axes, dtype=np.int64))
    branches: list[list[_Node]] = []
    # The options of a question are adjacent requests with one prompt, which is therefore inserted once.
    prompt: tuple[tuple[int, ...], tuple[tuple[str, int], ...]] = ((), ())
    prompt_nodes: list[_Node] = []
    for request in requests:
        if prompt != (request.prompt, request.images):
            prompt, prompt_nodes = (request.prompt, request.images), []
        branch = _insert(request, root, prompt_nodes, image_token)
        prompt_nodes = branch[: len(request.prompt)]
        branches.append(branch)
    nodes, ends = _depth_first(root)
    return Pack(
        tokens=np.array([node.token for node in nodes], dtype=np.int64),
        ends=np.array(ends, dtype=np.int64),
        positions=np.stack([node.position for node in nodes], axis=1),
        is_image=np.array([node.image is not None for node in nodes]),
        paths=[np.array([node.index for node in branch], dtype=np.int64) for branch in branches],
        prompt_lengths=[len(request.prompt) for request in requests],
        image_ids=[node.image for node in nodes if node.begins and node.image is not None],
    )


def _insert(request: Request, root: _Node, branch: Sequence[_Node], image_token: int) -> list[_Node]:
    """Insert a request into a trie, behind the nodes of its first tokens; returns the nodes of all its tokens."""
    nodes = list(branch)
    node = nodes[-1] if nodes else root
    starts = {start: image_id for image_id, start in request.images}
    image: str | None = None
    for depth, token in enumerate(request.tokens[len(nodes) :], start=len(nodes)):
        begins = depth in starts
        image = starts.get(depth, image) if token == image_token else None
        child = node.children.get((token, image, begins))
        if child is None:
            positions = request.positions
            position = np.full_like(root.position, depth) if positions is None else positions[:, depth]
            child = node.children[(token, image, begins)] = _Node(token, image, begins, position)
        nodes.append(child)
        node = child
    return nodes


def _depth_first(root: _Node) -> tuple[list[_Node], list[int]]:
    """The nodes below ``root`` in depth-first order, which numbers them, and one past the last node of each node's subtree."""
    nodes: list[_Node] = []
    ends: list[int] = []
    # A stack instead of recursion: a long prompt is deeper than Python's recursion limit.
    stack: list[tuple[_Node, bool]] = [(child, False) for child in reversed(root.children.values())]
    while stack:
        node, is_complete = stack.pop()
        if is_complete:
            ends[node.index] = len(nodes)
            continue
        node.index = len(nodes)
        nodes.append(node)
        ends.append(-1)
        stack.append((node, True))
        stack.extend((child, False) for child in reversed(node.children.values()))
    return nodes, ends


@dataclass(frozen=True)
class Split:
    """A pack in two parts that are read one after the other.

    Attributes:
        prefix: the p nodes up to the last node of each picture; ``None`` if the pack has no picture or is not cut.
        rest: the other n nodes. Its paths hold nodes of the rest only.
        seen: which nodes of the prefix each node of the rest sees, (n, p).
    """

    prefix: Pack | None
    rest: Pack
    seen: np.ndarray


def split(pack: Pack) -> Split:
    """Cut a pack behind its pictures.

    The prefix depends on the pictures and the words before them, not on the questions behind them. Packs about the same picture
    therefore have the same prefix. A pack with a prompt that ends in a picture is not cut.
    """
    n = len(pack)
    pictures = np.concatenate([[0], np.cumsum(pack.is_image)])
    leads = pictures[pack.ends] > pictures[:-1]
    if not leads.any() or any(leads[path[k - 1]] for path, k in zip(pack.paths, pack.prompt_lengths, strict=True)):
        return Split(None, pack, np.zeros((n, 0), dtype=bool))
    prefix, rest = np.flatnonzero(leads), np.flatnonzero(~leads)
    number = np.concatenate([[0], np.cumsum(~leads)])  # how many nodes of the rest precede each node
    depths = [int(leads[path].sum()) for path in pack.paths]
    behind = replace(
        pack,
        tokens=pack.tokens[rest],
        ends=number[pack.ends[rest]],
        positions=pack.positions[:, rest],
        is_image=pack.is_image[rest],
        paths=[number[path[k:]] for path, k in zip(pack.paths, depths, strict=True)],
        prompt_lengths=[length - k for length, k in zip(pack.prompt_lengths, depths, strict=True)],
        image_ids=[],
    )
    before = replace(
        pack,
        tokens=pack.tokens[prefix],
        ends=np.concatenate([[0], np.cumsum(leads)])[pack.ends[prefix]],
        positions=pack.positions[:, prefix],
        is_image=pack.is_image[prefix],
        paths=[np.arange(len(prefix))],
        prompt_lengths=[len(prefix)],
    )
    seen = (prefix <= rest[:, None]) & (rest[:, None] < pack.ends[prefix])
    return Split(before, behind, seen)


@dataclass
class Batch:
    """Packs side by side, padded on the right to ``n`` tokens.

    Attributes:
        tokens: (b, n) token ids, ``pad_token`` at padding.
        attention_mask: (b, 1, n, n) booleans; (b, n) if no pack branches, for causal attention; (1, 1, n, p + n) behind a cached
            prefix of p tokens.
        blocks: the same mask in blocks or ranges, which a CPU uses; ``None`` if no pack branches.
        position_ids: (b, n) for one position axis, (axes, b, n) for several.
        is_image: (b, n), whether each token is a placeholder of a picture.
        in_mean: (b, n), the weight of each token in the sum, over requests, of the mean over a request's tokens; 0 at padding.
        image_ids: the pictures in the order of their placeholders in ``tokens``.
        target_rows, target_columns: row and column of the node that predicts each answer token (the node before it), each (t,).
        targets: the answer tokens, (t,).
        example: the request of each answer token, numbered through the batch, (t,).
        n_examples: the number of requests.
    """

    tokens: Tensor
    attention_mask: Tensor
    blocks: Blocks | Ranges | None
    position_ids: Tensor
    is_image: Tensor
    in_mean: Tensor
    image_ids: list[str]
    target_rows: Tensor
    target_columns: Tensor
    targets: Tensor
    example: Tensor
    n_examples: int

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its tensors on ``device``."""
        moved: dict[str, Any] = {
            k: v.to(device) for k, v in self.__dict__.items() if isinstance(v, (Tensor, Blocks, Ranges))
        }
        return replace(self, **moved)


def collate(packs: Sequence[Pack], *, pad_token: int, seen: np.ndarray | None = None) -> Batch:
    """Lay packs side by side, see :class:`Batch`.

    Args:
        packs: at least one.
        pad_token: id of the token that fills the shorter packs.
        seen: for a single pack that is read behind a cached prefix: which tokens of the prefix each token sees, (n, p).
    """
    n = max(len(p) for p in packs)
    b = len(packs)
    axes = packs[0].positions.shape[0]
    tokens = np.full((b, n), pad_token, dtype=np.int64)
    ends = np.tile(np.arange(1, n + 1), (b, 1))  # padding sees itself only, so that no row is empty
    positions = np.zeros((axes, b, n), dtype=np.int64)
    is_image = np.zeros((b, n), dtype=bool)
    in_mean = np.zeros((b, n), dtype=np.float32)
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    example: list[np.ndarray] = []
    n_examples = 0
    for row, p in enumerate(packs):
        tokens[row, : len(p)] = p.tokens
        ends[row, : len(p)] = p.ends
        positions[:, row, : len(p)] = p.positions
        is_image[row, : len(p)] = p.is_image
        for path, prompt_length in zip(p.paths, p.prompt_lengths, strict=True):
            in_mean[row, path] += 1 / len(path)
            answer = path[prompt_length:]
            rows.append(np.full(len(answer), row))
            columns.append(path[prompt_length - 1 : -1] if len(answer) else answer)
            targets.append(p.tokens[answer])
            example.append(np.full(len(answer), n_examples))
            n_examples += 1
    attention_mask, in_blocks = _masks(packs, ends, seen)
    position_tensor = torch.from_numpy(positions)
    return Batch(
        tokens=torch.from_numpy(tokens),
        attention_mask=attention_mask,
        blocks=in_blocks,
        position_ids=position_tensor[0] if axes == 1 else position_tensor,
        is_image=torch.from_numpy(is_image),
        in_mean=torch.from_numpy(in_mean),
        image_ids=[image for p in packs for image in p.image_ids],
        target_rows=torch.from_numpy(np.concatenate(rows)),
        target_columns=torch.from_numpy(np.concatenate(columns)),
        targets=torch.from_numpy(np.concatenate(targets)),
        example=torch.from_numpy(np.concatenate(example)),
        n_examples=n_examples,
    )


def _masks(packs: Sequence[Pack], ends: np.ndarray, seen: np.ndarray | None) -> tuple[Tensor, Blocks | Ranges | None]:
    """The attention mask of a batch, and the same in blocks, see :class:`Batch`.

    Args:
        packs: the packs of the batch.
        ends: their ``ends``, padded, (b, n).
        seen: see :func:`collate`.
    """
    n = ends.shape[1]
    if seen is None and not any(p.branches for p in packs):
        lengths = torch.tensor([len(p) for p in packs])
        return (torch.arange(n)[None] < lengths[:, None]).long(), None
    i = torch.arange(n)
    mask = (i[None, :] <= i[:, None])[None] & (i[None, :, None] < torch.from_numpy(ends)[:, None, :])
    if seen is None:
        return mask[:, None], blocks(ends)
    mask = torch.cat([torch.from_numpy(seen)[None], mask], dim=2)
    # Computing the hidden keys of a short pack costs less than gathering the keys of each block.
    if mask.shape[2] <= _SHORT:
        return mask[:, None], None
    long = seen.shape[1] > _SHORT or not any(p.branches for p in packs)
    return mask[:, None], (ranges(ends[0], seen) if long else None) or blocks(ends, seen[None])
