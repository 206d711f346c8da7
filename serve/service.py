"""The platform's API without Ray: ``python -m serve.service --port 8000 --cpus 16 --gpus 4``.

For a cluster whose jobs are all started with ``ray job submit``: it grants leases and starts nothing. It keeps nothing
in memory that matters: killed and started again, it goes on from the database.
"""

from __future__ import annotations

import argparse

from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.scheduling.demand import Resources
from serve.access import Platform
from serve.platform_api import build_app
from serve.rounds import LOOK_EVERY_S, keep_doing
from serve.running import run


def main() -> None:
    """Serve until somebody stops it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--cpus", type=float, required=True, help="what the cluster has")
    parser.add_argument("--gpus", type=float, default=0.0)
    arguments = parser.parse_args()
    storage = Storage.default()
    capacity = Resources(arguments.cpus, arguments.gpus)
    database = Database.open(storage_root=storage.root)
    ledger = Ledger(database, lambda: capacity)
    offered = Platform(database, ledger, storage)
    looking = keep_doing(ledger.tick, LOOK_EVERY_S)
    try:
        run(build_app(offered), arguments.host, arguments.port)
    finally:
        looking.set()
        offered.usage.write(database)
        database.close()


if __name__ == "__main__":
    main()
