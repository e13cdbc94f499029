"""Benchmarks, run one by one as `python -m bench.NAME`; `report` says how."""
