"""``coat benchmarks``: the published benchmarks, and how to obtain their data."""

from __future__ import annotations

from coat_ray.commands.output import AsJson, show_rows


def benchmarks(*, as_json: AsJson = False) -> None:
    """List the benchmarks that ``coat evaluate --benchmark`` knows, with their data's place and licence."""
    from coat_ray.evaluation.benchmarks import PUBLIC  # noqa: PLC0415 - `coat --help` must be instant

    rows = [
        {
            "name": benchmark.name,
            "family": benchmark.family,
            "metric": benchmark.strict.metric,
            "data": benchmark.source.hub,
            "split": benchmark.source.split,
            "licence": benchmark.licence,
            "max_new_tokens": benchmark.max_new_tokens,
            "compatible_with": benchmark.like,
            "how_to_obtain": benchmark.source.how,
        }
        for benchmark in PUBLIC.values()
    ]
    show_rows(rows, ("name", "family", "metric", "data", "split", "licence"), as_json=as_json, empty="none")
