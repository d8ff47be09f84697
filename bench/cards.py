"""The rates of GPUs, and the data sheet to check each against: without structured sparsity, at the highest clock.

Not every figure has been compared with its sheet: those of H100 and L40S come from copies of the sheets and from pages that quote them,
those of A100, H200 and RTX from memory. Compare a card's line with its sheet before a decision rests on it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A GPU.

    Attributes:
        tf32, float32: operations per second of matrix products in TF32 on tensor cores, and in float32 without them, in TFLOP/s.
        bandwidth: GB/s of its memory.
        memory: GB as sold.
        source: the document with the figures.
    """

    tf32: float
    float32: float
    bandwidth: float
    memory: int
    source: str


_A100 = "NVIDIA A100 Tensor Core GPU data sheet"
_H100 = "NVIDIA H100 Tensor Core GPU data sheet; its TF32 figures are with sparsity, twice as many"
CARDS = {
    "a100-40gb": Card(156, 19.5, 1555, 40, _A100),
    "a100-80gb": Card(156, 19.5, 2039, 80, _A100),
    "h100-sxm": Card(494.7, 67, 3350, 80, _H100),
    "h100-pcie": Card(378, 51, 2000, 80, _H100),
    "h200": Card(494.7, 67, 4800, 141, "NVIDIA H200 Tensor Core GPU data sheet; TF32 as for H100"),
    "l40s": Card(183, 91.6, 864, 48, "NVIDIA L40S data sheet"),
    "rtx-4090": Card(82.6, 82.6, 1008, 24, "NVIDIA Ada GPU architecture white paper, appendix A"),
    "rtx-3090": Card(35.6, 35.6, 936, 24, "NVIDIA GA102 GPU architecture white paper, appendix A"),
}
