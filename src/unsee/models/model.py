"""A loaded vision-language model: its words, its pictures, its hidden states."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftConfig, PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from transformers import PreTrainedModel

from unsee.core.failures import JobError
from unsee.core.files import sha256
from unsee.models import attention, checkpoints
from unsee.models.families import load_family
from unsee.models.families.base import Family
from unsee.models.half import HalfLinear, compute_in_float32
from unsee.models.packing import Batch, Request
from unsee.models.pictures import Pictures

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class AdapterError(JobError):
    """An adapter is not the one that was made."""


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

    @property
    def context(self) -> int:
        """How many tokens the decoder was made for."""
        return int(self.base.config.get_text_config().max_position_embeddings)

    @property
    def written_turns(self) -> bool:
        """See :class:`~unsee.models.families.base.Family`."""
        return self.family.written_turns

    def prompt(self, question: str, *, with_image: bool) -> str:
        """One user turn in the model's own chat template, ready for the answer."""
        content: list[dict[str, str]] = [{"type": "image"}] if with_image else []
        content.append({"type": "text", "text": question})
        conversation = [{"role": "user", "content": content}]
        return self.raw(str(self.processor.apply_chat_template(conversation, add_generation_prompt=True)).rstrip(" "))

    def raw(self, text: str) -> str:
        """A whole prompt as it stands, behind the beginning-of-sequence token, if the model has one and it is not there.

        Some chat templates write that token (the tiny model's), others leave it to the tokenizer (LLaVA-1.5's).
        """
        first = self.tokenizer.bos_token
        return text if not first or text.startswith(first) else f"{first}{text}"

    def request(
        self, prompt: str, answer: str | None, pictures: Pictures | None, image_id: str | None, *, end: bool = True
    ) -> Request:
        """Token ids of a prompt with at most one picture, and of the answer to be scored behind it; see :meth:`requests`."""
        return self.requests(prompt, [answer], pictures, [] if image_id is None else [image_id], end=end)[0]

    def requests(
        self,
        prompt: str,
        answers: Sequence[str | None],
        pictures: Pictures | None,
        image_ids: Sequence[str],
        *,
        end: bool = True,
    ) -> list[Request]:
        """Token ids of a prompt and of each of the answers to be scored behind it.

        Args:
            prompt: as :meth:`prompt` or :meth:`raw` gives it.
            answers: the words to score, or ``None`` for a prompt that will be continued.
            pictures: where ``image_ids`` are found.
            image_ids: the pictures of the prompt's placeholders, in order; with none, placeholders stay as they are.
            end: whether the end-of-sequence token belongs to the answer.

        Raises:
            ValueError: another number of placeholders than of pictures.
        """
        texts = [prompt] + [f"{prompt}{self.family.seam}{answer}" for answer in answers if answer is not None]
        alone, *wholes = self._tokens(texts)
        remaining = iter(wholes)
        counts, sizes = [], []
        if image_ids:
            assert pictures is not None
            counts = [pictures.tokens(image_id) for image_id in image_ids]
            sizes = [pictures.size(image_id) for image_id in image_ids]
        requests = []
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
            starts: list[int] = []
            if image_ids:
                prompt_tokens, starts = self._expand(prompt_tokens, counts)
            positions = self.family.positions(self.base, self.processor, prompt_tokens + answer_tokens, sizes)
            images = tuple(zip(image_ids, starts, strict=True))
            requests.append(Request(tuple(prompt_tokens), tuple(answer_tokens), images, positions))
        return requests

    def check_length(
        self, name: str, prompt: str, answers: Sequence[str | None], pictures: Pictures, image_ids: Sequence[str]
    ) -> None:
        """Refuse what is longer than the model's context.

        Raises:
            ValueError: it is; the message begins with ``name``.
        """
        counts = [pictures.tokens(image_id) for image_id in image_ids]
        # A token is a byte or more, so that most need not be tokenised to know.
        if len(prompt.encode()) + max(len((answer or "").encode()) for answer in answers) + sum(counts) < self.context:
            return
        n = max(len(request.tokens) for request in self.requests(prompt, answers, pictures, image_ids, end=False))
        if n > self.context:
            raise ValueError(
                f"{name}: its prompt has {n} tokens, {sum(counts)} of them for its {len(counts)} pictures; the model takes "
                f"{self.context}: expected fewer examples (evaluation.protocol), or smaller pictures"
            )

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts that write their beginning-of-sequence token themselves.

        It is put in front rather than tokenised, for some tokenizers split the first word another way behind it.
        """
        first = self.tokenizer.bos_token
        begins = [bool(first) and text.startswith(first) for text in texts]
        bare = [text.removeprefix(first) if begin else text for begin, text in zip(begins, texts, strict=True)]
        token_ids = self.tokenizer(bare, add_special_tokens=False)["input_ids"]
        bos = self.tokenizer.bos_token_id
        return [[bos, *ids] if begin else list(ids) for begin, ids in zip(begins, token_ids, strict=True)]

    def _expand(self, tokens: list[int], counts: Sequence[int]) -> tuple[list[int], list[int]]:
        """The tokens with as many placeholders a picture as it takes, and where each picture begins."""
        image_token, expanded, starts = self.image_token, list[int](), list[int]()
        placeholders = tokens.count(image_token)
        if placeholders != len(counts):
            raise ValueError(f"a prompt with {len(counts)} pictures has {placeholders} placeholders; expected as many")
        for token in tokens:
            if token == image_token:
                starts.append(len(expanded))
                expanded += [image_token] * counts[len(starts) - 1]
            else:
                expanded.append(token)
        return expanded, starts

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
        mask, how = batch.attention_mask, {}
        if batch.blocks is not None and embeddings.device.type == "cpu":
            how["blocks"] = batch.blocks
        elif mask.dim() == 4:  # as numbers once, where attention would do it again in every layer
            mask = torch.zeros_like(mask, dtype=embeddings.dtype).masked_fill_(~mask, -torch.inf)
        decoder: nn.Module = self.family.language_model(self.base)
        output = decoder(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=batch.position_ids,
            past_key_values=cache,
            use_cache=cache is not None,
            **how,
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

    Whatever ``dtype`` the weights are stored in, the model computes in float32 (:mod:`unsee.models.half`).

    Args:
        spec: the ``model`` section of the configuration: ``family``, ``path``, ``dtype``; of a published checkpoint also what
            :func:`~unsee.models.checkpoints.folder_of` needs.
        adapters: PEFT adapter folders, each trained on the model that the ones before it make.
        root: what a relative ``path`` is relative to; the working directory by default.
        to_gpu: put it on the GPU, if there is one; not where its weights are to be shared out first.

    Raises:
        ValueError: unknown family or dtype.
        CheckpointError: the checkpoint lacks something, or is another family's, damaged or not finite.
        FetchError: a published checkpoint is not on this machine.
        FileNotFoundError: no adapter in a folder.
        AdapterError: an adapter's weights are not those that the manifest beside it names.
    """
    if spec["dtype"] not in DTYPES:
        raise ValueError(f"model.dtype is {spec['dtype']!r}; expected one of {sorted(DTYPES)}")
    kind = load_family(spec["family"])
    path = checkpoints.folder_of(spec, root)
    checkpoints.check(path, kind.name)
    model: Any = kind.load(str(path), DTYPES[spec["dtype"]])
    if spec["dtype"] != "float32":
        compute_in_float32(model)
    for adapter in adapters:
        model = merge(model, adapter)
    model.eval().requires_grad_(False)
    decoder: Any = kind.language_model(model)
    decoder.set_attn_implementation(attention.NAME)
    if to_gpu and torch.cuda.is_available():
        model.to("cuda")
    return VisionLanguageModel(kind, model, kind.load_processor(str(path)))


