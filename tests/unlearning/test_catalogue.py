"""Methods are described from their source, without importing it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from unsee.core.option import REQUIRED, Option
from unsee.unlearning import method
from unsee.unlearning.catalogue import MARKERS, SPARE_COLOURS, CatalogueError, read
from unsee.unlearning.method import Needs


def write(folder: Path, name: str, text: str) -> None:
    """Write a method's file."""
    (folder / f"{name}.py").write_text(dedent(text))


def test_a_description_holds_needs_and_options_of_the_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        "toy",
        """
        import a_module_that_is_not_there
        from unsee.unlearning.method import Needs, method

        @method("toy", Needs(retain_examples=True, reference="retain_only"))
        def toy(forget, retain, *, rate: float, kind: Literal["a", "b"] = "a", top: int | None = None):
            return forget - retain
        """,
    )
    toy = read(tmp_path)["toy"]
    assert toy.needs == Needs(retain_examples=True, reference="retain_only")
    assert toy.source == tmp_path / "toy.py"
    assert toy.options == {
        "rate": Option("float", REQUIRED),
        "kind": Option("Literal['a', 'b']", "a"),
        "top": Option("int | None", None),
    }


@pytest.mark.parametrize(
    ("annotation", "good", "bad", "words"),
    [
        ("float", [1, 0.5, 10**400], [True, "1", None, math.nan, math.inf, -math.inf], "a number"),
        ("Annotated[float, '> 0']", [1, 1e-9], [0, -1, math.nan, math.inf, "1"], "a number above 0"),
        ("Annotated[float, '>= 0, <= 1']", [0, 1], [-0.1, 1.1], "a number from 0 to 1"),
        ("Annotated[float, '>= 0, < 1']", [0, 0.9], [1], "a number from 0 to below 1"),
        ("Annotated[float, '> 0, <= 1']", [1], [0, 2], "a number above 0 and at most 1"),
        ("typing.Annotated[int | None, '>= 1']", [1, None], [0, 1.0, True], "a whole number from 1 or null"),
        ("int", [1], [True, 1.0], "a whole number"),
        ("bool", [True], [1, "true"], "true or false"),
        ("str", ["x"], [1], "a text"),
        ("int | None", [1, None], [0.5], "a whole number or null"),
        ("Literal['a', 'b']", ["a"], ["c", None], "one of a or b"),
        ("dict[str, int]", [{}, 1], [], "a value of type dict[str, int]"),
        ("", [{}, 1], [], "a value of type "),
    ],
)
def test_an_option_accepts_the_values_of_its_annotation(
    annotation: str, good: list[object], bad: list[object], words: str
) -> None:
    option = Option(annotation)
    assert option.expected == words
    assert all(option.accepts(value) for value in good)
    assert not any(option.accepts(value) for value in bad)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('@method("other")\ndef toy(forget): ...\n', "line 1: registers 'other', expected 'toy' (the file's name)"),
        ("@method(NAME)\ndef toy(forget): ...\n", "line 1: cannot be read without running it"),
        ('@method("toy", NEEDS)\ndef toy(forget): ...\n', "line 1: cannot be read without running it (NEEDS)"),
        ('@method("toy", Needs(retian=True))\ndef toy(forget): ...\n', "line 1: cannot be read without running it"),
        (
            '@method("toy", Needs(vocabulary=True))\ndef toy(forget): ...\n',
            "line 1: cannot be read without running it (vocabulary is True; expected one of none, forget, retain, both)",
        ),
        (
            '@method("toy", Needs(prepare_unless={"vacuum": 3}))\ndef toy(forget, *, vacuum: bool = True): ...\n',
            "line 1: cannot be read without running it (prepare_unless has vacuum: 3, which is no option with such a value)",
        ),
        (
            '@method("toy", Needs(retain_weight="alpha"))\ndef toy(forget, *, beta: float = 0): ...\n',
            "line 1: cannot be read without running it (retain_weight is 'alpha', which is no option)",
        ),
        (
            '@method("toy", Needs(hidden="layer"))\ndef toy(forget, *, beta: float = 0): ...\n',
            "line 1: cannot be read without running it (hidden is 'layer', which is no option)",
        ),
        ('@method("toy")\ndef toy(forget, *, beta=BETA): ...\n', "line 1: cannot be read without running it"),
        ("\ndef toy(:\n", "line 2: not Python"),
        (
            '@method("toy", colour="red")\ndef toy(forget): ...\n',
            "line 1: cannot be read without running it (colour is 'red'; expected a text like #[0-9A-Fa-f]{6})",
        ),
        (
            '@method("toy", marker="s")\ndef toy(forget): ...\n',  # vanilla's
            "line 1: cannot be read without running it (marker is 's'; expected a text like [oD^PvXhp<>1234x8H+|_])",
        ),
        (
            '@method("toy")\ndef toy(forget, *, beta: Annotated[float, "positive"] = 1): ...\n',
            "line 1: cannot be read without running it (the range 'positive' is not like '> 0' or '>= 0, <= 1')",
        ),
        (
            '@method("toy")\ndef toy(forget, *, beta: Annotated[float, "> 0"] = 0): ...\n',
            "line 1: cannot be read without running it (the default 0 is not a number above 0)",
        ),
        (
            '@method("toy", requires="a or b")\ndef toy(forget, *, a: bool = True): ...\n',
            "line 1: cannot be read without running it (requires has b, which is no option",
        ),
        (
            '@method("toy", requires="print(a)")\ndef toy(forget, *, a: bool = True): ...\n',
            "line 1: cannot be read without running it (requires has print(a), which is no option",
        ),
        ('@method("toy", requires="a or")\ndef toy(forget, *, a: bool = True): ...\n', "line 1: cannot be read"),
    ],
)
def test_a_file_that_cannot_be_described_is_named(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path, "toy", text)
    with pytest.raises(CatalogueError) as caught:
        read(tmp_path)
    assert f"{tmp_path / 'toy.py'}, {expected}" in str(caught.value)


