"""A Valkey cluster for tests: three nodes on loopback that share the slots, and a replica of the first."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

START_SECONDS = 20.0
SLOTS = 16_384


@dataclass
class Node:
    """One node."""

    program: Path
    folder: Path
    port: int
    bus: int
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it answers; what it knew of the cluster it still knows."""
        settings = {
            "port": self.port,
            "cluster-port": self.bus,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": "",
            "appendonly": "no",
            "cluster-enabled": "yes",
            "cluster-config-file": f"nodes-{self.port}.conf",
            "cluster-node-timeout": 1000,
            "cluster-require-full-coverage": "no",
            "loglevel": "warning",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        silent = asyncio.subprocess.DEVNULL
        self.process = await asyncio.create_subprocess_exec(self.program, *options, stdout=silent, stderr=silent)
        await until(self.answers)

    async def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def ask(self, *command: object) -> Any:
        """One command to this node and no other. Raises RedisError."""
        async with Redis(host="127.0.0.1", port=self.port, socket_timeout=2) as redis:
            return await cast("Any", redis).execute_command(*command)

    async def answers(self) -> bool:
        """Whether it is up."""
        try:
            return bool(await self.ask("PING"))
        except (RedisError, OSError):
            return False

    async def id(self) -> str:
        """Its name in the cluster."""
        return bytes(await self.ask("CLUSTER", "MYID")).decode()


@dataclass
class Cluster:
    """The nodes: three that share the slots, and the replica of one of them, at first of the first."""

    nodes: list[Node]

    @property
    def url(self) -> str:
        """The setting that names it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def has(self, key: str) -> Node:
        """The node that was given a key's slot at the start."""
        return self.nodes[min(key_slot(key.encode()) // (SLOTS // 3), 2)]

    async def move(self, key: str, there: Node) -> None:
        """Move a key's slot to another node, as an operator does."""
        slot, here = key_slot(key.encode()), self.has(key)
        here_id, there_id = await here.id(), await there.id()
        await there.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", here_id)
        await here.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", there_id)
        while keys := await here.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            await here.ask("MIGRATE", "127.0.0.1", there.port, "", 0, 5000, "KEYS", *keys)
        for node in (there, here):
            await node.ask("CLUSTER", "SETSLOT", slot, "NODE", there_id)

    async def replicate(self, node: Node) -> None:
        """Let the last node be this one's replica, and wait until it has all that this one has."""
        replica, node_id = self.nodes[-1], await node.id()
        await replica.ask("CLUSTER", "REPLICATE", node_id)

        async def is_in_step() -> bool:
            told = await replica.ask("INFO", "replication")
            return (told.get("master_link_status"), told.get("master_port")) == ("up", node.port)

        await until(is_in_step)


async def until(true: Any, seconds: float = START_SECONDS) -> None:
    """Ask until it is so. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - the thing is in other processes
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def cluster_of(program: Path, folder: Path) -> AsyncGenerator[Cluster]:
    """A cluster on free ports, gone when the block ends."""
    ports = _free_ports(8)
    nodes = [Node(program, folder, port, bus) for port, bus in zip(ports[:4], ports[4:], strict=True)]
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        await _join(nodes)
        cluster = Cluster(nodes)
        await cluster.replicate(nodes[0])
        yield cluster
    finally:
        await asyncio.gather(*(node.kill() for node in nodes if node.process is not None))


async def _join(nodes: list[Node]) -> None:
    share = SLOTS // 3
    for number, node in enumerate(nodes):
        await node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < 3:
            last = SLOTS - 1 if number == 2 else (number + 1) * share - 1
            await node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
    for node in nodes[1:]:
        await nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)

    async def all_agree() -> bool:
        infos = [bytes(await node.ask("CLUSTER", "INFO")) for node in nodes]
        return all(b"cluster_state:ok" in info and b"cluster_known_nodes:4" in info for info in infos)

    await until(all_agree)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(listening.getsockname()[1]) for listening in found]


__all__ = ["Cluster", "Node", "cluster_of", "until"]
