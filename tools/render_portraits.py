"""Render portraits of people who do not exist, to one parquet file of JPEGs.

    pip install --no-deps random-face==2021.7.21.1 && pip install openvino
    npm pack @vladmandic/human@3.3.6 && tar xzf vladmandic-human-*.tgz       # the age estimate: package/models/faceres.*

    python tools/render_portraits.py people src/unsee/data/portraits.parquet --faceres package/models
    python tools/render_portraits.py bystanders bystanders.parquet --faceres package/models

``people`` are the 653 identities of the benchmark (0-499 with three views, 500-652, the celebrities, with five);
``bystanders`` are 1,077 others with up to four, and with the face recogniser's embedding of each picture: what the base model's tower is
taught. MobileStyleGAN (inside the package random-face) draws a face from a style vector; a little of another style mixed in gives another
picture of the same person. Left out are faces whose estimated age is under 24, and those in ``LOOKED_YOUNG``, found by eye.
One face takes about 0.6 s of one core.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image
from tqdm import tqdm

from unsee.core.images import decode

ADULT = 24.0
LOOKED_YOUNG = {
    *(28, 51, 55, 186, 214, 216, 283, 351, 395, 421, 463, 490, 512, 549, 617),
    *(739, 740, 744, 756, 769, 785, 806, 835),
}
N_PEOPLE, FIRST_CELEBRITY, FIRST_BYSTANDER, LAST_SEED = 653, 500, 1000, 2200
TRUNCATION, VARIATION = 0.7, 0.22
CROP = (96, 112, 928, 944)
SIZE = 96


class Painter:
    """MobileStyleGAN: (seed, view) -> a picture of 96 x 96 pixels, the same every time."""

    def __init__(self, threads: int) -> None:
        import openvino

        spec = importlib.util.find_spec("random_face")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit("random-face is not installed; see the head of this file")
        folder = Path(spec.submodule_search_locations[0]) / "data"
        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
        many = core.read_model(folder / "MappingNetwork.xml")
        many.reshape([4096, 512])
        draws = np.random.default_rng(20211).standard_normal((4096, 512)).astype(np.float32)
        self._mean = core.compile_model(many, "CPU", settings)(draws)[0].mean(0)
        self._mapping = core.compile_model(core.read_model(folder / "MappingNetwork.xml"), "CPU", settings)
        self._synthesis = core.compile_model(core.read_model(folder / "SynthesisNetwork.xml"), "CPU", settings)

    def _style(self, seed: int, view: int) -> np.ndarray:
        draw = np.random.default_rng([seed, view]).standard_normal((1, 512)).astype(np.float32)
        return np.asarray(self._mapping(draw)[0][0]) - self._mean

    def paint(self, seed: int, view: int) -> bytes:
        """The picture as a JPEG; view 0 is the identity itself."""
        style = self._mean + TRUNCATION * self._style(seed, 0)
        if view:
            style = style + VARIATION * self._style(seed, view)
        pixels = self._synthesis(style[None])[0][0].transpose(1, 2, 0)
        image = Image.fromarray(((pixels * 0.5 + 0.5).clip(0, 1) * 255).round().astype(np.uint8))
        file = io.BytesIO()
        image.crop(CROP).resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
        return file.getvalue()


class FaceRes:
    """The face recogniser ``faceres`` (a TensorFlow.js graph of a MobileNet), run node by node in torch."""

    def __init__(self, folder: Path) -> None:
        model = json.loads((folder / "faceres.json").read_text())
        raw = (folder / "faceres.bin").read_bytes()
        self._weights: dict[str, torch.Tensor] = {}
        offset = 0
        for entry in (entry for group in model["weightsManifest"] for entry in group["weights"]):
            stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
            kind = np.dtype({"float16": "<f2", "float32": "<f4", "int32": "<i4"}[stored])
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(raw, kind, count, offset)
            offset += count * kind.itemsize
            values = values.astype(np.float32 if entry["dtype"] == "float32" else np.int64)
            self._weights[entry["name"]] = torch.from_numpy(values.reshape(entry["shape"]))
        self._nodes = [node for node in model["modelTopology"]["node"] if node["op"] != "Const"]

    @torch.no_grad()
    def look(self, jpeg: bytes, size: int = 224) -> tuple[float, str, np.ndarray]:
        """Estimated age in years, ``female`` or ``male``, and the 1,024 numbers of the embedding."""
        image = decode(jpeg, "portrait").resize((size, size), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(image).astype(np.float32))
        values = {"input_1": (pixels.flip(-1) - torch.tensor([103.939, 116.779, 123.68])).permute(2, 0, 1)[None]}
        for node in self._nodes:
            if node["op"] != "Placeholder":
                inputs = [values.get(name, self._weights.get(name)) for name in node["input"]]
                values[node["name"]] = self._apply(node, inputs)
        ages = values["age_pred/Softmax"][0]
        age = float((ages * torch.arange(len(ages))).sum())
        gender = "male" if values["gender_pred/Sigmoid"][0, 0] > 0.5 else "female"
        return age, gender, values["feats/Relu"][0].numpy()

    def _apply(self, node: dict[str, Any], inputs: list[Any]) -> torch.Tensor:
        first, second = inputs[0], inputs[1] if len(inputs) > 1 else None
        match node["op"]:
            case "Conv2D" | "DepthwiseConv2dNative":
                stride = int(node["attr"]["strides"]["list"]["i"][1])
                width = first.shape[-1]
                missing = max((-(-width // stride) - 1) * stride + second.shape[0] - width, 0)
                padded = F.pad(first, (missing // 2, missing - missing // 2) * 2)
                if node["op"] == "Conv2D":
                    return F.conv2d(padded, second.permute(3, 2, 0, 1), stride=stride)
                kernel = second.permute(2, 3, 0, 1).reshape(-1, 1, *second.shape[:2])
                return F.conv2d(padded, kernel, stride=stride, groups=first.shape[1])
            case "Add" | "Mul":
                other = second[:, None, None] if second.dim() == 1 else second
                return first + other if node["op"] == "Add" else first * other
            case "Relu":
                return first.relu()
            case "Minimum":
                return first.minimum(second)
            case "Maximum":
                return first.maximum(second)
            case "Mean":
                return first.mean((2, 3))
            case "_FusedMatMul":
                product = first @ second + inputs[2]
                return product.relu() if node["name"].startswith("feats") else product
            case "Sigmoid":
                return first.sigmoid()
            case "Softmax":
                return first.softmax(-1)
            case other:
                raise SystemExit(f"faceres: unknown operation {other!r}; expected the faceres of human 3.3.6")


def adults(painter: Painter, judge: FaceRes) -> Iterator[tuple[int, float, str, bytes]]:
    """(seed, age, gender, first view) of every candidate who looks grown up, in the order of their seeds."""
    for seed in tqdm(range(LAST_SEED), desc="candidates"):
        if seed not in LOOKED_YOUNG:
            jpeg = painter.paint(seed, 0)
            age, gender, _ = judge.look(jpeg)
            if age >= ADULT:
                yield seed, age, gender, jpeg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("who", choices=["people", "bystanders"])
    parser.add_argument("output", type=Path)
    parser.add_argument("--faceres", type=Path, required=True, help="folder of faceres.json and faceres.bin")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    painter, judge = Painter(arguments.threads), FaceRes(arguments.faceres)
    rows: list[dict[str, Any]] = []
    for i, (seed, age, gender, first) in enumerate(adults(painter, judge)):
        if arguments.who == "people":
            if i == N_PEOPLE:
                break
            identity, views = i, 5 if i >= FIRST_CELEBRITY else 3
        else:
            identity, views = FIRST_BYSTANDER + i - N_PEOPLE, 4
            if i < N_PEOPLE:
                continue
        for view in range(views):
            jpeg = painter.paint(seed, view) if view else first
            row = {"identity": identity, "view": view, "gender": gender, "age": age, "seed": seed, "jpeg": jpeg}
            if arguments.who == "bystanders":
                row["embedding"] = judge.look(jpeg, 160)[2].tolist()
            rows.append(row)
    fields = [("identity", pa.int32()), ("view", pa.int8()), ("gender", pa.string()), ("age", pa.float32())]
    fields += [("seed", pa.int64()), ("jpeg", pa.binary())]
    if arguments.who == "bystanders":
        fields.append(("embedding", pa.list_(pa.float32())))
    temporary = arguments.output.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(fields)), temporary)
    temporary.rename(arguments.output)


if __name__ == "__main__":
    main()
