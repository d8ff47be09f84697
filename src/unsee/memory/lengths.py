"""The longest sequences of each benchmark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lengths:
    """The longest sequences of a benchmark, in tokens, besides the pictures'.

    Attributes:
        words, answer: of a training pair with its chat template; of its answer alone.
        pairs: training pairs of a person.
        questions: words of all questions about one picture, with their options.
        options: words of these options.
        open: how many of these questions are answered in words.
        picture: width and height of the largest picture.
        people, pictures: fictitious people, and training pictures a person.
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


#: Assumed, on the long side: answers of the published data are captions and a few sentences, and a plan is made before any are fetched.
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
}
