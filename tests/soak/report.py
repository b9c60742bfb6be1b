"""What a soak tells: lines while it runs, and a report at its end."""

import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OUTPUT = Path("build") / "soak.json"


@dataclass
class Report:
    """What a soak came to."""

    seed: int
    minutes: float
    verdict: str = "interrupted"
    problems: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    irregularities: dict[str, int] = field(default_factory=dict)
    done: dict[str, Any] = field(default_factory=dict)
    growth: dict[str, dict[str, float]] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    """The truth and what is stored, of customers whose numbers are wrong."""
    alerts: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        """Write build/soak.json, and say the same to people."""
        OUTPUT.parent.mkdir(exist_ok=True)
        OUTPUT.write_text(json.dumps(asdict(self), indent=2, default=str) + "\n")
        print(f"\nsoak of {self.minutes:g} minutes, seed {self.seed}: {self.verdict}")
        for title, counts in (("faults", self.faults), ("irregularities", self.irregularities)):
            print(f"{sum(counts.values())} {title}")
            for name, number in sorted(counts.items()):
                print(f"  {number:6} {name}")
        print(f"done: {self.done}")
        for name, held in self.growth.items():
            print(f"{name}: {held}")
        if self.alerts:
            print(f"alerts: {self.alerts}")
        for problem in self.problems:
            print(f"WRONG: {problem}")
        if self.verdict != "good":
            print(f"again: SOAK_SEED={self.seed} SOAK_MINUTES={self.minutes:g} make soak")


class Progress:
    """A line every few seconds, which says how far a run has come."""

    def __init__(self, seconds_between: float = 5.0) -> None:
        self._between = seconds_between
        self._begin = time.monotonic()
        self._next_at = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin

    def tell(self, text: str) -> None:
        """Say something."""
        print(f"{self.seconds:6.0f} s  {text}", flush=True)

    def tell_now_and_then(self, faults: Counter[str], done: dict[str, Any]) -> None:
        """Say how far it is, if it is time to."""
        if self.seconds >= self._next_at:
            self._next_at = self.seconds + self._between
            counts = ", ".join(f"{number} {name}" for name, number in done.items())
            self.tell(f"{sum(faults.values())} faults; {counts}")
            sys.stdout.flush()
