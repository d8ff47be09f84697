"""What a family says of its model, against transformers' own processor, positions and modules."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from unsee.evaluation import prompts
from unsee.models.families import load_family
from unsee.models.model import VisionLanguageModel, load
from unsee.models.packing import Request, collate, pack
from unsee.models.pictures import Pictures

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def vlm(family_spec: dict[str, Any]) -> VisionLanguageModel:
    return load(family_spec)


@pytest.fixture(scope="module")
def qwen(random_qwen2_vl: Path) -> VisionLanguageModel:
    return load({"family": "qwen2_vl", "path": str(random_qwen2_vl), "dtype": "float32"})


def picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(width * height).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


TASKS = {
    "classification": prompts.render("classification", "What is her job?", ["Baker", "Pilot"], "letter"),
    "cloze": prompts.render("cloze", "She was born in __."),
    "generation": prompts.render("generation", "Describe her work."),
}
LLAVA = {True: "<s>USER: <image>\n{} ASSISTANT:", False: "<s>USER: {} ASSISTANT:"}
TURNS = {
    "llava": LLAVA,
    "llava_next": LLAVA,
    "qwen2_vl": {
        with_image: "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"{'<|vision_start|><|image_pad|><|vision_end|>' if with_image else ''}{{}}<|im_end|>\n<|im_start|>assistant\n"
        for with_image in (True, False)
    },
}
WORDS = {
    "classification": "What is her job?\nA: Baker\nB: Pilot\nJust give ONE letter representing the answer directly.",
    "cloze": "She was born in [Blank].\nPlease **ONLY** provide the correct answer that should replace the [Blank].",
    "generation": "Describe her work.\n"
    "Answer the question based on your trained knowledge in one sentence accurately in ENGLISH.",
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("with_image", [True, False])
def test_prompts_are_these(vlm: VisionLanguageModel, task: str, with_image: bool) -> None:
    expected = TURNS[vlm.family.name][with_image].format(WORDS[task])
    assert vlm.prompt(TASKS[task], with_image=with_image) == expected


@pytest.mark.parametrize("size", [(96, 96), (100, 60), (52, 96), (300, 40), (9, 9), (640, 480)])
def test_a_pictures_tokens_are_the_processors(vlm: VisionLanguageModel, size: tuple[int, int]) -> None:
    image = picture(*size)
    prompt = vlm.prompt("Who?", with_image=True)
    theirs = vlm.processor(text=prompt, images=[image], return_tensors="pt", add_special_tokens=False)["input_ids"][0]
    assert vlm.family.image_tokens(vlm.base, vlm.processor, image) == int((theirs == vlm.image_token).sum())
    pixels = vlm.family.preprocess(vlm.processor, [image, image])
    (first, second) = vlm.family.image_features(vlm.base, pixels)
    assert len(first) == vlm.family.image_tokens(vlm.base, vlm.processor, image)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("size", [(96, 96), (100, 60), (52, 96), (300, 40)])
def test_positions_are_transformers_own(qwen: VisionLanguageModel, size: tuple[int, int]) -> None:
    image = picture(*size)
    inputs = qwen.processor(text=f"{qwen.prompt('Who?', with_image=True)}Me", images=[image], return_tensors="pt")
    theirs, _ = qwen.base.model.get_rope_index(
        inputs["input_ids"], inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
    )
    ours = qwen.family.positions(qwen.base, qwen.processor, inputs["input_ids"][0].tolist(), [image])
    assert ours is not None and ours.tolist() == theirs[:, 0].tolist()


def test_positions_of_several_pictures_are_transformers_own(qwen: VisionLanguageModel) -> None:
    shown = [picture(100, 60), picture(96, 96), picture(96, 96), picture(52, 96)]
    others = "".join(" and <|vision_start|><|image_pad|><|vision_end|>" for _ in shown[1:])
    text = f"{qwen.prompt('Who?', with_image=True)}Me".replace("Who?", others)
    inputs = qwen.processor(text=text, images=shown, return_tensors="pt")
    theirs, _ = qwen.base.model.get_rope_index(
        inputs["input_ids"], inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
    )
    ours = qwen.family.positions(qwen.base, qwen.processor, inputs["input_ids"][0].tolist(), shown)
    assert ours is not None and ours.tolist() == theirs[:, 0].tolist()


def test_positions_by_hand(qwen: VisionLanguageModel) -> None:
    image = qwen.image_token
    # 100 x 60 pixels are 2 rows of 4 tokens.
    positions = qwen.family.positions(qwen.base, qwen.processor, [7, 8, *[image] * 8, 9, 10], [picture(100, 60)])
    assert positions is not None and positions.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 6, 7],
        [0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 6, 7],
        [0, 1, 2, 3, 4, 5, 2, 3, 4, 5, 6, 7],
    ]


def test_positions_matter_to_this_model(qwen: VisionLanguageModel) -> None:
    """Else the tests of packs and of generation would pass with wrong ones."""
    pictures = Pictures(qwen.family, qwen.base, qwen.processor, [("a", _png(picture(100, 60)))])
    request = qwen.request(qwen.prompt("Who?", with_image=True), "Me", pictures, "a")
    flat = Request(request.prompt, request.answer, request.images, np.tile(np.arange(len(request.tokens)), (3, 1)))
    with torch.no_grad():
        one, other = (
            qwen.hidden_states(collate([pack([r], qwen.image_token)], pad_token=0), pictures) for r in (request, flat)
        )
    assert (one - other).abs().max() > 0.05


def test_patterns_name_the_linear_modules(vlm: VisionLanguageModel) -> None:
    linear = {name for name, module in vlm.base.named_modules() if isinstance(module, nn.Linear)} - {"lm_head"}
    language = {name for name in linear if name.startswith("model.language_model.")}

    def matched(pattern: str) -> set[str]:
        return {name for name, _ in vlm.base.named_modules() if re.fullmatch(pattern, name)}

    assert matched(vlm.family.linear_pattern("language")) == language
    assert matched(vlm.family.linear_pattern("vision")) == linear - language
    assert matched(vlm.family.linear_pattern("both")) == linear
    assert matched(vlm.family.feed_forward_pattern()) == {name for name in language if ".mlp." in name}


def test_a_letter_is_one_token_of_the_shipped_model() -> None:
    """Else one letter would be likelier than another for its length alone."""
    vlm = load({"family": "llava", "path": str(ROOT / "src/unsee/data/tiny-llava"), "dtype": "float32"})
    prompt = vlm.prompt(TASKS["classification"], with_image=False)
    answers = [vlm.request(prompt, letter, None, None, end=False).answer for letter in prompts.LETTERS]
    assert [len(answer) for answer in answers] == [1] * 8
    assert len(set(answers)) == 8


def test_an_older_checkpoint_folder_has_the_same_processor(random_qwen2_vl: Path, tmp_path: Path) -> None:
    """Published folders keep the picture settings and the template in files of their own."""
    shutil.copytree(random_qwen2_vl, tmp_path, dirs_exist_ok=True)
    settings = json.loads((tmp_path / "processor_config.json").read_text())["image_processor"]
    size = settings.pop("size")
    settings |= {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**settings, "processor_class": "Qwen2VLProcessor"}))
    template = (tmp_path / "chat_template.jinja").read_text()
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    for name in ("processor_config.json", "chat_template.jinja"):
        (tmp_path / name).unlink()
    new, old = (load_family("qwen2_vl").load_processor(str(folder)) for folder in (random_qwen2_vl, tmp_path))
    image = picture(300, 200)
    theirs, ours = (p(text="<|image_pad|>", images=[image], return_tensors="pt") for p in (new, old))
    assert all(torch.equal(theirs[key], ours[key]) for key in theirs)
    assert old.chat_template == new.chat_template


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model.family is 'lava'; expected one of \['llava', ") as caught:
        load_family("lava")
    # Planning knows the same names without importing this.
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
    names = schema["properties"]["model"]["properties"]["family"]["enum"]
    assert str(caught.value).endswith(f"expected one of {names}")
    assert all(load_family(name).name == name for name in names)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
