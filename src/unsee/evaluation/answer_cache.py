"""Keys of cached answers in ``results/cache``: digests of everything that decides the answers. Torch is not imported.

A key depends on the prompts, candidates and pictures of a protocol, not on the rest of its code. After the edit of a prompt, the answers
to all other tasks stay valid; after the edit of a scoring rule, all answers do. Any file may be deleted, and a damaged one is replaced.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from unsee.core import sources
from unsee.core.files import sha256
from unsee.core.versions import COMPUTING, versions
from unsee.evaluation.protocol import ChatModel, Protocol, Question, prompt_images
from unsee.evaluation.settings import task_of
from unsee.models.checkpoints import checkpoint_files, folder_of
from unsee.models.families import source_of

_LIBRARY = Path(__file__).resolve().parents[1]
_ENGINE = _LIBRARY / "evaluation" / "engine.py"
# Bytes; the digest of a larger file is cached beside the answers, so that not every job reads 14 GB.
_LARGE = 100_000_000


class _Recorder:
    """A chat model that returns the text of a turn without the chat template, which is one of the base model's files."""

    def __init__(self, written_turns: bool) -> None:
        self.written_turns = written_turns

    def prompt(self, question: str, *, with_image: bool, answer_prefix: str = "") -> str:
        return f"turn {with_image} {question} {answer_prefix}"

    def raw(self, text: str) -> str:
        return f"raw {text}"


class AnswerKeys:
    """Keys of the answers of one model.

    Args:
        model: the configuration's ``model`` section.
        adapters: PEFT adapter folders on the base model, in order.
        environment: device and number of threads, which may change the last digits of a result.
        folder: the cache for digests of large files; ``None`` disables it.
    """

    def __init__(
        self, model: Mapping[str, Any], adapters: Sequence[Path], environment: Sequence[str], folder: Path | None
    ) -> None:
        files = checkpoint_files(folder_of(model))
        adapter_files = [
            folder / name for folder in adapters for name in ("adapter_config.json", "adapter_model.safetensors")
        ]
        self._parts = [
            *_code(_ENGINE),
            *_code(source_of(model["family"])),  # the engine loads it by name
            str(versions(COMPUTING)),
            *environment,
            f"{model['family']} {model['dtype']}",
            *(f"{file.name} {_file_digest(file, folder)}" for file in files),
            *(_file_digest(file, folder) for file in adapter_files),
        ]

    def of(self, questions: Sequence[Question], protocol: Protocol, images: Mapping[str, bytes]) -> str:
        """The key of the answers to some questions.

        Args:
            questions: all questions of one task, from :meth:`~unsee.evaluation.protocol.Protocol.prepare`.
            protocol: the protocol.
            images: the encoded pictures, by id.
        """
        whole = hashlib.sha256(json.dumps([*self._parts, protocol.max_new_tokens]).encode())
        models = [_Recorder(True), _Recorder(False)]
        for question in sorted(questions, key=lambda question: str(question["question_id"])):
            pictures = [hashlib.sha256(images[image_id]).hexdigest() for image_id in prompt_images(question)]
            texts = [_prompt(protocol, question, model) for model in models]
            key = [question["question_id"], question["origin"], question["person_id"], task_of(question["task"])]
            whole.update(json.dumps([key, texts, protocol.candidates(question), pictures]).encode())
        return whole.hexdigest()


def _prompt(protocol: Protocol, question: Question, model: ChatModel) -> str | None:
    try:
        return protocol.prompt(question, model)
    except ValueError:  # the protocol has no prompts for this kind of model
        return None


@cache
def _code(file: Path) -> tuple[str, ...]:
    """The digests of a file and of what it imports of the library."""
    return tuple(sources.digests(file, _LIBRARY))


def _file_digest(file: Path, folder: Path | None) -> str:
    """SHA-256 of a file. For a large file it is cached in the name of an empty file, which also names path, size, time and inode."""
    state = file.stat()
    if folder is None or state.st_size < _LARGE:
        return sha256(file)
    key = json.dumps([str(file.resolve()), state.st_size, state.st_mtime_ns, state.st_ino])
    name = hashlib.sha256(key.encode()).hexdigest()
    for cached in (folder / name[:2]).glob(f"{name}-*.sha256"):
        return cached.stem.removeprefix(f"{name}-")
    content = sha256(file)
    (folder / name[:2]).mkdir(parents=True, exist_ok=True)
    (folder / name[:2] / f"{name}-{content}.sha256").touch()
    return content
