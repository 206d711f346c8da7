"""The platform's figures, for its owner."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest

from serve.routes import metrics
from tests.serve.conftest import World

PAGE = """# HELP ray_coat_answers_total Answers by how they ended.
# TYPE ray_coat_answers_total counter
ray_coat_answers_total{tenant="speech"} 4.0
# HELP ray_node_mem_used Memory.
ray_node_mem_used{ip="10.0.0.1"} 5.0
ray_serve_num_http_requests{route="/v1"} 6.0
"""


def asked(world: World, who: str) -> httpx.Response:
    return world.client.get("/metrics", headers={"Authorization": f"Bearer {world.keys[who]}"})


@pytest.fixture
def exporter() -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()


def test_what_every_node_says_of_this_platform_is_one_page(
    world: World, exporter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_exporters", lambda: [exporter, "http://127.0.0.1:9/metrics", exporter])
    answer = asked(world, "owner")
    assert answer.status_code == 200
    lines = answer.text.splitlines()
    assert lines.count('ray_coat_answers_total{tenant="speech"} 4.0') == 2
    assert lines.count('ray_serve_num_http_requests{route="/v1"} 6.0') == 2
    assert not [line for line in lines if "ray_node" in line]


@pytest.mark.parametrize(("who", "status"), [("admin", 403), ("member", 403), ("none", 401)])
def test_they_name_tenants_and_are_the_owners_alone(world: World, who: str, status: int) -> None:
    assert asked(world, who).status_code == status
