"""Redis commands for operators (spec 02 §7, §12.8; scenario 28)."""

import logging

import pytest
import redis as redis_py

from api.internal import redis_raw
from api.internal.redis_raw import COMMANDS, readable
from tests.api.internal.callers import ANYBODY
from util import redis

URL = "/internal/redis_raw/"

pytestmark = pytest.mark.django_db


def _results(command: str, *args):
    response = ANYBODY.post(URL, {"command": command, "args": args})
    assert response.status_code == 200, response.content
    return response.json()["results"]


def test_scenario_28_only_allowed_commands_run(redis_client, caplog):
    refused = ANYBODY.post(URL, {"command": "flushall"})
    assert refused.status_code == 400
    assert refused.json() == {"command": ['"flushall" is not a valid choice.']}
    with caplog.at_level(logging.WARNING, "api.internal.redis_raw"):
        response = ANYBODY.post(URL, {"command": "set", "args": ["k", "v"]})
    assert (response.status_code, response.json()) == (200, {"results": True})
    assert "set" in caplog.text
    assert ANYBODY.post(URL, {"command": "get", "args": ["k"]}).json() == {"results": "v"}


@pytest.mark.parametrize("command", ["GET", "Get", "flushdb", "eval", "", None, ["get"], {}, 5])
def test_commands_that_are_none(db, command):
    response = ANYBODY.post(URL, {"command": command})
    assert (response.status_code, list(response.json())) == (400, ["command"])
    assert ANYBODY.post(URL, {}).json() == {"command": ["This field is required."]}


@pytest.mark.parametrize(
    ("args", "errors"),
    [
        ([""], {"args": {"0": ["This field may not be blank."]}}),
        (["k", "  "], {"args": {"1": ["This field may not be blank."]}}),
        ("k", {"args": ['Expected a list of items but got type "str".']}),
        ([True], {"args": {"0": ["Not a valid string."]}}),
        ([None], {"args": {"0": ["This field may not be null."]}}),
        ([["k"]], {"args": {"0": ["Not a valid string."]}}),
        (None, {"args": ["This field may not be null."]}),
    ],
)
def test_words_that_are_none(db, args, errors):
    response = ANYBODY.post(URL, {"command": "get", "args": args})
    assert (response.status_code, response.json()) == (400, errors)


def test_reading(redis_client):
    redis_client.mset({"a": 1, "b": b"\xa0i"})
    redis_client.rpush("list", "x", "y", "z")
    redis_client.sadd("set", "m", "n")
    assert _results("dbsize") == 4
    assert _results("get", "a") == "1"
    assert _results("get", " a ") == "1"
    assert _results("get", "b") == "b'\\xa0i'"
    assert _results("get", "missing") is None
    assert _results("exists", "a", "b", "c") == 2
    assert sorted(_results("keys", "*")) == ["a", "b", "list", "set"]
    assert _results("keys", "li*") == ["list"]
    assert _results("ttl", "a") == -1
    assert _results("expiretime", "a") == -1
    assert _results("type", "list") == "list"
    assert _results("llen", "list") == 3
    assert _results("lrange", "list", 0, -1) == ["x", "y", "z"]
    assert _results("scard", "set") == 2
    assert _results("sismember", "set", "m") == 1
    assert _results("smembers", "set") == ["m", "n"]
    assert _results("memory_usage", "a") > 0
    assert _results("memory_stats")["keys.count"] == 4
    assert isinstance(_results("slowlog_get"), list)
    assert "valkey" in _results("lolwut").lower()
    assert _results("info", "server")["redis_version"]
    assert _results("config_get", "maxmemory") == {"maxmemory": "0"}


def test_writing(redis_client, caplog):
    with caplog.at_level(logging.WARNING, "api.internal.redis_raw"):
        assert _results("mset", "a", 1, "b", 2) is True
        assert _results("expire", "a", 100) is True
        assert _results("delete", "a", "b", "c") == 2
        assert _results("rpush", "list", "x", "y", "z") == 3
        assert _results("lpush", "list", "w") == 4
        assert _results("lpop", "list") == "w"
        assert _results("rpop", "list") == "z"
        assert _results("lmove", "list", "other", "LEFT", "RIGHT") == "x"
        assert _results("lmpop", 1, "list", "LEFT", "COUNT", 5) == ["list", ["y"]]
        assert _results("set", "k", "v", "EX", 10) is True
        assert _results("set", "k", "w", "NX") is None
    named = [record.args[0] for record in caplog.records]
    assert named[:3] == ["mset", "expire", "delete"]
    assert len(named) == 11


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("llen", ["text"]),
        ("lrange", ["text"]),
        ("mset", ["a"]),
        ("keys", []),
        ("keys", ["a", "b"]),
        ("config_get", []),
        ("memory_usage", []),
        ("lmpop", ["x"]),
        ("expire", ["text", "potato"]),
        ("dbsize", ["x"]),
        ("slowlog_get", ["x"]),
        ("set", ["a", "b", "EX", "99999999999999999999"]),
    ],
)
def test_what_redis_refuses(redis_client, command, args):
    redis_client.set("text", "text")
    response = ANYBODY.post(URL, {"command": command, "args": args})
    assert response.status_code == 400
    assert response.json()["error"]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_fails_without_words(redis_client, command):
    assert ANYBODY.post(URL, {"command": command}).status_code in (200, 400)


def test_a_refusal_without_words(db, monkeypatch):
    def refuse(*_words):
        raise redis_py.ResponseError

    monkeypatch.setattr(redis_raw, "run_command", refuse)
    response = ANYBODY.post(URL, {"command": "dbsize"})
    assert (response.status_code, response.json()) == (400, {"error": "Bad request."})


def test_no_redis_is_a_failure(db, monkeypatch):
    client = redis_py.Redis(port=1, socket_connect_timeout=0.1)
    monkeypatch.setattr(redis, "client", lambda: client)
    for command in ("dbsize", "keys"):
        response = ANYBODY.post(URL, {"command": command, "args": ["*"]})
        assert (response.status_code, response.content) == (500, b"")


def test_many_keys_are_cut(redis_client, monkeypatch):
    monkeypatch.setattr(redis_raw, "MOST_KEYS", 10)
    redis_client.mset({f"key-{number}": 1 for number in range(25)})
    assert len(_results("keys", "key-*")) == 10


def test_odd_values_become_json():
    value = {b"a": {1.5, 2}, 3: (float("inf"), None), "b": [b"\xff", True]}
    assert readable(value) == {"a": [1.5, 2], "3": ["inf", None], "b": ["b'\\xff'", True]}
