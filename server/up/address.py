"""Where the server listens, and what people type to reach it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from dataclasses import dataclass

import psutil

from server.up.folder import Refused

BACKLOG = 1024


@dataclass(frozen=True)
class Listening:
    """The one socket that all server processes accept from: it outlives each of them, so no connection is refused."""

    sock: socket.socket
    host: str
    port: int

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    def address(self, scheme: str) -> str:
        """What to open in a browser. An address that means "all" is told as the one that others reach."""
        return f"{scheme}://{_in_a_url(_reachable(self.host))}:{self.port}"


def listen(host: str, port: int) -> Listening:
    """Take the port. Raises Refused in a sentence when it cannot be had."""
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError:
        raise Refused(f"There is no address {host} to listen on: name one of this machine's with --host.") from None
    everywhere = host == "::" and socket.has_dualstack_ipv6()
    try:
        sock = socket.create_server(where[:2], family=family, backlog=BACKLOG, dualstack_ipv6=everywhere)
    except OSError as error:
        raise Refused(_why(error, host, port)) from None
    sock.setblocking(False)  # noqa: FBT003 - the socket's own way of saying it
    return Listening(sock, host, int(sock.getsockname()[1]))


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine to itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def local_names() -> list[str]:
    """Every name and address by which this machine may be called, in a fixed order."""
    found = {"localhost", socket.gethostname()}
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family in (socket.AF_INET, socket.AF_INET6):
                found.add(address.address.partition("%")[0])
    return sorted(found)


async def is_ready(listening: Listening, *, https: bool, name: str) -> bool:
    """Ask /readyz once; `name` is what browsers call the host. False while nobody answers or the answer is no."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listening.host, listening.host)  # noqa: S104 - compared, not bound
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, listening.port, ssl=_own_server() if https else None)
            writer.write(f"GET /readyz HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in await reader.readline()
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()


def _own_server() -> ssl.SSLContext:
    # We hold the listening socket ourselves, so who answers needs no proof.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use: stop what uses it, or choose another one with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} is kept for root: choose one above 1023 with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: name one that is with --host."
    return f"Port {port} on {host} cannot be had: {error.strerror}."


def _reachable(host: str) -> str:
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return host
    # Choosing a route sends nothing; it tells which of our addresses looks outwards.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _in_a_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
