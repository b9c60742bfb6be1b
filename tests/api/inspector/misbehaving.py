"""A child that does to its parent what a hostile disk might: the drive's name says what."""

import json
import os
import signal
import sys
import time

from api.inspector.child import tell
from api.inspector.partition import unread


def main() -> None:
    job = json.loads(sys.stdin.buffer.readline())
    output = sys.stdout.buffer
    if job["path"] == "stillborn":
        sys.exit(1)
    tell(output, {"started": True})
    volumes = [f"{job['path']}{number}" for number in (1, 2, 3)]
    for volume in volumes:
        if volume in job["skip"]:
            continue
        tell(output, {"begin": volume})
        if volume.endswith("2"):
            misbehave(job["path"], output)
        tell(output, {"path": volume, "result": unread("swap")})
    tell(output, {"done": True, "errors": []})


def misbehave(how: str, output) -> None:
    DEEDS[how](output)


def crash(output) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def spin(output) -> None:
    while True:
        pass


def talk_nonsense(output) -> None:
    output.write(b"[1]\n{\n")
    output.flush()
    signal.pause()


def flood(output) -> None:
    while True:
        output.write(b"x" * 2**20)


def read_for_ever(output) -> None:
    while True:
        tell(output, {"read": [0, 2**20]})
        sys.stdin.buffer.read(5)


def not_listen(output) -> None:
    tell(output, {"read": [0, 2**22]})
    time.sleep(600)


DEEDS = {
    "crash": crash,
    "hang": lambda output: signal.pause(),
    "spin": spin,
    "exit": lambda output: sys.exit(3),
    "nonsense": talk_nonsense,
    "flood": flood,
    "greedy": read_for_ever,
    "deaf": not_listen,
}


if __name__ == "__main__":
    main()
