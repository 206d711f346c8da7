"""Clips on other servers: from named hosts with public addresses, in bounded bytes and time, and from nowhere else."""

from __future__ import annotations

import asyncio
import dataclasses
import http.server
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar

import pytest

from serve.openai import remote
from serve.openai.errors import ApiError
from serve.openai.limits import ServingLimits
from serve.openai.remote import Origin, Remote, allowed_origins, is_public
from tests.inference.made import clip
from tests.serve.openai_api.conftest import Live, about, encoded, heard, listening

WAV = encoded(clip(1))
SMALL = ServingLimits(body_bytes=2**20, fetch_seconds=1.5)


class Files(http.server.BaseHTTPRequestHandler):
    """A server of clips with bad habits; it notes who asked."""

    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Host"]))
        if self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"R")
                time.sleep(0.05)
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(64):
                self.wfile.write(bytes(65_536))
        elif self.path == "/headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"x-long: " + b"x" * 300_000)
        elif self.path == "/nonsense":
            self.wfile.write(b"220 smtp\r\n\r\n")
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(WAV)))
            self.end_headers()
            self.wfile.write(WAV[:1000])
        elif self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "/clip.wav")
            self.end_headers()
        else:
            self.send_response(200 if self.path.startswith("/clip.wav") else 404)
            self.end_headers()
            self.wfile.write(WAV)

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients that hang up are what is tested."""


@pytest.fixture(scope="module")
def files() -> Iterator[int]:
    """The port of the server, with plain HTTP."""
    with Server(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def local(entry: str, limits: ServingLimits = SMALL) -> Remote:
    """One that may connect to this machine, as only a test can say."""
    return Remote(dataclasses.replace(limits, remote_hosts=(entry,)), reachable=lambda address: address.is_loopback)


def fetched(source: Remote, url: str) -> bytes:
    return asyncio.run(source.clips({url: "messages.0"}))[url]


def refused(source: Remote, url: str) -> ApiError:
    with pytest.raises(ApiError) as error:
        fetched(source, url)
    assert 400 <= error.value.status < 500
    assert len(error.value.message.split()) > 4
    return error.value


def test_a_clip_is_fetched_from_a_named_host_with_its_own_name_in_the_request(files: int) -> None:
    Files.asked.clear()
    source = local(f"http://localhost:{files}")
    assert fetched(source, f"http://localhost:{files}/clip.wav?x=1#top") == WAV
    assert Files.asked == [("/clip.wav?x=1", f"localhost:{files}")]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/drip", "remote_url_failed"),
        ("/endless", "too_large"),
        ("/headers", "remote_url_failed"),
        ("/nonsense", "remote_url_failed"),
        ("/cut", "remote_url_failed"),
        ("/away", "remote_url_failed"),
        ("/nothing", "remote_url_failed"),
    ],
)
def test_a_server_with_bad_habits_costs_its_asker_a_sentence(files: int, path: str, code: str) -> None:
    assert refused(local(f"http://localhost:{files}"), f"http://localhost:{files}{path}").code == code


def test_a_redirect_is_not_followed(files: int) -> None:
    Files.asked.clear()
    assert "redirect" in refused(local(f"http://localhost:{files}"), f"http://localhost:{files}/away").message
    assert [path for path, _ in Files.asked] == ["/away"]


def test_two_clips_share_the_bytes_of_a_request(files: int) -> None:
    source = local(f"http://localhost:{files}", dataclasses.replace(SMALL, body_bytes=len(WAV) + 100))
    urls = {f"http://localhost:{files}/clip.wav?{i}": f"messages.{i}" for i in range(2)}
    with pytest.raises(ApiError, match=r"messages\.1: .* together"):
        asyncio.run(source.clips(urls))


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost:{port}/clip.wav",
        "http://localhost/clip.wav",
        "http://127.0.0.1:{port}/clip.wav",
        "http://localhost.:{port}/clip.wav",
        "http://localhost:{port}@other.example/clip.wav",
        "http://user:word@localhost:{port}/clip.wav",
        "http://other.example\\@localhost:{port}/clip.wav",
        "http://localhost:{port}\\.other.example/clip.wav",
        "http://other.example:{port}/http://localhost:{port}/",
        "http://localhost:99999/clip.wav",
        "http://[::1/clip.wav",
        "http:///clip.wav",
        "http://localhost:{port}/cl\nip.wav",
        "http://localhost:{port}/cl ip.wav",
        "http://lоcalhost:{port}/clip.wav",  # noqa: RUF001 - a Cyrillic letter
        "file:///etc/passwd",
        "ftp://localhost:{port}/clip.wav",
        "gopher://localhost:{port}/x",
        "//localhost:{port}/clip.wav",
        "localhost:{port}/clip.wav",
        "",
        "http://localhost:{port}/" + "x" * 3000,
    ],
)
def test_any_other_address_is_refused_before_anything_is_asked(files: int, url: str) -> None:
    Files.asked.clear()
    source = local(f"http://localhost:{files}")
    assert refused(source, url.format(port=files)).code in ("remote_url_refused", "invalid_url")
    both = {f"http://localhost:{files}/clip.wav": "messages.0", url.format(port=files): "messages.1"}
    with pytest.raises(ApiError):
        asyncio.run(source.clips(both))
    assert Files.asked == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_name_that_leads_inside_is_refused_though_it_is_named(files: int, host: str) -> None:
    Files.asked.clear()
    source = Remote(dataclasses.replace(SMALL, remote_hosts=(f"http://{host}:{files}",)))
    assert refused(source, f"http://{host}:{files}/clip.wav").code == "remote_url_refused"
    assert Files.asked == []


def test_the_address_that_was_checked_is_the_one_connected_to(files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that says one address first and another one next time reaches nothing with it."""
    known = iter([["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]])
    looked_up = []

    async def rebinding(self: object, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(known)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", rebinding)
    checked = []
    limits = dataclasses.replace(SMALL, remote_hosts=(f"http://clips.example:{files}",), fetch_seconds=0.5)
    source = Remote(limits, reachable=lambda address: not checked.append(address))  # type: ignore[func-returns-value]
    Files.asked.clear()
    assert refused(source, f"http://clips.example:{files}/clip.wav").code == "remote_url_failed"
    assert looked_up == ["clips.example"]
    assert [str(address) for address in checked] == ["127.0.0.2"]
    assert Files.asked == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mixed(self: object, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("8.8.8.8", "10.0.0.1")]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", mixed)
    source = Remote(dataclasses.replace(SMALL, remote_hosts=("clips.example",)))
    assert refused(source, "https://clips.example/a.wav").code == "remote_url_refused"


PRIVATE = (
    "127.0.0.1 127.1.2.3 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 255.255.255.255 224.0.0.1 "
    "240.0.0.1 198.18.0.1 192.0.2.1 ::1 :: fe80::1 fc00::1 fd00::1 ff02::1 ff0e::1 2001:db8::1 ::ffff:10.0.0.1 "
    "::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1 2002:7f00:1:: 2002:a00:1:: 2001::1"
)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_an_address_that_is_not_public_is_known_in_every_form(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_one(address: str) -> None:
    assert is_public(ip_address(address))


def test_a_certificate_must_fit_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to an address; what is verified is the name in the URL."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Server(("127.0.0.1", 0), Files) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        remote._trusted.cache_clear()
        unknown = refused(local(f"localhost:{port}"), f"https://localhost:{port}/clip.wav")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        remote._trusted.cache_clear()
        found = fetched(local(f"localhost:{port}"), f"https://localhost:{port}/clip.wav")
        other = refused(local(f"127.0.0.1:{port}"), f"https://127.0.0.1:{port}/clip.wav")
        remote._trusted.cache_clear()
        server.shutdown()
    assert found == WAV
    assert (unknown.code, other.code) == ("remote_url_failed", "remote_url_failed")


def test_hosts_are_named_with_or_without_scheme_and_port() -> None:
    found = allowed_origins(["clips.example", "Clips.example:8443", "http://plain.example"])
    assert found == {
        Origin("https", "clips.example", 443),
        Origin("https", "clips.example", 8443),
        Origin("http", "plain.example", 80),
    }


@pytest.mark.parametrize("entry", ["", "ftp://a", "a/b", "https://user@a", "a:99999", "https://", "a?b"])
def test_a_host_that_is_none_is_said_at_the_start(live: Live, entry: str) -> None:
    with pytest.raises(ValueError, match="names no host of clips"):
        dataclasses.replace(live.serving, limits=ServingLimits(remote_hosts=(entry,)))


def test_a_remote_clip_is_answered_like_the_same_clip_in_the_request(live: Live, files: int) -> None:
    part = {"type": "audio_url", "audio_url": {"url": f"http://localhost:{files}/clip.wav"}}
    limits = dataclasses.replace(live.serving.limits, remote_hosts=(f"http://localhost:{files}",))
    serving = dataclasses.replace(live.serving, limits=limits, reachable=lambda address: address.is_loopback)
    other = dataclasses.replace(live, serving=serving)
    asked = {"model": "base", "max_tokens": 6}
    with listening(other):
        there = other.post({**asked, "messages": about(part)})
        far = other.post({**asked, "messages": about({"type": "audio_url", "audio_url": {"url": "https://a.example"}})})
        assert serving.intake.held == 0
    here = live.post({**asked, "messages": about(heard(WAV))})
    content = [answer.json()["choices"][0]["message"]["content"] for answer in (there, here)]
    assert content[0] == content[1]
    assert (far.status_code, far.json()["error"]["code"]) == (400, "remote_url_refused")
    closed = live.post({**asked, "messages": about(part)})
    assert (closed.status_code, closed.headers["x-should-retry"]) == (400, "false")
