"""Redis commands for operators, as words of the command line (spec 02 §7, §12.8)."""

import datetime
import itertools
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis, RedisError
from redis.exceptions import DataError, ResponseError
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.internal.views import ActionView
from util import redis

logger = logging.getLogger(__name__)

READING = {
    "config_get": "CONFIG GET",
    "dbsize": "DBSIZE",
    "info": "INFO",
    "lolwut": "LOLWUT",
    "memory_stats": "MEMORY STATS",
    "memory_usage": "MEMORY USAGE",
    "slowlog_get": "SLOWLOG GET",
    "exists": "EXISTS",
    "expiretime": "EXPIRETIME",
    "get": "GET",
    "keys": "KEYS",
    "ttl": "TTL",
    "type": "TYPE",
    "llen": "LLEN",
    "lrange": "LRANGE",
    "scard": "SCARD",
    "sismember": "SISMEMBER",
    "smembers": "SMEMBERS",
}
DESTRUCTIVE = {
    "delete": "DEL",
    "expire": "EXPIRE",
    "mset": "MSET",
    "set": "SET",
    "lmove": "LMOVE",
    "lmpop": "LMPOP",
    "lpop": "LPOP",
    "lpush": "LPUSH",
    "rpop": "RPOP",
    "rpush": "RPUSH",
}
COMMANDS = READING | DESTRUCTIVE

MOST_KEYS = 10_000
"""So many keys at most are listed by ``keys``."""
SCAN_BATCH = 1000


class CommandSerializer(serializers.Serializer):
    """A command's name, as redis-py has it, and its words."""

    command = serializers.ChoiceField(choices=list(COMMANDS))
    args = serializers.ListField(child=serializers.CharField(), required=False, default=list)


class RedisRawView(ActionView):
    """Run one of the allowed Redis commands; keys get no prefix."""

    def post(self, request: Request) -> Response:
        """Answer what Redis says; what it refuses is a 400 with its text."""
        serializer = CommandSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        command, words = serializer.validated_data["command"], serializer.validated_data["args"]
        self.audit(f"Redis command {command}")
        if command in DESTRUCTIVE:
            logger.warning("Destructive Redis command: %s", command)
        try:
            results = run_command(redis.client(), command, words)
        except (ResponseError, DataError) as error:
            raise ValidationError({"error": str(error) or "Bad request."}) from error
        except RedisError:
            logger.exception("Redis command %s failed", command)
            return Response(status=status.HTTP_500_INTERNAL_SERVER_ERROR)
        return Response({"results": readable(results)})


def run_command(client: Redis, command: str, words: list[str]) -> Any:
    """Run a command of ``COMMANDS``. Raises RedisError."""
    if command == "keys":
        return _scan(client, words)
    return client.execute_command(COMMANDS[command], *words)


def _scan(client: Redis, words: list[str]) -> list[bytes]:
    """List keys without holding Redis up, as ``KEYS`` would."""
    if len(words) != 1:
        raise ResponseError("wrong number of arguments for 'keys' command")
    found = itertools.islice(client.scan_iter(match=words[0], count=SCAN_BATCH), MOST_KEYS + 1)
    keys = list(dict.fromkeys(found))
    if len(keys) > MOST_KEYS:
        logger.warning("More than %d keys match, the rest is not listed", MOST_KEYS)
    return keys[:MOST_KEYS]


def readable(value: Any) -> Any:
    """Turn what redis-py returns into JSON values: bytes become text, sets become lists."""
    for types, convert in _CONVERSIONS:
        if isinstance(value, types):
            return convert(value)
    return str(value)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return repr(value)


def _object(value: Mapping) -> dict[str, Any]:
    return {str(readable(key)): readable(member) for key, member in value.items()}


def _array(value: list | tuple) -> list[Any]:
    return [readable(member) for member in value]


def _sorted_array(value: set | frozenset) -> list[Any]:
    return sorted(_array(list(value)), key=str)


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


_CONVERSIONS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((type(None), bool, int, str), lambda value: value),
    (bytes, _text),
    (float, _number),
    (Mapping, _object),
    ((set, frozenset), _sorted_array),
    ((list, tuple), _array),
    (datetime.datetime, datetime.datetime.isoformat),
)
