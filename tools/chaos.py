"""Kill a miniature run again and again, damage what it made, fill its disk: the table must come out the same.

    python -m tools.chaos [--rounds 20] [--cores 2] [--seed 0] [--folder FOLDER]

Everything happens in folders of its own; only processes that were started here are killed.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tools.calls import Call, ran

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "tests" / "workflow" / "chaos.yaml"
TABLE = "results/table3.csv"
METHOD = "results/models/tiny-llava/forget25/mmunlearner/seed0"
#: More starts than that, and something does not come to an end.
STARTS = 6


class ChaosError(AssertionError):
    """Something was lost, done twice, or not said."""


@dataclass(frozen=True)
class Chaos:
    """Where it happens, and with how many cores."""

    folder: Path
    cores: int
    target: str = TABLE
    configs: tuple[Path, ...] = (CONFIG,)
    calls: list[Call] = field(default_factory=list)

    def start(self, name: str, *arguments: str) -> Call:
        """Start a call in the folder of that name."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        output = folder / f"call{len(list(folder.glob('call*')))}.txt"
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--directory",
            str(folder),
        ]
        command += ["--cores", str(self.cores), self.target, "--configfile", *map(str, self.configs), *arguments]
        with output.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.calls.append(Call(folder, process, output))
        return self.calls[-1]

    def close(self) -> None:
        """Kill whatever was started and still runs, as when this is itself told to end."""
        for call in self.calls:
            if call.process.poll() is None:
                call.kill("both")
                call.wait()

    def finish(self, name: str) -> list[Call]:
        """Call until it is done, taking away locks of the dead; every call there was."""
        calls: list[Call] = []
        while len(calls) < STARTS:
            if list((self.folder / name / ".snakemake" / "locks").glob("*.lock")):
                self.start(name, "--unlock").wait()
            calls.append(self.start(name))
            if calls[-1].wait() == 0:
                return calls
        raise ChaosError(f"{name}: not done after {STARTS} starts; see {calls[-1].output}")

    def copy(self, name: str) -> Path:
        """A folder as the undisturbed run left it."""
        folder = self.folder / name
        shutil.copytree(self.folder / "undisturbed", folder, symlinks=True)
        return folder

    def expect(self, holds: bool, what: str) -> None:
        """Complain unless it holds."""
        if not holds:
            raise ChaosError(what)

    def expect_nothing_twice(self, calls: Sequence[Call]) -> None:
        """No job that had finished in one call was started by a later one."""
        done: set[str] = set()
        for call in calls:
            now = ran(call.text)
            self.expect(not done & now.started, f"{call.output}: ran again: {sorted(done & now.started)}")
            done |= now.finished

    def expect_table(self, name: str) -> None:
        """The result is the undisturbed run's, and nothing half done is left."""
        folder = self.folder / name
        same = (folder / self.target).read_bytes() == (self.folder / "undisturbed" / self.target).read_bytes()
        self.expect(same, f"{folder / self.target} differs from the undisturbed run's")
        left = [*folder.glob("results/checkpoints/*"), *folder.glob("results/**/.*.part")]
        self.expect(not left, f"left behind: {left}")


def killed(chaos: Chaos, number: int, seed: int, jobs: int, seconds: float) -> str:
    """Kill one run at a random moment, up to so long after one of its jobs; then finish it."""
    draw = random.Random(f"{seed}:{number}")
    who, jobs, more = draw.choice(["snakemake", "job", "both"]), draw.randrange(jobs), draw.uniform(0, seconds)
    name = f"round{number}"
    for wait in (more, 0.0):  # the last jobs may be done in less
        shutil.rmtree(chaos.folder / name, ignore_errors=True)
        call, met = chaos.start(name), 0
        # By jobs and not by the clock alone, so that it is in the midst of the run on a busy machine too.
        while call.process.poll() is None and len(ran(call.text).finished) < jobs:
            time.sleep(0.05)
        deadline = time.monotonic() + wait
        while call.process.poll() is None and (time.monotonic() < deadline or not (met := call.kill(who))):
            time.sleep(0.05)
        if call.wait() != 0:
            break
    chaos.expect(met > 0, f"{name}: done before anything could be killed")
    calls = [call, *chaos.finish(name)]
    chaos.expect_nothing_twice(calls)
    chaos.expect_table(name)
    resumed = sum(log.read_text(errors="replace").count("going on from") for log in call.folder.rglob("*.log"))
    shutil.rmtree(call.folder)
    return f"SIGKILL to {who} ({met}) {more:.1f} s after {jobs} jobs; {len(calls)} calls, {resumed} trainings went on"


