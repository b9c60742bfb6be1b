"""A snapshot of EBS as a source, by the EBS direct APIs (spec 13 §4)."""

import base64
import hashlib
import random
import threading
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Self, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ResponseStreamingError
from botocore.exceptions import ConnectionError as AwsConnectionError

from api.inspector.errors import UnreadableError
from api.inspector.limits import KIB, MIB

IN_FLIGHT = 8
"""Blocks that are asked for at the same time."""

READS = 3
"""How often a block is asked for whose checksum is wrong."""

ATTEMPTS = 8
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
"""How often AWS is asked that is too busy, and the seconds in between."""

_PAGE = 10_000
_PAGES = 8
_BLOCKS = 32
"""Tokens of blocks that one call lists; lists and blocks that are remembered."""

_GIB = 1024 * MIB
_BUSY = frozenset(
    {
        "InternalServerException",
        "RequestThrottledException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_SERVER_ERROR = 500

Answer = TypeVar("Answer")


class _BlockRange(NamedTuple):
    """The blocks from ``first`` up to, not including, ``end`` that hold something."""

    first: int
    end: int
    indexes: list[int]
    tokens: list[str]


class SnapshotSource:
    """A snapshot of our own account. Blocks that AWS does not list are zeros.

    Blocks are asked for when they are needed, and ahead of that where they are read in a row. Wrong
    checksums for good raise UnreadableError; AWS's refusals and outages pass through.
    """

    def __init__(
        self, client: Any, snapshot_id: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._snapshot_id = snapshot_id
        self._sleep = sleep
        self._lock = threading.Lock()
        self._pages: OrderedDict[int, _BlockRange] = OrderedDict()
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._next = -1
        self._run = 0
        self.blocks_read = 0
        self.size = 0
        self.block_size = MIB // 2
        self._list(0)
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="ebs")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def read(self, offset: int, size: int) -> bytes:
        """Return these bytes; see ``sources.ByteSource``."""
        end = min(offset + size, self.size)
        if end <= offset:
            return b""
        first, last = offset // self.block_size, (end - 1) // self.block_size
        futures = self._ask_for(first, last)
        data = b"".join(future.result() for future in futures)
        start = first * self.block_size
        return data[offset - start : end - start]

    def _ask_for(self, first: int, last: int) -> list[Future[bytes]]:
        """Return the blocks of a range, on their way or here, and ask ahead if it goes on a run."""
        if first == self._next:
            self._run += last - first + 1
        elif last + 1 != self._next:
            self._run = 0
        self._next = last + 1
        ahead = min(IN_FLIGHT, self._run) if self._run > 1 else 0
        final = (self.size - 1) // self.block_size
        wanted = [self._block(number) for number in range(first, last + 1)]
        for number in range(last + 1, min(last + ahead, final) + 1):
            self._block(number)
        while len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)
        return wanted

    def _block(self, number: int) -> Future[bytes]:
        known = self._blocks.get(number)
        # What failed is tried once more when it is asked for again.
        if known is None or (known.done() and known.exception() is not None):
            token = self._token(number)
            known = self._blocks[number] = (
                self._pool.submit(self._fetch, number, token) if token else self._zeros()
            )
        self._blocks.move_to_end(number)
        return known

    def _zeros(self) -> Future[bytes]:
        future: Future[bytes] = Future()
        future.set_result(bytes(self.block_size))
        return future

    def _token(self, number: int) -> str | None:
        """Return AWS's token of a block; None for a block of zeros."""
        page = next(
            (one for one in self._pages.values() if one.first <= number < one.end), None
        ) or self._list(number)
        place = bisect_left(page.indexes, number)
        if place < len(page.indexes) and page.indexes[place] == number:
            return page.tokens[place]
        return None

    def _list(self, first: int) -> _BlockRange:
        answer = self._patiently(
            lambda: self._client.list_snapshot_blocks(
                SnapshotId=self._snapshot_id, StartingBlockIndex=first, MaxResults=_PAGE
            )
        )
        blocks = sorted((one["BlockIndex"], one["BlockToken"]) for one in answer["Blocks"])
        self.size = answer["VolumeSize"] * _GIB
        told = answer["BlockSize"]
        # AWS says bytes; simulations of it are known to mean KiB.
        self.block_size = told if told > KIB else told * KIB
        is_last = not answer.get("NextToken") or not blocks
        page = _BlockRange(
            first=first,
            end=self.size // self.block_size + 1 if is_last else blocks[-1][0] + 1,
            indexes=[index for index, _ in blocks],
            tokens=[token for _, token in blocks],
        )
        self._pages[first] = page
        while len(self._pages) > _PAGES:
            self._pages.popitem(last=False)
        return page

    def _fetch(self, number: int, token: str) -> bytes:
        """Get a block whose checksum is right. Raises UnreadableError."""
        for _ in range(READS):
            data, checksum = self._patiently(lambda: self._get(number, token))
            if base64.b64encode(hashlib.sha256(data).digest()).decode() == checksum:
                return data.ljust(self.block_size, b"\0")
        raise UnreadableError(f"block {number} of {self._snapshot_id} has a wrong checksum")

    def _get(self, number: int, token: str) -> tuple[bytes, str]:
        with self._lock:
            self.blocks_read += 1
        answer = self._client.get_snapshot_block(
            SnapshotId=self._snapshot_id, BlockIndex=number, BlockToken=token
        )
        return answer["BlockData"].read(), answer["Checksum"]

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        pause = _FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return call()
            except (ClientError, BotoCoreError) as error:
                if attempt == ATTEMPTS or not _is_passing(error):
                    raise
            self._sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError("the last attempt returns or raises")


def _is_passing(error: Exception) -> bool:
    """Return whether the same call may succeed later."""
    if not isinstance(error, ClientError):
        return isinstance(error, AwsConnectionError | HTTPClientError | ResponseStreamingError)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return error.response.get("Error", {}).get("Code") in _BUSY or status >= _SERVER_ERROR
