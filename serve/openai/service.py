"""The OpenAI API without Ray: ``python -m serve.openai.service --port 8001``, with the embedded base by default.

Keys, tenants and models are those of the platform whose storage and database the environment names.
"""

from __future__ import annotations

import argparse
from functools import partial

from coat_ray.config import BackboneConfig
from coat_ray.inference.engines import LIMITS, open_engine
from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.scheduling.demand import Resources
from serve.access import Platform
from serve.openai.app import build_app
from serve.openai.limits import ServingLimits
from serve.openai.remote import allowed_origins
from serve.openai.serving import Serving
from serve.running import run

DRAIN_S = 60.0
"""What was asked before the end has so long to be answered."""


def main() -> None:
    """Serve until somebody stops it."""
    defaults = BackboneConfig()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--family", default=defaults.family, help="of the base model")
    parser.add_argument("--weights", default=defaults.weights, help="of the base model")
    parser.add_argument("--engine", choices=LIMITS, default="transformers", help="vllm: in make vllm-env's .venv-vllm")
    remote = "audio_url may point to this host (HOST, HOST:PORT, http://HOST:PORT); repeatable, none by default"
    parser.add_argument("--audio-host", action="append", default=[], metavar="HOST", help=remote)
    arguments = parser.parse_args()
    try:
        allowed_origins(arguments.audio_host)
    except ValueError as error:
        parser.error(str(error))
    config = BackboneConfig.model_validate({"family": arguments.family, "weights": arguments.weights})
    storage = Storage.default()
    database = Database.open(storage_root=storage.root)
    platform = Platform(database, Ledger(database, lambda: Resources(0, 0)), storage)
    with open_engine(config, LIMITS[arguments.engine]()) as engine:
        limits = ServingLimits(remote_hosts=tuple(arguments.audio_host))
        serving = Serving(platform, engine, config, limits)
        try:
            run(build_app(serving), arguments.host, arguments.port, partial(engine.drain, DRAIN_S))
        finally:
            platform.usage.write(database)
    database.close()


if __name__ == "__main__":
    main()
