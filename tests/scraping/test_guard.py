"""No address of a private network is connected to, however it is written."""

from __future__ import annotations

import socket

import pytest

from pipeline.errors import ParamsError
from pipeline.scraping.guard import guarded_sockets, is_public, resolve


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
        *("::", "::1", "fc00::1", "fe80::1", "fe80::1%eth0", "ff02::1", "::ffff:127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::", "2001:db8::1"),
        *("64:ff9b::808:808", "::ffff:10.0.0.1", "::7f00:1", "::ffff:0:127.0.0.1", "fec0::1"),
        *("2001::1", "3fff::1", "5f00::1", "ff0e::1", "239.255.255.250", "240.0.0.1", "0.1.2.3"),
        *("192.0.0.8", "192.88.99.1", "192.168.0.1", "198.51.100.7", "203.0.113.7"),
    ],
)
def test_addresses_that_are_not_the_open_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07::1", "::ffff:8.8.8.8", "2a00::1"]
)
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


def address_info(address: str, port: int) -> tuple[object, ...]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    where = (address, port, 0, 0) if ":" in address else (address, port)
    return (family, socket.SOCK_STREAM, 6, "", where)


def test_an_exception_holds_for_exactly_one_host_and_port() -> None:
    make = guarded_sockets(resolve(["127.0.0.1:8767", "[::1]:8767"]))
    make(address_info("127.0.0.1", 8767)).close()
    make(address_info("::1", 8767)).close()
    for address, port in [("127.0.0.1", 8768), ("127.0.0.2", 8767), ("127.0.0.1", 80)]:
        with pytest.raises(OSError, match="refused address"):
            make(address_info(address, port))


def test_only_the_ports_of_the_web_are_open() -> None:
    make = guarded_sockets(frozenset())
    for port in (80, 443):
        make(address_info("8.8.8.8", port)).close()
    for port in (22, 25, 6379, 8080):
        with pytest.raises(OSError, match="refused address"):
            make(address_info("8.8.8.8", port))


def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(ParamsError, match=r"localhost:http x: no such host"):
        resolve(["localhost:http x"])
