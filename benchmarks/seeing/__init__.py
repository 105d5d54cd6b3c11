"""The parts of ``benchmarks/sees.py``: rows, data, runs, figures and the table."""
