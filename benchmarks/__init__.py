"""The long measurements: `python -m benchmarks [NAME...]`. What they found is in docs/performance.md."""
