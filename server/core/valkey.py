"""Redis or Valkey, whichever the setting names, one server or a cluster: one client a process, every wait bounded."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisClusterException, RedisError

from server.core.settings import Settings

# What a lost or silent server looks like to us. Callers go on without it: slower or stricter, never wrong. A write to
# a connection that was just lost is a RuntimeError by uvloop, or an AttributeError by redis-py, which lets them pass.
REDIS_AWAY = (RedisError, RedisClusterException, OSError, TimeoutError, RuntimeError, AttributeError)
CLUSTER = ("redis+cluster", "rediss+cluster")


def connect_redis(settings: Settings, *, timeout_seconds: float | None = None, most: int = 64) -> Redis:
    """A client whose calls fail after `timeout_seconds`; redis-py by default waits for ever on a black hole.

    `redis+cluster://host:port,host:port` names nodes of a cluster, any that are up will do; `rediss+cluster` with TLS.
    Its client takes the same commands. All keys of one command or script share a slot, by a tag in braces.
    """
    url = settings.redis_url.get_secret_value()
    timeout = settings.redis_timeout_seconds if timeout_seconds is None else timeout_seconds
    if urlsplit(url).scheme in CLUSTER:
        return cast("Redis", _connect_cluster(url, timeout, most))
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - redis-py leaves **kwargs untyped
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        max_connections=most,
    )


async def primaries(cluster: Redis) -> dict[int, Redis]:
    """A client of its own for the node that has each slot, as of now. Raises one of REDIS_AWAY."""
    untyped = cast("Any", cluster)
    await untyped.initialize()
    await untyped.nodes_manager.initialize()
    clients: dict[str, Redis] = {}
    found: dict[int, Redis] = {}
    for slot, nodes in untyped.nodes_manager.slots_cache.items():
        node = nodes[0]
        if node.name not in clients:
            clients[node.name] = Redis(**_of_one_node(node))
        found[slot] = clients[node.name]
    return found


def slot_of(key: str) -> int:
    """The slot of a key or a sharded channel."""
    return key_slot(key.encode())


def _connect_cluster(url: str, timeout: float, most: int) -> RedisCluster:
    parts = urlsplit(url)
    people, _, hosts = parts.netloc.rpartition("@")
    name, _, password = people.partition(":")
    nodes: list[ClusterNode] = []
    for host in hosts.split(","):
        address, _, port = host.rpartition(":")
        nodes.append(ClusterNode(address.strip("[]"), int(port)))
    return RedisCluster(
        startup_nodes=nodes,
        username=unquote(name) or None,
        password=unquote(password) or None,
        ssl=parts.scheme == "rediss+cluster",
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # Once more, after a fresh look at who has which slot: without it each move of a slot is an error.
        retry=Retry(NoBackoff(), 1),
        # With a node away its slots are away, and not all of them.
        require_full_coverage=False,
        max_connections=most,
    )


def _of_one_node(node: Any) -> dict[str, Any]:
    """How to reach one node alone, as the cluster's client reaches it."""
    names = ("username", "password", "socket_timeout", "socket_connect_timeout")
    known = {name: value for name, value in node.connection_kwargs.items() if name in names}
    is_sealed = issubclass(node.connection_class, SSLConnection)
    return {"host": node.host, "port": node.port, "ssl": is_sealed, "retry": Retry(NoBackoff(), 0), **known}
