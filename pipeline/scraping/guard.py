"""Refuse to connect to private addresses: a page may point anywhere, also into our own network.

The check is made on the address that is about to be connected to, for every hop of a redirect: a
check of host names is passed by address literals and by names that resolve differently the second
time.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.errors import ParamsError

REFUSED = "refused address"  # found again in the text of the error that the client makes of ours

# All of the IPv6 internet is in here: NAT64, mapped, site-local and what is not handed out is not.
_UNICAST = ipaddress.IPv6Network("2000::/3")
# Global by the letter of the registry, yet ways to reach any IPv4 address, private ones too, or
# networks that Python's tables learned of late.
_CLOSED = tuple(map(ipaddress.ip_network, ("2002::/16", "3fff::/20")))
_CLOSED_4 = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24")))
_PORTS = (80, 443)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the open internet. Raises ``ValueError`` if it is none."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if isinstance(ip, ipaddress.IPv6Address):
        closed = ip not in _UNICAST or any(ip in network for network in _CLOSED)
    else:
        closed = any(ip in network for network in _CLOSED_4)
    return ip.is_global and not ip.is_multicast and not closed


def is_open(address: str, port: int) -> bool:
    """Whether anybody may be sent to this IP address and port: the web, on the open internet."""
    return port in _PORTS and is_public(address)


def resolve(hosts: Iterable[str]) -> frozenset[tuple[str, int]]:
    """The (IP, port) pairs of ``host:port`` texts, which are then let through exactly.

    Raises:
        ParamsError: a text that is no host and port, or a name nobody knows.
    """
    pairs = set()
    for text in hosts:
        host, _, port = text.rpartition(":")
        try:
            found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except (OSError, ValueError):
            raise ParamsError(f"{text}: no such host and port") from None
        pairs |= {(str(info[4][0]), int(port)) for info in found}
    return frozenset(pairs)


def guarded_sockets(allowed: frozenset[tuple[str, int]]) -> Callable[[Any], socket.socket]:
    """A ``socket_factory`` for aiohttp that makes sockets only for addresses that are allowed."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, where = info
        address, port = where[0], where[1]
        if (address, port) not in allowed and not is_open(address, port):
            raise OSError(errno.EACCES, f"{REFUSED} {address}:{port}")
        return socket.socket(family, kind, protocol)

    return make
