"""The platform's figures, for its owner."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve.routes import metrics
from tests.serve.conftest import World

PAGE = """# HELP ray_coat_ttft_seconds Submission to first token.
# TYPE ray_coat_ttft_seconds histogram
ray_coat_ttft_seconds_bucket{NODE,le="1.0"} 4.0
ray_coat_ttft_seconds_count{NODE} 4.0
# HELP ray_node_mem_used Memory.
ray_node_mem_used{NODE} 5.0
# HELP ray_serve_num_http_requests Requests.
# TYPE ray_serve_num_http_requests counter
ray_serve_num_http_requests{NODE} 6.0
"""


def asked(world: World, who: str) -> httpx.Response:
    return world.client.get("/metrics", headers={"Authorization": f"Bearer {world.keys[who]}"})


@pytest.fixture
def exporter() -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE.replace("NODE", f'node="{self.path}"').encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_every_node_says_of_this_platform_is_one_page(
    world: World, exporter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [f"{exporter}/a", "http://127.0.0.1:9/metrics", f"{exporter}/b"]
    monkeypatch.setattr(metrics, "_exporters", lambda: addresses)
    answer = asked(world, "owner")
    assert answer.status_code == 200
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert set(families) == {"ray_coat_ttft_seconds", "ray_serve_num_http_requests"}
    counts = [sample for sample in families["ray_coat_ttft_seconds"].samples if sample.name.endswith("_count")]
    assert {sample.labels["node"]: sample.value for sample in counts} == {"/a": 4.0, "/b": 4.0}
    assert answer.text.count("# TYPE ray_coat_ttft_seconds") == 1


@pytest.mark.parametrize(("who", "status"), [("admin", 403), ("member", 403), ("none", 401)])
def test_they_name_tenants_and_are_the_owners_alone(world: World, who: str, status: int) -> None:
    assert asked(world, who).status_code == status
