"""A process that looks into mutated disks, one after the other, until one of them kills it."""

import json
import resource
import signal
import sys

from api.inspector.drive import inspect_drive
from api.inspector.errors import Notes
from api.inspector.results import make_entry
from tests.api.inspector import corpus

SECONDS = 60
MEMORY = 512 * 2**20


class Mutated:
    """A disk of the corpus with some bytes changed, as a source."""

    block_size = 65536

    def __init__(self, name, changes) -> None:
        self._data = corpus.content(name)
        self._changes = [(place, bytes.fromhex(text)) for place, text in changes]
        self.size = len(self._data)

    def read(self, offset, size):
        data = bytearray(self._data[offset : offset + size])
        for place, text in self._changes:
            for at, value in enumerate(text, place - offset):
                if 0 <= at < len(data):
                    data[at] = value
        return bytes(data)


def look(name: str, changes) -> dict:
    notes = Notes()
    source = Mutated(name, changes)
    found = dict(inspect_drive(source, "disk", notes=notes, begin=lambda path: None))
    return make_entry({"disk": found}, notes.texts())


def main() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for line in sys.stdin:
        signal.alarm(SECONDS)
        print(json.dumps(look(*json.loads(line)), allow_nan=False), flush=True)
        signal.alarm(0)


if __name__ == "__main__":
    main()
