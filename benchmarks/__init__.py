"""Measurements, each printed as ratios within one run; commands and tables are in docs/benchmarks.md."""
