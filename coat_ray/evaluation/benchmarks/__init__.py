"""Benchmarks, one file each, and their registry: name -> what it asks and how its answers are marked."""

from coat_ray.evaluation.benchmarks.base import Benchmark
from coat_ray.evaluation.benchmarks.soundworld import SOUNDWORLD

BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in (SOUNDWORLD,)}

__all__ = ["BENCHMARKS", "Benchmark"]
