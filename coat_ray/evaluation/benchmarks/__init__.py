"""Benchmarks and their registries: name -> what it asks and how its answers are marked.

``BENCHMARKS`` mark corpora of our own format, group by group; ``PUBLIC`` read published datasets in their own schema.
"""

from coat_ray.evaluation.benchmarks.base import Benchmark
from coat_ray.evaluation.benchmarks.classification import CLASSIFICATION
from coat_ray.evaluation.benchmarks.entry import PublicBenchmark
from coat_ray.evaluation.benchmarks.multiple_choice import MULTIPLE_CHOICE
from coat_ray.evaluation.benchmarks.open_ended import OPEN_ENDED
from coat_ray.evaluation.benchmarks.soundworld import SOUNDWORLD
from coat_ray.evaluation.benchmarks.transcription import TRANSCRIPTION

BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in (SOUNDWORLD,)}

PUBLIC: dict[str, PublicBenchmark] = {
    benchmark.name: benchmark for benchmark in (*MULTIPLE_CHOICE, *OPEN_ENDED, *CLASSIFICATION, *TRANSCRIPTION)
}

__all__ = ["BENCHMARKS", "PUBLIC", "Benchmark", "PublicBenchmark"]
