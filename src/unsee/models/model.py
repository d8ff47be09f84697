"""A loaded vision-language model: tokens, hidden states and logits; loading, and merging adapters."""

from __future__ import annotations

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

from unsee.models import attention, checkpoints, stored
from unsee.models.families import load_family
from unsee.models.families.base import Family
from unsee.models.gates import Gates
from unsee.models.half import HalfLinear, compute_in_float32
from unsee.models.packing import Batch, Request
from unsee.models.pictures import Pictures

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class VisionLanguageModel:
    """A model with its family and its processor; the model may have an adapter, and a text in front of every question."""

    family: Family
    model: PreTrainedModel | PeftModel
    processor: Any
    instruction: str = ""

    @property
    def base(self) -> PreTrainedModel:
        """The transformers model, which contains the layers of an adapter, if there is one."""
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
        """Tokens that end an answer: those of the tokenizer and of the checkpoint's generation settings."""
        ends = self.base.generation_config.eos_token_id
        more = ends if isinstance(ends, list) else [] if ends is None else [ends]
        return frozenset({int(self.tokenizer.eos_token_id), *more})

    @property
    def context(self) -> int:
        """The most tokens of a sequence, as in the decoder's configuration."""
        return int(self.base.config.get_text_config().max_position_embeddings)

    @property
    def written_turns(self) -> bool:
        """See :class:`~unsee.models.families.base.Family`."""
        return self.family.written_turns

    def prompt(self, question: str, *, with_image: bool, answer_prefix: str = "") -> str:
        """One user turn in the model's chat template, up to where the answer begins or, with a prefix, goes on."""
        content: list[dict[str, str]] = [{"type": "image"}] if with_image else []
        content.append({"type": "text", "text": f"{self.instruction} {question}" if self.instruction else question})
        conversation = [{"role": "user", "content": content}]
        prompt = str(self.processor.apply_chat_template(conversation, add_generation_prompt=True)).rstrip(" ")
        prompt = f"{self._begin(prompt)}{prompt}"
        return f"{prompt}{self._seam(prompt)}{answer_prefix}" if answer_prefix else prompt

    def _seam(self, prompt: str) -> str:
        """The text between a prompt and its answer: the family's, and a space behind the first words of an answer."""
        return self.family.seam or ("" if prompt[-1:].isspace() else " ")

    def raw(self, text: str) -> str:
        """A complete prompt, with the beginning-of-sequence token in front if the model has one and the prompt lacks it.

        Some chat templates write that token (the tiny model's), others leave it to the tokenizer (LLaVA-1.5's).
        """
        begin, first = self._begin(text), self.tokenizer.bos_token or ""
        if self.instruction:
            begin, text = first, f"{self.instruction} {text.removeprefix(first)}"
        return f"{begin}{text}"

    def _begin(self, prompt: str) -> str:
        """The beginning-of-sequence token that a prompt lacks, or an empty text."""
        first = self.tokenizer.bos_token
        return "" if not first or prompt.startswith(first) else str(first)

    def request(
        self, prompt: str, answer: str | None, pictures: Pictures | None, image_id: str | None, *, end: bool = True
    ) -> Request:
        """The request of a prompt with at most one picture and of its answer; see :meth:`requests`."""
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
        """One request per answer: the token ids of the prompt and of the answer to be scored after it.

        Args:
            prompt: a prompt from :meth:`prompt` or :meth:`raw`.
            answers: the texts to score; ``None`` stands for a prompt that will be continued.
            pictures: holds the pictures of ``image_ids``.
            image_ids: the pictures of the prompt's placeholders, in order; if empty, placeholders are ordinary tokens.
            end: whether an answer ends in the end-of-sequence token.

        Raises:
            ValueError: the numbers of placeholders and pictures differ.
        """
        seam = self._seam(prompt)
        texts = [prompt] + [f"{prompt}{seam}{answer}" for answer in answers if answer is not None]
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
                # The answer's tokens are those of the whole text behind the prompt's. They are then the tokens that the model
                # would read, also if the tokenizer joins characters of prompt and answer.
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
        """Check that a prompt fits the model's context with each of its answers.

        Raises:
            ValueError: it does not; the message begins with ``name``.
        """
        counts = [pictures.tokens(image_id) for image_id in image_ids]
        # A token has at least one byte, so most prompts are known to fit before they are tokenised.
        if len(prompt.encode()) + max(len((answer or "").encode()) for answer in answers) + sum(counts) < self.context:
            return
        n = max(len(request.tokens) for request in self.requests(prompt, answers, pictures, image_ids, end=False))
        if n > self.context:
            raise ValueError(
                f"{name}: its prompt has {n} tokens, {sum(counts)} of them for its {len(counts)} pictures; the model takes "
                f"{self.context}: expected fewer examples (evaluation.protocol), or smaller pictures"
            )

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, which may begin with the beginning-of-sequence token.

        That token is added as an id, not tokenised, because some tokenizers split the first word differently behind it.
        """
        first = self.tokenizer.bos_token
        begins = [bool(first) and text.startswith(first) for text in texts]
        bare = [text.removeprefix(first) if begin else text for begin, text in zip(begins, texts, strict=True)]
        token_ids = self.tokenizer(bare, add_special_tokens=False)["input_ids"]
        bos = self.tokenizer.bos_token_id
        return [[bos, *ids] if begin else list(ids) for begin, ids in zip(begins, token_ids, strict=True)]

    def _expand(self, tokens: list[int], counts: Sequence[int]) -> tuple[list[int], list[int]]:
        """Repeat each placeholder as often as its picture has features; also returns the first index of each picture."""
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
        """Input embeddings, (b, n, hidden), with picture features at the placeholders."""
        embeddings: Tensor = self.base.get_input_embeddings()(batch.tokens)
        if batch.image_ids:
            assert pictures is not None
            features = torch.cat(pictures.features(batch.image_ids)).to(embeddings.device, embeddings.dtype)
            embeddings = embeddings.masked_scatter(batch.is_image[..., None], features)
        return embeddings

    def hidden_states(self, batch: Batch, pictures: Pictures | None, cache: Any = None) -> Tensor:
        """Last hidden states, (b, n, hidden); keys and values are written to ``cache``, if there is one."""
        return self.decode(self.embed(batch, pictures), batch, cache)

    def decode(self, embeddings: Tensor, batch: Batch, cache: Any = None) -> Tensor:
        """Last hidden states of embedded tokens, (b, n, hidden) both."""
        mask, how = batch.attention_mask, {}
        if batch.blocks is not None and embeddings.device.type == "cpu":
            how["blocks"] = batch.blocks
        elif mask.dim() == 4:  # converted once here, not in every layer
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

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The blocks of the decoder, in order."""
        return cast(Sequence[nn.Module], self.family.language_model(self.base).layers)

    def answer_logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Float32 logits at the positions that predict answer tokens, (t, vocabulary); no other position is projected."""
        head = self.base.get_output_embeddings()
        return cast(Tensor, head(hidden[batch.target_rows, batch.target_columns])).float()


def load(
    spec: dict[str, Any], adapters: Sequence[Path] = (), *, root: Path | None = None, to_gpu: bool = True
) -> VisionLanguageModel:
    """Load a base model and merge the results of runs into it, in order: adapters, gates and instructions.

    The model computes in float32, also if ``dtype`` stores its weights in half precision (:mod:`unsee.models.half`).

    Args:
        spec: the ``model`` section of the configuration: ``family``, ``path``, ``dtype``; for a published checkpoint also the keys
            that :func:`~unsee.models.checkpoints.folder_of` needs.
        adapters: the folders ``adapter`` of runs, see :mod:`unsee.models.stored`, each made on the base model with those before it.
        root: the folder that a relative ``path`` starts from; the working directory by default.
        to_gpu: whether to move the model to the GPU, if there is one; false if its weights are sharded first.

    Raises:
        ValueError: unknown family or dtype.
        CheckpointError: the checkpoint is incomplete, damaged, of another family, or has values that are not finite.
        FetchError: a published checkpoint is not on this machine.
        FileNotFoundError: a folder has no adapter.
        AdapterError: the digest of an adapter differs from the one in the manifest beside it.
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
    instruction = " ".join(filter(None, map(stored.instruction_of, adapters)))
    return VisionLanguageModel(kind, model, kind.load_processor(str(path)), instruction)


