"""Messages become plain values, and plain values messages: the only place that knows their fields.

A message is any object with the fields of its ROS definition as attributes, under ROS or without.
"""
