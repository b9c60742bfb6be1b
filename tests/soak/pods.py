"""Processes of the product, each in its place: what ends is started again, as a kubelet does."""

import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from deployment.local.process import ManagedProcess
from tests.deployment.processes import send_signal, signal_family
from tests.soak import plan

SECONDS_BETWEEN_LOOKS = 0.3


@dataclass
class Slot:
    """A place for one process after the other; ``start`` gets by how much its clock is wrong."""

    name: str
    start: Callable[[int], ManagedProcess]
    chance: random.Random
    process: ManagedProcess | None = None
    lives: int = 0
    shift: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def pid(self) -> int | None:
        """The process id of what runs there now."""
        process = self.process
        return process.pid if process and process.exit_code() is None else None


class Pods:
    """All processes of the product."""

    def __init__(self, seed: int, start: Callable[[str, int], ManagedProcess]) -> None:
        self.slots = {
            name: Slot(
                name,
                lambda shift, name=name: start(name, shift),  # type: ignore[misc]
                random.Random(f"{seed} {name}"),
            )
            for part in plan.PARTS
            for name in plan.slots(part)
        }
        self.ended_alone: Counter[str] = Counter()
        """Processes that ended although nobody had asked them to, by name and exit code."""
        self.shifted: Counter[str] = Counter()
        self._expected: set[int] = set()
        self._ended = threading.Event()
        for slot in self.slots.values():
            self._start(slot)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def kill(self, name: str) -> None:
        """Let a process and its children die without a word."""
        self._signal_all(name, signal.SIGKILL)

    def restart(self, name: str) -> None:
        """Ask a process to end."""
        slot = self.slots[name]
        with slot.lock:
            if slot.process and slot.pid:
                self._expected.add(slot.pid)
                slot.process.request_stop()

    def freeze(self, name: str, seconds: float) -> None:
        """Let a process stand still for a while."""
        stopped = self._signal_all(name, signal.SIGSTOP)
        self._ended.wait(seconds)
        send_signal(stopped, signal.SIGCONT)

    def stop(self) -> None:
        """Start nothing any more."""
        self._ended.set()
        self._thread.join()

    def _signal_all(self, name: str, number: signal.Signals) -> list[int]:
        slot = self.slots[name]
        with slot.lock:
            if slot.pid is None:
                return []
            if number == signal.SIGKILL:
                self._expected.add(slot.pid)
            return signal_family(slot.pid, number)

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_LOOKS):
            for slot in self.slots.values():
                with slot.lock:
                    self._look(slot)

    def _look(self, slot: Slot) -> None:
        process = slot.process
        if process is None or (code := process.exit_code()) is None:
            return
        if process.pid not in self._expected:
            self.ended_alone[f"{slot.name.split('-')[0]} with exit code {code}"] += 1
        # Takes what it left running with it, too.
        process.stop()
        self._start(slot)

    def _start(self, slot: Slot) -> None:
        slot.shift = plan.shift(slot.chance)
        self.shifted["clock ahead or behind" if slot.shift else "clock right"] += 1
        slot.lives += 1
        slot.process = slot.start(slot.shift)
