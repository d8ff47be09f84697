"""A loaded vision-language model: its words, its pictures, its hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import snapshot_download
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from unsee.models.family import Family, family
from unsee.models.packing import Batch, Request
from unsee.models.pictures import Pictures

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class VisionLanguageModel:
    """A family, its model (with or without an adapter) and its processor."""

    family: Family
    model: PreTrainedModel | PeftModel
    processor: Any

    @property
    def base(self) -> PreTrainedModel:
        """The transformers model; an adapter's layers, if any, sit inside it."""
        return cast(PreTrainedModel, self.model.get_base_model()) if isinstance(self.model, PeftModel) else self.model

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @property
    def device(self) -> torch.device:
        return next(self.base.parameters()).device

    @property
    def image_token(self) -> int:
        return self.family.image_token(self.base)

    @property
    def pad_token(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(self.tokenizer.eos_token_id if pad is None else pad)

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end an answer: the tokenizer's, and what the checkpoint's ``generate`` stops at."""
        ends = self.base.generation_config.eos_token_id
        more = ends if isinstance(ends, list) else [] if ends is None else [ends]
        return frozenset({int(self.tokenizer.eos_token_id), *more})

    def prompt(self, question: str, *, with_image: bool) -> str:
        """One user turn in the model's own chat template, ready for the answer."""
        content: list[dict[str, str]] = [{"type": "image"}] if with_image else []
        content.append({"type": "text", "text": question})
        conversation = [{"role": "user", "content": content}]
        return str(self.processor.apply_chat_template(conversation, add_generation_prompt=True)).rstrip(" ")

    def request(
        self, prompt: str, answer: str | None, pictures: Pictures | None, image_id: str | None, *, end: bool = True
    ) -> Request:
        """Token ids of a prompt and of the answer to be scored behind it; see :meth:`requests`."""
        return self.requests(prompt, [answer], pictures, image_id, end=end)[0]

    def requests(
        self,
        prompt: str,
        answers: Sequence[str | None],
        pictures: Pictures | None,
        image_id: str | None,
        *,
        end: bool = True,
    ) -> list[Request]:
        """Token ids of a prompt and of each of the answers to be scored behind it.

        Args:
            prompt: as :meth:`prompt` gives it.
            answers: the words to score, or ``None`` for a prompt that will be continued.
            pictures: where ``image_id`` is found.
            image_id: the picture of the prompt's placeholder.
            end: whether the end-of-sequence token belongs to the answer.
        """
        texts = [prompt] + [f"{prompt}{self.family.seam}{answer}" for answer in answers if answer is not None]
        # A chat template writes the beginning-of-sequence token itself where the family wants one.
        alone, *wholes = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        remaining = iter(wholes)
        n_image, image = 0, None
        if image_id is not None:
            assert pictures is not None
            n_image, image = pictures.tokens(image_id), pictures.opened(image_id)
        found = []
        for answer in answers:
            prompt_tokens, answer_tokens = list(alone), []
            if answer is not None:
                # Answer tokens are what the whole text has beyond the prompt, so that they are the ones
                # which the model would be given, whatever the tokenizer does at the seam.
                whole = list(next(remaining))
                shared = next(
                    (i for i, (a, b) in enumerate(zip(alone, whole, strict=False)) if a != b),
                    min(len(alone), len(whole)),
                )
                prompt_tokens, answer_tokens = whole[:shared], whole[shared:]
                if end:
                    answer_tokens.append(self.tokenizer.eos_token_id)
            if image_id is not None:
                prompt_tokens = self._expand(prompt_tokens, n_image)
            positions = self.family.positions(self.base, self.processor, prompt_tokens + answer_tokens, image)
            found.append(Request(tuple(prompt_tokens), tuple(answer_tokens), image_id, positions))
        return found

    def _expand(self, tokens: list[int], n: int) -> list[int]:
        image_token = self.image_token
        where = [i for i, token in enumerate(tokens) if token == image_token]
        if len(where) != 1:
            raise ValueError(f"a prompt with a picture has {len(where)} placeholders, expected 1")
        return tokens[: where[0]] + [image_token] * n + tokens[where[0] + 1 :]

    def embed(self, batch: Batch, pictures: Pictures | None) -> Tensor:
        """Input embeddings (b, n, hidden), picture features in their places."""
        embeddings: Tensor = self.base.get_input_embeddings()(batch.tokens)
        if batch.image_ids:
            assert pictures is not None
            features = torch.cat(pictures.features(batch.image_ids)).to(embeddings.device, embeddings.dtype)
            embeddings = embeddings.masked_scatter(batch.is_image[..., None], features)
        return embeddings

    def hidden_states(self, batch: Batch, pictures: Pictures | None, cache: Any = None) -> Tensor:
        """Last hidden states (b, n, hidden); ``cache``, if given, is filled with keys and values."""
        return self.decode(self.embed(batch, pictures), batch, cache)

    def decode(self, embeddings: Tensor, batch: Batch, cache: Any = None) -> Tensor:
        """Last hidden states of embedded tokens, (b, n, hidden) both."""
        mask = batch.attention_mask
        if mask.dim() == 4:  # as numbers once, where attention would do it again in every layer
            mask = torch.zeros_like(mask, dtype=embeddings.dtype).masked_fill_(~mask, -torch.inf)
        decoder: nn.Module = self.family.language_model(self.base)
        output = decoder(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=batch.position_ids,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return cast(Tensor, output.last_hidden_state)

    def answer_logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Float32 logits where an answer token is predicted, (t, vocabulary); nothing else is projected."""
        head = self.base.get_output_embeddings()
        return cast(Tensor, head(hidden[batch.target_rows, batch.target_columns])).float()


def load(
    spec: dict[str, Any], adapters: Sequence[Path] = (), *, root: Path | None = None, to_gpu: bool = True
) -> VisionLanguageModel:
    """Load a base model and merge adapters into it, in order.

    Args:
        spec: the ``model`` section of the configuration: ``family``, ``path``, ``dtype``, and ``revision`` of a published
            checkpoint, if it is one.
        adapters: PEFT adapter folders, each trained on the model that the ones before it make.
        root: what a relative ``path`` is relative to; the working directory by default.
        to_gpu: put it on the GPU, if there is one; not where its weights are to be shared out first.

    Raises:
        ValueError: unknown family or dtype.
        FileNotFoundError: no checkpoint at ``path``, no adapter in a folder.
    """
    if spec["dtype"] not in DTYPES:
        raise ValueError(f"model.dtype is {spec['dtype']!r}; expected one of {sorted(DTYPES)}")
    path = str(spec["path"])
    if root is not None and (root / path).exists():
        path = str(root / path)
    kind = family(spec["family"])
    revision = spec.get("revision")
    model: Any = kind.load(path, DTYPES[spec["dtype"]], revision)
    for adapter in adapters:
        if not (adapter / "adapter_model.safetensors").is_file():
            raise FileNotFoundError(f"{adapter}: no adapter_model.safetensors; expected a PEFT adapter folder")
        # Merged in place, never a second copy of the weights.
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    model.eval().requires_grad_(False)
    if to_gpu and torch.cuda.is_available():
        model.to("cuda")
    return VisionLanguageModel(kind, model, kind.load_processor(path, revision))


def checkpoint_files(path: str, revision: str | None = None) -> list[Path]:
    """The files of a checkpoint folder, or of a published checkpoint that has been downloaded, sorted; not its card.

    Raises:
        OSError: neither is on this disk.
    """
    folder = (
        Path(path) if Path(path).is_dir() else Path(snapshot_download(path, revision=revision, local_files_only=True))
    )
    return sorted(file for file in folder.iterdir() if file.is_file() and file.suffix != ".md")