def test_a_condition_on_several_options(tmp_path: Path) -> None:
    write(
        tmp_path,
        "toy",
        """
        @method("toy", requires="first and share > 0 or not third")
        def toy(forget, *, first: bool = True, share: float = 0.5, third: bool = True): ...
        """,
    )
    toy = read(tmp_path)["toy"]
    assert sorted(toy.required_options) == ["first", "share", "third"]
    assert toy.accepts({"first": True, "share": 0.5, "third": True})
    assert toy.accepts({"first": False, "share": 0, "third": False})
    assert not toy.accepts({"first": True, "share": 0, "third": True})


def test_labels_and_looks_are_read_from_the_decorator(tmp_path: Path) -> None:
    write(
        tmp_path,
        "toy",
        """
        @method("toy", label="Toy", colour="#012abc", marker="8", paper="https://example.org/toy")
        def toy(forget): ...
        """,
    )
    toy = read(tmp_path)["toy"]
    assert (toy.label, toy.colour, toy.marker) == ("Toy", "#012abc", "8")
    assert toy.paper == "https://example.org/toy"


def test_a_method_without_them_gets_its_name_and_looks_that_no_other_has(tmp_path: Path) -> None:
    for name in ("alpha", "zeta"):
        write(tmp_path, name, f"@method('{name}')\ndef {name}(forget): ...\n")
    looks = f"colour={SPARE_COLOURS[0]!r}, marker={MARKERS[1]!r}"
    write(tmp_path, "beta", f"@method('beta', {looks})\ndef beta(forget): ...\n")
    methods = read(tmp_path)
    assert [(m.label, m.colour, m.marker, m.paper) for m in methods.values()] == [
        ("alpha", SPARE_COLOURS[1], MARKERS[0], ""),
        ("beta", SPARE_COLOURS[0], MARKERS[1], ""),
        ("zeta", SPARE_COLOURS[2], MARKERS[2], ""),
    ]


def test_every_method_of_the_library_declares_its_looks_and_a_paper() -> None:
    methods = read().values()
    for looks in ("label", "colour", "marker"):
        assert len({getattr(m, looks) for m in methods}) == len(methods), looks
    for m in methods:
        assert m.paper and all(f"{looks}=" in m.source.read_text() for looks in ("label", "colour", "marker")), m.name


def test_the_catalogue_agrees_with_the_registry() -> None:
    if "torch" not in sys.modules:
        pytest.importorskip("torch")
    for name, description in read().items():
        registered = method.get(name)
        assert registered.needs == description.needs
