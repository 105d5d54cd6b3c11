"""The parts of ``benchmarks/soak.py``: vehicle, node, judge and table."""