def full_disk(chaos: Chaos) -> str:
    """A disk with room for a part of the results is refused; one that something else fills meanwhile is told of by a job."""
    folder = chaos.folder / "full_disk"
    results = folder / "results"
    results.mkdir(parents=True)
    with mounted(results, "500k") as why_not:
        if why_not:
            return f"skipped: no file system can be mounted here ({why_not})"
        call = chaos.start("full_disk")
        refused = call.wait() != 0 and "are free there; expected at least" in call.text
        chaos.expect(refused, f"nobody said that the disk is too small; see {call.output}")
        subprocess.run(["mount", "-o", "remount,size=64m", str(results)], check=True)
        call = chaos.start("full_disk")
        while call.process.poll() is None and not (results / "jobs").exists():
            time.sleep(0.05)
        ballast = results / "ballast"
        ballast.write_bytes(bytes(max(0, shutil.disk_usage(results).free - 1_000_000)))
        chaos.expect(call.wait() != 0, "a full disk went unnoticed")
        said = re.findall(r"cause: the disk is full .*", call.text)
        chaos.expect(bool(said), f"nobody said that the disk is full; see {call.output}")
        ballast.unlink()
        chaos.finish("full_disk")
        chaos.expect_table("full_disk")
    return f"said: {said[-1]}"


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[str]:
    """A small file system in memory; yields why there is none, or nothing."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        yield done.stderr.strip() if done.returncode else ""
    finally:
        if not done.returncode:
            # Lazily: when this is told to end, a job may still write there.
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def truncated(chaos: Chaos) -> str:
    """An output cut to half, as by a disk that lost the rest: its time stays."""
    for i, path in enumerate([f"{METHOD}/predictions/cloze.parquet", f"{METHOD}/adapter/adapter_model.safetensors"]):
        folder = chaos.copy(f"truncated{i}")
        _damage(folder / path, lambda content: content[: len(content) // 2], keep_time=True)
        (call,) = chaos.finish(folder.name)
        chaos.expect(any(path in job for job in ran(call.text).started), f"{path} was not made again")
        chaos.expect(not any("finetune" in job or "benchmark" in job for job in ran(call.text).started), "too much ran")
        chaos.expect_table(folder.name)
    return "predictions and an adapter: made again"


def flipped(chaos: Chaos) -> str:
    """An adapter with one byte changed: made again, or, where its time hides it, refused with its name."""
    path = f"{METHOD}/adapter/adapter_model.safetensors"
    folder = chaos.copy("flipped")
    _damage(folder / path, _flip, keep_time=False)
    (call,) = chaos.finish("flipped")
    chaos.expect(any(path in job for job in ran(call.text).started), f"{path} was not made again")
    chaos.expect_table("flipped")

    folder = chaos.copy("hidden")
    _damage(folder / path, _flip, keep_time=True)
    (folder / METHOD / "predictions" / "cloze.parquet").unlink()
    call = chaos.start("hidden")
    again = call.wait() == 0
    if not again:
        chaos.expect(f"the adapter {Path(path).parent} is damaged" in call.text, f"not named; see {call.output}")
        shutil.rmtree(folder / Path(path).parent)  # the remedy
        chaos.finish("hidden")
    chaos.expect_table("hidden")
    return f"made again; with its old time: {'made again' if again else 'refused with its name'}"


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def _damage(file: Path, how: Callable[[bytes], bytes], *, keep_time: bool) -> None:
    times = file.stat()
    file.write_bytes(how(file.read_bytes()))
    if keep_time:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def two_at_once(chaos: Chaos) -> str:
    """A second call while the first is at work."""
    first = chaos.start("two")
    while first.process.poll() is None and not list(first.folder.glob(".snakemake/locks/*.lock")):
        time.sleep(0.05)
    second = chaos.start("two")
    chaos.expect(second.wait() != 0, "two calls worked in one folder")
    chaos.expect("Another call of Snakemake is at work" in second.text, f"not said; see {second.output}")
    chaos.expect(first.wait() == 0, f"the first did not end well; see {first.output}")
    chaos.expect_table("two")
    return "the second says that another is at work; the first ends well"


OTHERS = (truncated, flipped, two_at_once, full_disk)


def main() -> int:
    """Run everything, print a line each; 1 if something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept afterwards; by default a temporary one")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with (
        tempfile.TemporaryDirectory() as scratch,
        closing(Chaos((arguments.folder or Path(scratch)).resolve(), arguments.cores)) as chaos,
    ):
        started = time.monotonic()
        whole = chaos.start("undisturbed")
        chaos.expect(whole.wait() == 0, f"the undisturbed run failed; see {whole.output}")
        seconds, jobs = time.monotonic() - started, len(ran(whole.text).finished)
        print(f"undisturbed: {jobs} jobs, {seconds:.0f} s", flush=True)
        cases: dict[str, Callable[[], str]] = {f.__name__: partial(f, chaos) for f in OTHERS}
        cases |= {
            f"round {i}": partial(killed, chaos, i, arguments.seed, jobs, seconds / jobs)
            for i in range(arguments.rounds)
        }
        failed = 0
        for name, case in cases.items():
            try:
                print(f"{name}: held; {case()}", flush=True)
            except (ChaosError, OSError, ValueError) as error:
                failed += 1
                print(f"{name}: DID NOT HOLD; {type(error).__name__}: {error}", flush=True)
        print(f"{len(cases) - failed} of {len(cases)} held, {(time.monotonic() - started) / 60:.1f} minutes")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
