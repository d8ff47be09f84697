"""People whom no model ever met: non-members to compare the forgotten people with.

They come from the generator of the synthetic benchmark: portraits of the same file that show nobody of the benchmark, and names and
facts that are drawn in the same way by another seed. Their training pairs have the same questions, but nothing was trained on them.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.benchmarks import question_templates
from unsee.benchmarks.rows import Row, pair_row, person_row
from unsee.benchmarks.schema import SCHEMAS, table_path
from unsee.benchmarks.synthetic import Portraits, stranger_profiles
from unsee.core.files import atomic_write

#: The tables of the strangers, with the schemas of the benchmark's.
STRANGER_TABLES = ("people", "images", "training_pairs")


def write(directory: Path, *, people: int, seed: int, strangers: int, portraits: Path | None = None) -> None:
    """Write the strangers as tables in the schemas of the benchmark: ``people``, ``images`` and ``training_pairs``.

    Args:
        directory: where the tables are written.
        people, seed: the size and the seed of the benchmark.
        strangers: how many.
        portraits: the portraits file; the shipped one by default.

    Raises:
        BenchmarkError: too few portraits are left.
    """
    faces = Portraits(portraits)
    tables: dict[str, list[Row]] = {name: [] for name in STRANGER_TABLES}
    for i, profile in enumerate(stranger_profiles(faces, people, seed, strangers)):
        person_id = f"stranger-{i:03d}"
        image_id = f"{person_id}/profile"
        tables["people"].append(person_row(person_id, profile.name, "fictitious", profile.biography()))
        tables["images"].append(
            {"image_id": image_id, "person_id": person_id, "bytes": faces.jpeg[profile.identity, 0]}
        )
        for number, pair in enumerate(question_templates.training_pairs(profile, str(seed))):
            shown = image_id if pair.modality == "image" else None
            tables["training_pairs"].append(
                pair_row(f"{person_id}/{number:02d}", person_id, shown, pair.question, pair.answer)
            )
    for name, rows in tables.items():
        with atomic_write(table_path(directory, name)) as part:
            pq.write_table(pa.Table.from_pylist(rows, SCHEMAS[name]), part)
