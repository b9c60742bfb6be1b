"""Redis' URL and client (08 §6.1)."""

import socket

import pytest
import redis
from redis.sentinel import SentinelConnectionPool

from util.clowder import RedisPlace
from util.redis import client, redis_url, without_credentials


@pytest.mark.parametrize(
    ("place", "database", "url"),
    [
        (RedisPlace("r", 6380), 0, "redis://r:6380"),
        (RedisPlace("r", 6380, password="pw"), 0, "redis://:pw@r:6380"),
        (RedisPlace("r", 6380, username="u", password="pw"), 0, "redis://u:pw@r:6380"),
        (RedisPlace("r", 6380, username="u"), 0, "redis://r:6380"),
        (RedisPlace("r", 6380, password="p@s:/s%"), 0, "redis://:p%40s%3A%2Fs%25@r:6380"),
        (RedisPlace("r", 6380, tls=True), 2, "rediss://r:6380/2"),
    ],
)
def test_url(place, database, url):
    assert redis_url(place, database) == url


def test_what_may_be_logged():
    assert without_credentials("redis://u:hunter2@r:6380/1") == "redis://r:6380/1"
    assert without_credentials("redis://r") == "redis://r"
    url = "sentinel://:hunter2@a:1/0;sentinel://:hunter2@b:2"
    assert without_credentials(url) == "sentinel://a:1/0;sentinel://b:2"


def test_one_client_for_all(redis_client):
    assert client() is client()
    client().set("key", "value")
    assert redis_client.get("key") == b"value"


def test_a_redis_that_hangs_is_waited_for_once(settings):
    """Within the time that a web server has for a request."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        settings.REDIS_URL = f"redis://127.0.0.1:{hanging.getsockname()[1]}"
        options = client().connection_pool.connection_kwargs
        assert options["socket_timeout"] + options["socket_connect_timeout"] <= 10
        client().connection_pool.connection_kwargs["socket_timeout"] = 0.1
        with pytest.raises(redis.TimeoutError):
            client().ping()
        hanging.setblocking(False)
        hanging.accept()
        with pytest.raises(BlockingIOError):
            hanging.accept()


def test_sentinels(settings):
    settings.REDIS_URL = "sentinel://:p%40ss@a:26379/3;sentinel://b"
    pool = client().connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "mymaster"
    sentinels = pool.sentinel_manager.sentinels
    assert [one.connection_pool.connection_kwargs["host"] for one in sentinels] == ["a", "b"]
    assert (pool.connection_kwargs["password"], pool.connection_kwargs["db"]) == ("p@ss", 3)


def test_tls(settings):
    settings.REDIS_URL = "rediss://r:6380"
    settings.REDIS_TLS = {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.pem"}
    options = client().connection_pool.connection_kwargs
    assert (options["ssl_cert_reqs"], options["ssl_ca_certs"]) == ("required", "/ca.pem")
