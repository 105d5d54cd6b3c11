"""A small painted world: deliberately plain, for demonstrations and tests."""

from drivevlm_sim.flat.make import FlatConfig, make_flat

__all__ = ["FlatConfig", "make_flat"]
