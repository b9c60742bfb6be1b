"""Who has hung up, and who has only said all that he wanted to say (spec 11 §4)."""

import socket
import struct
from collections.abc import Iterator

import pytest

from deployment.local.ports import LOOPBACK
from tests.deployment.processes import wait_for
from util import hang_up
from util.hang_up import Client

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The two ends of a connection: the client's and ours."""
    with socket.create_server((LOOPBACK, 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with theirs, ours:
        yield theirs, ours


def interim(ours: socket.socket) -> Client:
    return Client(ours, understands_interim_answers=True)


def test_who_is_there_is_not_disturbed(pair):
    theirs, ours = pair
    client = interim(ours)
    assert not client.has_hung_up()
    assert not client.has_hung_up()
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


def test_who_closes_the_connection_has_hung_up(pair):
    theirs, ours = pair
    client = interim(ours)
    theirs.close()
    assert wait_for(client.has_hung_up)


def test_who_sends_no_more_still_waits(pair):
    """Issue 14: a client that closes its sending side, as ``nc -N`` does, gets its answer."""
    theirs, ours = pair
    client = interim(ours)
    theirs.shutdown(socket.SHUT_WR)
    assert not any(client.has_hung_up() for _ in range(5))
    assert theirs.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n", "asked once"
    client.answer_begins()
    assert not client.has_hung_up()
    theirs.close()
    ours.send(b"HTTP/1.1 200 OK\r\n\r\n")
    assert wait_for(client.has_hung_up)


def test_who_resets_the_connection_has_hung_up(pair):
    theirs, ours = pair
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    assert interim(ours).has_hung_up()


@pytest.mark.parametrize("why", ["protocol", "answer"])
def test_who_cannot_be_asked_has_hung_up_after_a_while(pair, why, monkeypatch):
    """HTTP/1.0 knows no interim answers, and there are none once the answer has begun."""
    theirs, ours = pair
    client = Client(ours, understands_interim_answers=why == "answer")
    client.answer_begins()
    theirs.shutdown(socket.SHUT_WR)
    monkeypatch.setattr(hang_up, "SILENCE", 3600)
    assert not client.has_hung_up()
    monkeypatch.setattr(hang_up, "SILENCE", 0)
    assert client.has_hung_up()
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


def test_a_connection_that_we_have_closed_has_nobody(pair):
    _, ours = pair
    ours.close()
    assert interim(ours).has_hung_up()
