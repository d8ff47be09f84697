"""More than one process a training job, a GPU each: every process takes its share of each step, and gradients are summed.

The same loop runs in each process, on the same model and in the same order; what the processes exchange is here. The processes are
started by torch's elastic launcher, which ends all when one fails, and joined by accelerate: through NCCL on GPUs, through gloo
on a CPU. Only the first one's outputs are kept.
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
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.distributed.tensor import DTensor

from unsee.core.failures import JobError, explain
from unsee.core.resume import CheckpointDir

#: Beside the call: cause and remedy of the process that failed first.
_SAID = "failed.json"


def launch(function: Callable[..., None], arguments: dict[str, Any], processes: int) -> None:
    """Call a training function in this process, or in so many others.

    Args:
        function: of a module; it takes ``threads`` (of the job) and ``output`` (a folder).
        arguments: its keyword arguments.
        processes: how many.

    Raises:
        JobError: a process failed, with the cause and the remedy of the first that did.
        ChildFailedError: one was killed.
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
            said = call.with_name(_SAID)
            if not said.exists():
                raise
            raise JobError(*json.loads(said.read_text(encoding="utf-8"))) from error


def _main(call: Path) -> None:
    torch.multiprocessing._prctl_pr_set_pdeathsig(signal.SIGKILL)  # type: ignore[attr-defined] # a killed job leaves nobody behind
    module, name, told = json.loads(call.read_text(encoding="utf-8"))
    function, arguments = getattr(importlib.import_module(module), name), _from_json(told)
    state = PartialState()
    with tempfile.TemporaryDirectory() as folder:
        if rank_and_world_size()[0]:  # accelerate calls every process on a CPU the first
            os.environ["TQDM_DISABLE"] = "1"
            arguments["output"] = Path(folder)
        try:
            function(**arguments)
        except Exception as error:
            # The others fail for want of this one, and later.
            with suppress(FileExistsError), call.with_name(_SAID).open("x", encoding="utf-8") as file:
                json.dump(explain(name, error), file)
            raise
    state.destroy_process_group()


def _to_json(value: Any) -> Any:
    """A value as JSON has it; of paths and places of unfinished work, which it has not, it says what they are."""
    if isinstance(value, Path):
        return {"Path": str(value)}
    if isinstance(value, CheckpointDir):
        return {"CheckpointDir": _to_json(vars(value))}
    return {key: _to_json(item) for key, item in value.items()} if isinstance(value, dict) else value


def _from_json(told: Any) -> Any:
    if not isinstance(told, dict):
        return told
    if told.keys() == {"Path"}:
        return Path(told["Path"])
    known = {key: _from_json(item) for key, item in told.items()}
    return CheckpointDir(**known["CheckpointDir"]) if known.keys() == {"CheckpointDir"} else known


def rank_and_world_size() -> tuple[int, int]:
    """The number of this process, from 0, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def total(value: float) -> float:
    """The sum of every process's value."""
    return float(_sum(torch.tensor(value, dtype=torch.float64, device=PartialState().device))) if _several() else value


def sum_gradients(weights: Sequence[Tensor]) -> None:
    """Make the gradients in every process their sum over all; those of shared-out weights are it already."""
    own = [weight for weight in weights if not isinstance(weight, DTensor)]
    if not _several() or not own:
        return
    for weight in own:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    flat = _sum(torch.cat([weight.grad.flatten() for weight in own if weight.grad is not None]))
    for weight, gradient in zip(own, flat.split([weight.numel() for weight in own]), strict=True):
        weight.grad = gradient.view_as(weight)


def shard(model: nn.Module, decoder: Any) -> None:
    """Keep an even share of the decoder's weights in each process (FSDP); a layer's are gathered while it runs.

    Args:
        model: what is trained; all but the decoder's layers is moved to this process's GPU whole.
        decoder: has ``layers``.

    Raises:
        ValueError: something else is trained than the decoder's layers.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    blocks = list(decoder.layers)
    inside = {id(weight) for block in blocks for weight in block.parameters()}
    outside = [name for name, w in model.named_parameters() if w.requires_grad and id(w) not in inside]
    if outside:
        raise ValueError(f"shard is true and {outside[0]} is trained; expected lora.scope: language with it")
    mesh = init_device_mesh(PartialState().device.type, (dist.get_world_size(),))
    for block in blocks:
        shared = fully_shard(block, mesh=mesh)
        shared.set_gradient_divide_factor(1.0)  # a sum, as of gradients that are whole
        shared.set_force_sum_reduction_for_comms(True)
    model.to(PartialState().device)


def gather(tensor: Tensor) -> Tensor:
    """A tensor, gathered if it is shared out; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered_state(model: nn.Module) -> dict[str, Tensor] | None:
    """The adapter's weights by name where some are shared out, else nothing; every process must ask."""
    weights = {name: weight for name, weight in model.state_dict().items() if "lora_" in name}
    if not any(isinstance(weight, DTensor) for weight in weights.values()):
        return None
    return {name: gather(weight) for name, weight in weights.items()}


def _several() -> bool:
    return rank_and_world_size()[1] > 1


def _sum(tensor: Tensor) -> Tensor:
    dist.all_reduce(tensor)
    return tensor


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
