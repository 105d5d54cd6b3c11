"""Helpers of the metric tests: table reading, and slow, independent implementations."""
