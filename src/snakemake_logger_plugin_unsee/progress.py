"""What a run has done and what is left: counts, and the time left from the mean duration of each rule's jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class _Job:
    rule: str
    name: str
    start: float


@dataclass
class RunProgress:
    """The jobs of one run. Times are seconds since the epoch.

    Attributes:
        counts: how many jobs of each rule there are to run.
    """

    counts: dict[str, int]
    failed: int = 0
    _running: dict[int, _Job] = field(default_factory=dict)
    _seconds: dict[str, list[float]] = field(default_factory=dict)
    _first_start: float | None = None

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """How many jobs have finished."""
        return sum(map(len, self._seconds.values()))

    def start(self, job: int, rule: str, name: str, now: float) -> None:
        """A job starts, perhaps again after a failure."""
        self._running[job] = _Job(rule, name, now)
        self._first_start = now if self._first_start is None else self._first_start

    def finish(self, job: int, now: float) -> str:
        """A job is done; its line."""
        ended = self._running.pop(job)
        self._seconds.setdefault(ended.rule, []).append(now - ended.start)
        return self._line(ended, now)

    def fail(self, job: int, now: float) -> str:
        """A job has failed; its line."""
        ended = self._running.pop(job)
        self.failed += 1
        return f"{self._line(ended, now)}  FAILED"

    def seconds_left(self, now: float) -> float | None:
        """An estimate of the time left, or None while there is too little to go by.

        The jobs left of a rule take as long as those that are done took on average, and as many run at a time as so far. There is no
        estimate while a rule has several jobs left and none done, or after a failure, when it is open which jobs can still run.
        """
        if self.failed or self._first_start is None or now <= self._first_start:
            return None
        work = 0.0
        for rule, count in self.counts.items():
            seconds = self._seconds.get(rule, [])
            left = count - len(seconds)
            if not seconds and left > 1:
                return None
            work += left * sum(seconds) / max(1, len(seconds))
        elapsed = {job: now - one.start for job, one in self._running.items()}
        for job, one in self._running.items():
            seconds = self._seconds.get(one.rule, [])
            work -= min(elapsed[job], sum(seconds) / max(1, len(seconds)))
        busy = sum(map(sum, self._seconds.values())) + sum(elapsed.values())
        return work * (now - self._first_start) / busy

    def status(self, now: float) -> str:
        """What stands beside the bar: the jobs that run, and the time left."""
        parts = [f"{self.failed} failed"] if self.failed else []
        if self._running:
            oldest = min(self._running.values(), key=lambda job: job.start)
            others = f" and {len(self._running) - 1} more" if len(self._running) > 1 else ""
            parts.append(f"{oldest.rule}{others} for {in_words(now - oldest.start)}")
        left = self.seconds_left(now)
        if left is not None:
            parts.append(f"about {in_words(left)} left")
        return "; ".join(parts)

    def _line(self, job: _Job, now: float) -> str:
        width = len(str(self.total))
        return f"[{self.done:>{width}}/{self.total}] {job.name:<55} {in_words(now - job.start):>8}"


def in_words(seconds: float) -> str:
    """A duration: ``14 s``, ``3 min``, ``2 h 05 min``."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def job_name(rule: str, logs: list[str], wildcards: Mapping[str, str]) -> str:
    """A job's name as in the messages of failed jobs: its log's path below ``results/jobs`` without the suffix.

    A job without a log there is named by its rule and wildcards.
    """
    for log in logs:
        _, folder, rest = log.rpartition("results/jobs/")
        if folder:
            return rest.rsplit(".", 1)[0]
    return "/".join([rule, *map(str, wildcards.values())])
