"""Attacks are described from their source, without importing it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from unsee.attacks import attack, catalogue
from unsee.attacks.catalogue import CatalogueError, read
from unsee.core.option import Option


def write(folder: Path, name: str, text: str) -> None:
    """Write an attack's file."""
    (folder / f"{name}.py").write_text(dedent(text))


def test_a_description_holds_kind_needs_and_options_of_the_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        "toy",
        """
        import a_module_that_is_not_there

        @attack("toy", label="a toy", needs=("options",), paper="https://example.org", trains=True)
        def toy(question, random, people, *, number: Annotated[int, ">= 1"] = 2, shares: Annotated[Sequence[float], "> 0"] = (0.5, 1.0)):
            return [question]
        """,
    )
    toy = read(tmp_path)["toy"]
    assert (toy.kind, toy.label, toy.needs, toy.trains) == ("question", "a toy", ("options",), True)
    assert (toy.source, toy.paper) == (tmp_path / "toy.py", "https://example.org")
    assert toy.options == {
        "number": Option("Annotated[int, '>= 1']", 2),
        "shares": Option("Annotated[Sequence[float], '> 0']", [0.5, 1.0]),
    }
    shares = toy.options["shares"]
    assert shares.expected == "a list of different numbers above 0, at least one"
    assert [shares.accepts(value) for value in ([1.0], [], [0.0], [1.0, 1.0], 1.0)] == [
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '@attack("toy")\ndef toy(model): ...',
            "its first parameter is 'model'; expected one of weights, picture, question",
        ),
        (
            '@attack("toy")\ndef toy(*, x: int = 1): ...',
            "its first parameter is ''; expected one of weights, picture, question",
        ),
        (
            '@attack("toy")\ndef toy(picture, people): ...',
            "its parameter 'people' is unknown; expected behind 'picture': random",
        ),
        (
            '@attack("toy")\ndef toy(weights, random): ...',
            "its parameter 'random' is unknown; expected behind 'weights': none",
        ),
        (
            '@attack("toy", needs=("time",))\ndef toy(picture): ...',
            "needs has 'time'; expected some of options, other_pictures",
        ),
        ('@attack("toy", label=1)\ndef toy(picture): ...', "label is 1; expected a text like"),
        ('@attack("other")\ndef toy(picture): ...', "registers 'other', expected 'toy' (the file's name)"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, "toy", text)
    with pytest.raises(CatalogueError) as caught:
        read(tmp_path)
    assert message in str(caught.value) and "toy.py, line 1" in str(caught.value)


@pytest.mark.parametrize("name", read())
def test_the_description_is_that_of_the_registered_function(name: str) -> None:
    described, registered = read()[name], attack.get(name)
    assert registered.name == described.name and registered.kind == described.kind
    assert set(registered.inputs[1:]) <= set(catalogue.MORE_INPUTS[described.kind])
    defaults = {key: value for key, value in (registered.apply.__kwdefaults__ or {}).items()}
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()} == {
        key: option.default for key, option in described.options.items()
    }


def test_an_attack_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no attack 'nothing': expected a file attacks/methods/nothing.py"):
        attack.get("nothing")
