"""Export a run: check it, check the disk, and write weights, configuration and model card into a new folder."""

from __future__ import annotations

from math import prod
from pathlib import Path

from unsee.core import disk
from unsee.core.files import atomic_write
from unsee.export import adapters, card, finished_run, merged
from unsee.export.finished_run import ExportError, FinishedRun
from unsee.export.merged import Rounding
from unsee.models import stored
from unsee.models.weight_files import stored_weights

#: Bytes of a number.
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
CARD = "README.md"


def export(
    folder: Path,
    to: Path,
    *,
    as_adapter: bool = False,
    dtype: str = "float32",
    base: Path | None = None,
    shard_size: str = "5GB",
) -> Rounding | None:
    """Write a run as a checkpoint that plain transformers loads, or as an adapter that plain peft loads.

    Args:
        folder: ``results/models/{model}/forget{percent}/{method}/seed{seed}``.
        to: the folder to write; it must not exist.
        as_adapter: whether to write one PEFT adapter on the base model instead of a merged checkpoint.
        dtype: of the merged weights; an adapter is float32.
        base: the folder of the base model; by default where the run's manifest says.
        shard_size: the largest size of a file of weights, as transformers writes sizes.

    Returns:
        What rounding took away; None where nothing was rounded.

    Raises:
        ExportError: the run is unfinished or damaged, removes nothing, or is no adapter; ``to`` exists.
        RoomError: ``to`` cannot be written, or its disk is too full.
    """
    _check_free(to)
    run = finished_run.read(folder, base)
    _check_kind(run)
    size = sum(file.stat().st_size for adapter in run.adapters for file in adapter.iterdir())
    if not as_adapter:
        size = sum(prod(shape) for shape in stored_weights(run.base).values()) * _BYTES[dtype]
    disk.check(to, {"weights": size}, "--to")
    rounding = None
    with atomic_write(to) as part:
        if as_adapter:
            adapters.write(run.adapters, part, run.published[0] if run.published else None)
        else:
            rounding = merged.write(run.spec, run.adapters, part, dtype, shard_size)
        text = card.write(run, dtype=dtype, rounding=rounding, as_adapter=as_adapter)
        card.check_names(run, text)
        (part / CARD).write_text(text, encoding="utf-8")
        _check_free(to)  # another process may have written it meanwhile
    return rounding


def _check_free(to: Path) -> None:
    if to.exists() or to.is_symlink():
        raise ExportError(f"{to}: exists", "name a new folder with --to; nothing is ever written over")


def _check_kind(run: FinishedRun) -> None:
    """Refuse a run whose weights are vanilla's."""
    if stored.config_of(run.adapters[-1])["kind"] == "instruction":
        raise ExportError(
            f"{run.folder}: the method only tells the model in words what not to answer; nothing is removed from its "
            "weights, which are vanilla's",
            "export another method, or vanilla itself",
        )
