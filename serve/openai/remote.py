"""Clips on other servers: only on those that whoever runs this one names, and nowhere inside its own network.

A name is resolved once. Each address that it has must be public, and the connection goes to one that was checked: a
name server that says something else in between leads nowhere. Redirects are not followed, nothing is unpacked, and no
proxy, cookie or credential is used.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import httpcore

from serve.openai.errors import ApiError
from serve.openai.limits import ServingLimits

Address = IPv4Address | IPv6Address

PORTS = {"https": 443, "http": 80}
MOST_URL = 2_000
_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)
_TRANSLATED = IPv6Network("64:ff9b::/96")


class Origin(NamedTuple):
    """What two URLs share when they ask the same server."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, parts: SplitResult) -> Origin:
        """Of a URL.

        Raises:
            ValueError: no http or https, no host, a port that is none, or credentials in it.
        """
        if parts.scheme not in PORTS or not parts.hostname or parts.username is not None or parts.password is not None:
            raise ValueError("it is no https://host/… without credentials")
        return cls(parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme])


def allowed_origins(entries: Iterable[str]) -> frozenset[Origin]:
    """Origins from ``host``, ``host:port``, ``https://host`` and ``http://host:port``; without a scheme it is https.

    Raises:
        ValueError: an entry that is none of these.
    """
    found = set()
    for entry in entries:
        parts = urlsplit(entry if "://" in entry else f"https://{entry}")
        try:
            found.add(Origin.of(parts))
        except ValueError as error:
            raise ValueError(f"{entry!r} names no host of clips: {error}") from error
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(f"{entry!r} names no host of clips: leave out what follows the host")
    return frozenset(found)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, also where it carries another one inside."""
    if isinstance(address, IPv6Address):
        if address in _TRANSLATED:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        inside = address.ipv4_mapped or address.sixtofour
        if inside is not None:
            return is_public(inside)
    return address.is_global and not address.is_multicast and not address.is_reserved


class Remote:
    """Fetches clips for whoever asks, within the limits.

    Args:
        limits: ``remote_hosts``, ``fetch_seconds`` and, for all clips of a request together, ``body_bytes``.
        reachable: which addresses may be connected to.

    Raises:
        ValueError: a host in the limits that is none.
    """

    def __init__(self, limits: ServingLimits, reachable: Callable[[Address], bool] = is_public) -> None:
        self._limits, self._backend = limits, _Checked(reachable)
        self._origins = allowed_origins(limits.remote_hosts)

    async def clips(self, urls: Mapping[str, str]) -> dict[str, bytes]:
        """The files at URLs, by URL; nothing is fetched before each is known to be allowed.

        Args:
            urls: each URL, and the part of the request where it stands.

        Raises:
            ApiError: 400 or 413: one that may not or cannot be fetched.
        """
        wanted = [(url, param, self._place(url, param)) for url, param in urls.items()]
        found: dict[str, bytes] = {}
        left = self._limits.body_bytes
        for url, param, place in wanted:
            found[url] = await self._file(place, param, left)
            left -= len(found[url])
        return found

    def _place(self, url: str, param: str) -> httpcore.URL:
        """A URL that is allowed, taken apart once."""
        if len(url) > MOST_URL or not url.isascii() or not url.isprintable() or " " in url:
            message = f"{param}: a URL has at most {MOST_URL:,} characters, all of them printable ASCII"
            raise ApiError(400, message, "invalid_url", param=param)
        try:
            parts = urlsplit(url)
            origin = Origin.of(parts)
        except ValueError as error:
            raise ApiError(400, f"{param}: this URL cannot be fetched: {error}", "invalid_url", param=param) from error
        if origin not in self._origins:
            hint = "send the clip as input_audio, or as a data: URL"
            message = f"{param}: this server does not fetch from {origin.scheme}://{origin.host}:{origin.port}; {hint}"
            raise ApiError(400, message, "remote_url_refused", param=param)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target)

    async def _file(self, place: httpcore.URL, param: str, most: int) -> bytes:
        seconds = self._limits.fetch_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._body(place, param, most)
        except TimeoutError as error:
            message = f"{param}: the clip did not arrive within {seconds:g} s; send it in the request"
            raise ApiError(400, message, "remote_url_failed", param=param) from error
        except NotPublic as error:
            message = f"{param}: the name of this host leads to an address that is not public"
            raise ApiError(400, message, "remote_url_refused", param=param) from error
        except _BROKEN as error:
            message = f"{param}: the clip cannot be fetched; see whether its URL opens elsewhere, or send it"
            raise ApiError(400, message, "remote_url_failed", param=param) from error

    async def _body(self, place: httpcore.URL, param: str, most: int) -> bytes:
        default = PORTS[place.scheme.decode()]
        host = place.host.decode() if place.port == default else f"{place.host.decode()}:{place.port}"
        headers = [("Host", host), ("Accept", "audio/*"), ("Accept-Encoding", "identity"), ("User-Agent", "coat_ray")]
        pool = httpcore.AsyncConnectionPool(ssl_context=_trusted(), network_backend=self._backend)
        async with pool, pool.stream("GET", place, headers=headers) as answer:
            if answer.status != 200:
                hint = "; a redirect is not followed: give the URL of the file" if 300 <= answer.status < 400 else ""
                message = f"{param}: the clip's server answered with status {answer.status}{hint}"
                raise ApiError(400, message, "remote_url_failed", param=param)
            body = bytearray()
            async for piece in answer.aiter_stream():
                body += piece
                if len(body) > most:
                    allowed = f"{self._limits.body_bytes:,} bytes"
                    message = f"{param}: the clips that a request has fetched have at most {allowed} together"
                    raise ApiError(413, message, "too_large", param=param)
            return bytes(body)


class NotPublic(Exception):
    """A name leads to an address that may not be connected to."""


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were looked at."""

    def __init__(self, reachable: Callable[[Address], bool]) -> None:
        self._reachable, self._inner = reachable, httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve once, check, connect to the first address that answers.

        Raises:
            NotPublic: one of the addresses may not be connected to.
            OSError: no such name.
            httpcore.ConnectError: none answers.
        """
        loop = asyncio.get_running_loop()
        known = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ip_address(place[0]) for *_, place in known]
        if not all(map(self._reachable, addresses)):
            raise NotPublic(host)
        problem: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                problem = error
        raise problem


@cache
def _trusted() -> ssl.SSLContext:
    """The certificate authorities of this machine and of certifi; it takes a while to read them."""
    return httpcore.default_ssl_context()