@torch.no_grad()
def merge(model: Any, adapter: Path, scale: float = 1.0, *, done: float = 0.0) -> Any:
    """The model with an adapter's update, times ``scale``; in place, never a second copy of the model.

    The update is added to float32 weights. Beside weights in half precision, which would round it away, it is kept as it is.

    Args:
        model: a transformers model that has the update times ``done`` already.
        adapter: a PEFT adapter folder: low-rank matrices, or whole modules that take the place of the model's.
        scale: 1 for the adapter as it was trained.

    Raises:
        FileNotFoundError: no adapter in the folder.
        AdapterError: its weights are not those that the manifest beside it names.
    """
    if not (adapter / "adapter_model.safetensors").is_file():
        raise FileNotFoundError(f"{adapter}: no adapter_model.safetensors; expected a PEFT adapter folder")
    _check_adapter(adapter)
    replaced = PeftConfig.from_pretrained(str(adapter)).modules_to_save or []
    for module in map(model.get_submodule, replaced):
        if isinstance(module, HalfLinear):
            module.widen()
    wrapped = PeftModel.from_pretrained(model, str(adapter))
    beside = False
    for module in wrapped.modules():
        if isinstance(module, LoraLayer):
            module.scaling = {name: value * (scale - done) for name, value in module.scaling.items()}
            if isinstance(layer := module.get_base_layer(), HalfLinear):
                beside = True
                for name, scaling in module.scaling.items():
                    down, up = (cast(Tensor, part[name].weight) for part in (module.lora_A, module.lora_B))
                    layer.add(down, up * scaling)
        elif isinstance(module, ModulesToSaveWrapper):
            before, after = module.original_module, module.modules_to_save[module.active_adapters[0]]
            for old, new in zip(before.parameters(), after.parameters(), strict=True):
                new.copy_(torch.lerp(old, new, (scale - done) / (1 - done)))
    return wrapped.unload() if beside else wrapped.merge_and_unload()


def _check_adapter(adapter: Path) -> None:
    """Compare an adapter with the manifest beside its folder, if there is one."""
    manifest = adapter.parent / "manifest.json"
    if not manifest.is_file():
        return
    expected = json.loads(manifest.read_text(encoding="utf-8"))["adapter_sha256"]
    digest = sha256(adapter / "adapter_model.safetensors")
    if digest != expected:
        raise AdapterError(
            f"the adapter {adapter} is damaged: its weights have sha256 {digest[:12]}..., {manifest} says {expected[:12]}...",
            f"delete {adapter} and give the same command again: it is made anew",
        )
