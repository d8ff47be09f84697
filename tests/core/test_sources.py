"""A script's sources are itself and what it imports of the library, however far down."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unsee.core.sources import digests, imported

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "src" / "unsee"


def named(script: str) -> set[str]:
    """What a rule's script is made of, relative to the library."""
    files = imported(ROOT / "workflow" / "scripts" / f"{script}.py", LIBRARY)
    return {str(path.relative_to(LIBRARY)) for path in files[1:]}


def test_imports_are_followed(tmp_path: Path) -> None:
    library = tmp_path / "toy"
    (library / "deep").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "deep/__init__.py": "import json\n",
        "deep/a.py": "def f():\n    from ..b import g\n",
        "b.py": "import toy.c\nfrom toy import d\n",
        "c.py": "import torch\n",
        "d.py": "from toy import a_value\n",
        "unused.py": "",
    }
    for name, text in files.items():
        (library / name).write_text(text + "# not empty\n" * (name != "__init__.py"))
    script = tmp_path / "script.py"
    script.write_text("import toybox\nfrom toy.deep.a import f\n")
    assert imported(script, library) == [
        script,
        *sorted(library / name for name in ("deep/__init__.py", "deep/a.py", "b.py", "c.py", "d.py")),
    ]


def test_what_is_imported_for_types_only_is_no_source(tmp_path: Path) -> None:
    library = tmp_path / "toy"
    library.mkdir()
    (library / "__init__.py").touch()
    for name in ("types_only", "otherwise", "always"):
        (library / f"{name}.py").write_text("x = 1\n")
    script = tmp_path / "script.py"
    script.write_text(
        "from typing import TYPE_CHECKING\nimport toy.always\n"
        "if TYPE_CHECKING:\n    from toy import types_only\nelse:\n    from toy import otherwise\n"
    )
    assert imported(script, library) == [script, library / "always.py", library / "otherwise.py"]


def test_neither_attacks_nor_the_configuration_are_sources_of_training_and_answers() -> None:
    for script in ("finetune", "unlearn", "predict", "tune"):
        assert not {name for name in named(script) if name.startswith(("attacks/", "jobs/config"))}, script


def test_an_import_of_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    script = tmp_path / "script.py"
    script.write_text("import os\nimport toy.lost\n")
    with pytest.raises(ValueError, match=r"script.py, line 2: imports toy.lost, which is not there"):
        imported(script, tmp_path / "toy")


def test_a_metric_is_no_source_of_the_predictions_nor_the_loop_of_the_scores() -> None:
    assert "evaluation/scoring.py" in named("evaluate") - named("predict")
    assert "training/loop.py" in named("unlearn") & named("finetune") - named("predict") - named("evaluate")
    assert not any(name.startswith(("models/", "training/")) for name in named("evaluate") | named("tables"))


def test_a_digest_is_of_the_code_and_not_of_what_is_said_about_it(tmp_path: Path) -> None:
    library, script = tmp_path / "toy", tmp_path / "script.py"
    library.mkdir()
    script.write_text("import toy.a\n")

    def digest(text: str) -> str:
        (library / "a.py").write_text(text)
        first, second = digests(script, library)
        assert first.startswith("toy/a.py ") and second.startswith("script.py ")
        return first

    first = digest('"""Says."""\n\n\ndef f(x):\n    """Doubles."""\n    return 2 * x\n')
    assert digest("# Says more.\ndef f( x ):\n    '''Two of it.'''\n    return (2 * x)  # twice\n") == first
    assert digest('"""Says more."""\ndef f( x ):\n    "Two of it."\n    return (2 * x)  # twice\n') == first
    assert digest('"""Says."""\n\n\ndef f(x):\n    """Doubles."""\n    return 3 * x\n') != first
    assert digest('"""Says."""\n\n\ndef f(x):\n    print("Doubles.")\n    return 2 * x\n') != first


def test_labels_and_looks_are_not_part_of_the_code_of_a_method(tmp_path: Path) -> None:
    method = '@method("ga", Needs(), label="{}", colour="{}", marker="{}")\ndef ga(forget):\n    return {}\n'
    digest: list[list[str]] = []
    cases = [("GA", "#000000", "o", 1), ("Up", "#000000", "o", 1), ("GA", "#123456", "8", 1), ("GA", "#000000", "o", 2)]
    for case in cases:
        (tmp_path / "ga.py").write_text(method.format(*case))
        os.utime(tmp_path / "ga.py", ns=(0, len(digest)))
        digest.append(digests(tmp_path / "ga.py", LIBRARY))
    assert digest[0] == digest[1] == digest[2] != digest[3]


def test_the_words_about_a_setting_are_not_part_of_the_code(tmp_path: Path) -> None:
    lines = [
        'rate: float = key(0.1, "peak")',
        'rate: float = key(0.1, "the highest rate", expected="a number")',
        'rate: float = key(0.2, "peak")',
        'rate = key(0.2, "an argument")',
        'rate = key(0.2, "another argument")',
    ]
    of_lines = []
    for i, line in enumerate(lines):
        (tmp_path / "settings.py").write_text(line)
        os.utime(tmp_path / "settings.py", ns=(0, i))
        of_lines += digests(tmp_path / "settings.py", LIBRARY)
    assert of_lines[0] == of_lines[1] != of_lines[2]
    assert of_lines[3] != of_lines[4], "another function of this name"


def test_a_version_number_decides_no_result(tmp_path: Path) -> None:
    """Else a release would run everything again; what it computes differently is other code."""
    library = tmp_path / "toy"
    library.mkdir()
    script = tmp_path / "script.py"
    script.write_text("import toy\n")
    seen = []
    for code in ('__version__ = "0.1.0"\n', '__version__ = "0.2.0"\n', '__version__ = "0.2.0"\nversion = "0.2.0"\n'):
        (library / "__init__.py").write_text(code)
        os.utime(library / "__init__.py", ns=(0, len(seen)))
        seen.append(digests(script, library))
    assert seen[0] == seen[1] != seen[2]
