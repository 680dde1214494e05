"""Addresses that a server listens on."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is one that only this machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