@torch.no_grad()
def merge(model: Any, adapter: Path, scale: float = 1.0, *, done: float = 0.0) -> Any:
    """Add an adapter's update, times ``scale``, to a model in place; no second copy of the model is made.

    The update is added to float32 weights. It is kept beside weights in half precision, which would round it away.
    Gates multiply instead, by their power of ``scale`` (:mod:`unsee.models.gates`). An instruction changes no weight.

    Args:
        model: a transformers model.
        adapter: the folder of a run's result: a PEFT adapter with low-rank matrices, or with whole modules that replace those of the
            model; or another kind of :mod:`unsee.models.stored`.
        scale: the factor of the update; 1 gives the trained adapter.
        done: the factor of this update that the model already has.

    Raises:
        FileNotFoundError: the folder has no adapter.
        AdapterError: the digest of the adapter differs from the one in the manifest beside it.
        ValueError: gates do not fit the model, or the scale of an instruction is not 1.
    """
    if not (adapter / stored.WEIGHTS).is_file():
        raise FileNotFoundError(
            f"{adapter}: no {stored.WEIGHTS}; expected the folder of a run's adapter, gates or instruction"
        )
    stored.check(adapter)
    kind = stored.config_of(adapter)["kind"]
    if kind == "gates":
        Gates.read(adapter).merge(model, scale - done)
    elif kind == "instruction" and (scale, done) != (1, 0):
        raise ValueError(f"{adapter}: an instruction has no part; expected scale 1, not {scale}")
    if kind != "adapter":
        return model
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
