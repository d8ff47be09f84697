"""What every script of a rule starts with: this clone's library, the job's output in the job's log, and how the job ends."""

import gc
import json
import logging
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

# A script imports its libraries next: a second in five of that is the collector looking at what is there to stay.
gc.disable()

BEGAN = time.monotonic()

# First, so that a job in a conda environment or on a cluster's node finds it, and finds this one.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from unsee.core import failures, gpus, resume, shared  # noqa: E402

#: What jobs share, by content; not an output of any: it may be deleted at any time, and changes no result.
CACHE = Path("results/cache")
#: What unfinished jobs have done so far; deleting it costs nothing but that.
CHECKPOINTS = Path("results/checkpoints")
JOBS = Path("results/jobs")


def bind(snakemake: Any) -> None:
    """Give the process its own GPUs, and no more threads than its job has.

    Snakemake bounds the threads of OpenMP, MKL and OpenBLAS, and the library those of torch; this is for the tokenizers.
    """
    os.environ["RAYON_NUM_THREADS"] = str(snakemake.threads)
    gpus.claim(snakemake.resources.gpu)


# Here, before the script imports anything that looks for GPUs or counts cores.
bind(sys.modules["__main__"].snakemake)


def start(snakemake: Any) -> dict[str, dict[str, str]]:
    """Send all output, that of compiled libraries too, to the rule's log; a job that fails says last what to do about it.

    Returns:
        The digests of what the jobs have made whose results this job gathers, by receipt. They are checked: a job that gathers ends
        here if one of them is of another configuration or code than the present one. Nothing for other jobs.
    """
    gc.freeze()
    gc.enable()
    sys.stdout.flush()
    terminal = os.dup(2)
    with open(snakemake.log[0], "w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("unsee").setLevel(logging.INFO)

    def fail(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        text = failures.message(name(snakemake), snakemake.rule, error)
        try:
            traceback.print_exception(kind, error, trace)
            print(text, file=sys.stderr, flush=True)
        except OSError:  # the log's disk is full
            os.write(terminal, f"{text}\n".encode())

    sys.excepthook = fail
    signal.signal(signal.SIGTERM, _stop)
    _need_gpu(snakemake)
    return _check_receipts(snakemake)


def name(snakemake: Any) -> str:
    """The job's name, the path of its log: ``unlearn/{model}/forget{percent}/{method}/seed{seed}``."""
    return str(Path(snakemake.log[0]).relative_to(JOBS).with_suffix(""))


def checkpoint_dir(snakemake: Any) -> resume.CheckpointDir:
    """Where the job finds what an earlier start of it has done, if all that decides its result is the same.

    That is what its rule names: input, parameters (digests of the code are among them), threads; and the versions and the device.
    """
    import torch

    from unsee.core.cache import digest, environment_key
    from unsee.jobs.receipts import LARGE

    on_gpu = torch.cuda.is_available()
    torch.set_num_threads(snakemake.threads)
    large = [path for path in map(Path, snakemake.input) if path.stat().st_size > LARGE]
    small = [Path(path) for path in snakemake.input if Path(path) not in large]
    state = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in large]
    key = digest(
        environment_key(small, "cuda" if on_gpu else "cpu"),
        torch.cuda.get_device_name() if on_gpu else "",
        *map(str, snakemake.input),
        *state,
        repr(snakemake.params),
    )
    return resume.acquire(CHECKPOINTS, name(snakemake), key, **snakemake.config["checkpoint"])


def shared_model(snakemake: Any) -> shared.SharedModel | None:
    """Where other folders find what this job makes, and this job what they made; None without ``shared_models``.

    The model's name there is a digest of the job's parameters and code, of the content of every input, of the libraries, of the GPU or
    processor, and of the number of threads: of all that decides a bit of the result.
    """
    folder = snakemake.config["shared_models"]
    if folder is None:
        return None
    import torch

    from unsee.core.cache import Cache, digest
    from unsee.core.versions import COMPUTING, RECORDED, versions
    from unsee.jobs import receipts

    content, hardware = Cache(CACHE).file_digest, receipts.hardware()
    key = digest(
        snakemake.params.job_hash,
        *sorted(f"{Path(path).name} {content(Path(path))}" for path in map(str, snakemake.input)),
        str(sorted(versions({*COMPUTING, *RECORDED} - {"snakemake"}).items())),
        sys.version.split()[0],
        str(hardware["gpus"] or [hardware["processor"], snakemake.threads]),
        str(torch.get_default_dtype()),
    )
    return shared.SharedModel(Path(folder), key)


def cost() -> dict[str, float]:
    """The seconds and the largest memory of this job so far, as Snakemake measures them."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"seconds": round(time.monotonic() - BEGAN, 4), "peak_memory_mb": round(memory, 2)}


def done(snakemake: Any, **more: Any) -> None:
    """Leave the job's receipt beside its log, and a manifest beside what it made where its rule has one.

    Args:
        snakemake: the job.
        more: for the manifest.
    """
    from unsee.jobs import receipts

    # Lists of digests, and what is in the table's manifest anyway.
    left_out = {"attack_code", "code", "configuration", "family_code", "job_hash", "method_code", "receipts"}
    made = receipts.describe(
        rule=snakemake.rule,
        job_hash=snakemake.params.job_hash,
        parameters={name: value for name, value in snakemake.params.items() if name not in left_out},
        inputs=map(str, snakemake.input),
        project=Path(__file__).resolve().parents[2],
    )
    if "manifest" in snakemake.output.keys():  # noqa: SIM118
        manifest = Path(snakemake.output.manifest)
        entries = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
        receipts.write(manifest, entries | more | {"made": made})
    receipt = Path(snakemake.log[0]).with_suffix(".json")
    receipts.write(receipt, made | {"outputs": receipts.outputs(map(str, snakemake.output))})


def _check_receipts(snakemake: Any) -> dict[str, dict[str, str]]:
    expected = snakemake.params.get("receipts")
    if expected is None:
        return {}
    from unsee.jobs import receipts

    return receipts.check(expected)


def _stop(number: int, frame: Any) -> NoReturn:
    raise failures.StoppedError()


def _need_gpu(snakemake: Any) -> None:
    """Refuse to do on a CPU in weeks what is meant for a GPU; half precision is what tells the one from the other."""
    model = snakemake.params.get("model")
    if not snakemake.resources.get("gpu") or not isinstance(model, dict):
        return
    import torch

    if torch.cuda.is_available():
        return
    wanted = f"resources.{snakemake.rule}.gpu is {snakemake.resources.gpu}"
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
    missing = f"torch {torch.__version__} finds no GPU here (CUDA_VISIBLE_DEVICES: {shown or 'empty'})"
    if model["dtype"] != "float32":
        raise failures.JobError(
            f"{wanted} and model.dtype is {model['dtype']}, but {missing}",
            "run it where nvidia-smi shows one, with a torch that is built for it; or set model.dtype: float32 to "
            "compute on the CPU, which only small models are fit for",
        )
    logging.getLogger("unsee").warning("%s, but %s: computing on the CPU", wanted, missing)
