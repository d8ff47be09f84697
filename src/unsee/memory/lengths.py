"""The longest sequences of each benchmark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lengths:
    """The longest sequences of a benchmark, in tokens without those of pictures.

    Attributes:
        words, answer: tokens of a training pair with its chat template, and of its answer alone.
        pairs: training pairs per person.
        questions: tokens of all questions about one picture, with their options.
        options: tokens of these options.
        open: the number of open questions among them.
        picture: width and height of the largest picture.
        people, pictures: the number of fictitious people, and of training pictures per person.
    """

    words: int
    answer: int
    pairs: int
    questions: int
    options: int
    open: int
    picture: tuple[int, int]
    people: int
    pictures: int = 1


#: Generous estimates, because planning runs before the data are downloaded. Answers of the published data are captions and a few sentences.
#: A user's folder is taken to have a dozen columns.
LENGTHS = {
    "synthetic": Lengths(
        words=160, answer=64, pairs=14, questions=1000, options=400, open=8, picture=(96, 96), people=100
    ),
    "mllmu": Lengths(
        words=256, answer=128, pairs=14, questions=1200, options=400, open=8, picture=(1024, 1024), people=500
    ),
    "clear": Lengths(
        words=256,
        answer=192,
        pairs=40,
        questions=1200,
        options=400,
        open=8,
        picture=(1024, 1024),
        people=200,
        pictures=19,
    ),
    "folder": Lengths(
        words=256,
        answer=128,
        pairs=24,
        questions=2000,
        options=800,
        open=24,
        picture=(1024, 1024),
        people=100,
        pictures=4,
    ),
}
