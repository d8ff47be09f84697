"""The memory that a job needs, computed from shapes alone: nothing is loaded, and torch is not imported.

Bytes on the device are counted at the peak of a job. They consist of the stored weights, the float32 copy of a piece of a matrix while it
is multiplied, adapters with gradients and Adam's moments, the activations that autograd keeps, and the tensors that a method keeps.
docs/memory.md has the results, and tests/test_memory_measured.py compares them with measured peaks.
"""

from unsee.memory.attacks import attack_findings, attack_need
from unsee.memory.blocks import PIECE
from unsee.memory.checkpoints import PUBLISHED, shapes_of
from unsee.memory.lengths import LENGTHS, Lengths
from unsee.memory.needs import GB, Need, answering, bases, reading, training
from unsee.memory.plan import LOADING, ON_REQUEST, findings, largest_rank, needs_of, ways_to_train
from unsee.memory.shapes import STORED, Shapes, Tower, read_shapes

__all__ = [
    "GB",
    "LENGTHS",
    "LOADING",
    "ON_REQUEST",
    "PIECE",
    "PUBLISHED",
    "STORED",
    "Lengths",
    "Need",
    "Shapes",
    "Tower",
    "answering",
    "attack_findings",
    "attack_need",
    "bases",
    "findings",
    "largest_rank",
    "needs_of",
    "read_shapes",
    "reading",
    "shapes_of",
    "training",
    "ways_to_train",
]
