"""How much memory a job needs, from shapes alone: nothing is loaded, and torch is not imported.

Bytes on the device are counted at the moment when a job holds the most of them: the weights as they are stored, the float32 copy of a piece
of a matrix while it is multiplied, adapters with gradients and Adam's moments, what autograd keeps of the forward pass, and
what a method keeps besides. docs/memory.md has the results, and tests/test_memory_measured.py compares them with measured peaks.
"""

from unsee.memory.blocks import PIECE
from unsee.memory.checkpoints import PUBLISHED, shapes_of
from unsee.memory.lengths import LENGTHS, Lengths
from unsee.memory.needs import GB, Need, answering, bases, training
from unsee.memory.plan import LOADING, ON_REQUEST, findings, needs_of, ways_to_train
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
    "bases",
    "findings",
    "needs_of",
    "read_shapes",
    "shapes_of",
    "training",
    "ways_to_train",
]
