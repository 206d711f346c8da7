"""The page alone, for development: ``python -m ui.service --platform http://127.0.0.1:8000``."""

from __future__ import annotations

import argparse

import uvicorn
from fastapi import FastAPI

from ui.app import mount


def main() -> None:
    """Serve until somebody stops it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--platform", required=True, metavar="URL", help="where /api/v1 is")
    parser.add_argument("--models", metavar="URL", help="where /v1 is; left out: there too")
    arguments = parser.parse_args()
    app = mount(FastAPI(openapi_url=None), arguments.platform, arguments.models)
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
