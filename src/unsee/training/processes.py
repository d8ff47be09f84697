"""Several processes per training job, one GPU each: each computes its share of every step, and gradients are summed.

Every process runs the same loop on the same model, over the same steps; everything the processes exchange is here.
torch's elastic launcher starts them and ends all when one fails. accelerate joins them, through NCCL on GPUs and gloo
on CPUs, and sums their tensors. Only the outputs of the first process are kept.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.distributed.tensor import DTensor

from unsee.core.failures import DivergedError, JobError, explain, has_diverged
from unsee.core.resume import CheckpointDir

#: The file beside the call in which the process that fails first writes cause and remedy.
_ERROR_FILE = "failed.json"


def launch(function: Callable[..., None], arguments: dict[str, Any], processes: int) -> None:
    """Call a training function in this process, or in several new ones.

    Args:
        function: A function of a module. It takes ``threads`` (an integer) and ``output`` (a folder).
        arguments: Its keyword arguments; ``threads`` is that of the whole job.
        processes: How many processes.

    Raises:
        JobError: A process failed; with the cause and remedy of the first that did. A DivergedError if it has diverged.
        ChildFailedError: A process was killed.
    """
    if processes == 1:
        function(**arguments)
        return
    source = str(Path(__file__).resolve().parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    arguments = arguments | {"threads": max(1, arguments["threads"] // processes)}
    with tempfile.TemporaryDirectory() as folder:
        call = Path(folder) / "call.json"
        call.write_text(json.dumps([function.__module__, function.__name__, _to_json(arguments)]), encoding="utf-8")
        config = LaunchConfig(1, 1, processes, rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0)
        try:
            elastic_launch(config, sys.executable)("-m", "unsee.training.processes", str(call))
        except ChildFailedError as error:
            error_file = call.with_name(_ERROR_FILE)
            if not error_file.exists():
                raise
            diverged, cause, remedy = json.loads(error_file.read_text(encoding="utf-8"))
            raise (DivergedError if diverged else JobError)(cause, remedy) from error


def _main(call: Path) -> None:
    """What each new process runs: the call that :func:`launch` wrote."""
    # The kernel kills this process if its parent is killed.
    torch.multiprocessing._prctl_pr_set_pdeathsig(signal.SIGKILL)  # type: ignore[attr-defined]
    module, name, values = json.loads(call.read_text(encoding="utf-8"))
    function, arguments = getattr(importlib.import_module(module), name), _from_json(values)
    with tempfile.TemporaryDirectory() as folder:
        if rank_and_world_size()[0] > 0:
            os.environ["TQDM_DISABLE"] = "1"
            arguments["output"] = Path(folder)
        try:
            function(**arguments)
        except Exception as error:
            # The other processes fail later, because this one is gone: only the first error is worth reading.
            with suppress(FileExistsError), call.with_name(_ERROR_FILE).open("x", encoding="utf-8") as file:
                json.dump([has_diverged(error), *explain(name, error)], file)
            raise
    _state().destroy_process_group()


def _to_json(value: Any) -> Any:
    """A value as JSON can hold it; a path or checkpoint folder becomes an object whose only key is its type."""
    if isinstance(value, Path):
        return {"Path": str(value)}
    if isinstance(value, CheckpointDir):
        return {"CheckpointDir": _to_json(vars(value))}
    return {key: _to_json(item) for key, item in value.items()} if isinstance(value, dict) else value


def _from_json(value: Any) -> Any:
    """The inverse of :func:`_to_json`."""
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Path"}:
        return Path(value["Path"])
    items = {key: _from_json(item) for key, item in value.items()}
    return CheckpointDir(**items["CheckpointDir"]) if items.keys() == {"CheckpointDir"} else items


def _state() -> PartialState:
    """accelerate's record of the processes of this job; the first call joins them.

    Only CUDA and the CPU are tested, so that other accelerators are not used.
    """
    return PartialState(cpu=not torch.cuda.is_available())


def rank_and_world_size() -> tuple[int, int]:
    """The number of this process, from 0, and the number of processes."""
    return _state().process_index, _state().num_processes


def device() -> torch.device:
    """The GPU of this process, or the CPU."""
    return _state().device if torch.cuda.is_available() else torch.device("cpu")


def total(value: float) -> float:
    """The sum of a number over all processes."""
    if rank_and_world_size()[1] == 1:
        return value
    return float(reduce(torch.tensor(value, dtype=torch.float64, device=device()), "sum"))


def sum_gradients(weights: Sequence[Tensor]) -> None:
    """Replace each gradient by its sum over all processes; FSDP has summed those of sharded weights already."""
    whole = [weight for weight in weights if not isinstance(weight, DTensor)]
    if rank_and_world_size()[1] == 1 or not whole:
        return
    for weight in whole:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    flat = reduce(torch.cat([weight.grad.flatten() for weight in whole if weight.grad is not None]), "sum")
    for weight, gradient in zip(whole, flat.split([weight.numel() for weight in whole]), strict=True):
        weight.grad = gradient.view_as(weight)


def shard(model: nn.Module, decoder: Any) -> None:
    """Keep an even share of the decoder's weights in each process (FSDP); a layer is gathered while it runs.

    Args:
        model: The model; everything but the decoder's layers is moved to this process's GPU whole.
        decoder: The part of the model that has ``layers``.

    Raises:
        ValueError: A weight outside the decoder's layers is trained.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    blocks = list(decoder.layers)
    inside = {id(weight) for block in blocks for weight in block.parameters()}
    outside = [name for name, w in model.named_parameters() if w.requires_grad and id(w) not in inside]
    if outside:
        raise ValueError(f"shard is true and {outside[0]} is trained; expected lora.scope: language with it")
    mesh = init_device_mesh(device().type, (rank_and_world_size()[1],))
    for block in blocks:
        sharded = fully_shard(block, mesh=mesh)
        sharded.set_gradient_divide_factor(1.0)  # a sum, as sum_gradients makes of the gradients of whole weights
        sharded.set_force_sum_reduction_for_comms(True)
    model.to(device())


def gather(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded; every process must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered_state(model: nn.Module) -> dict[str, Tensor] | None:
    """The adapter's weights by name if any is sharded, else ``None``; every process must call this."""
    weights = {name: weight for name, weight in model.state_dict().items() if "lora_" in name}
    if not any(isinstance(weight, DTensor) for weight in weights.values()):
        return None
    return {name: gather(weight) for name, weight in weights.items()}


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
