"""Planners that never look: what ego motion alone achieves stands beside every score."""

from drivevlm.baselines.motions import MOTIONS, Baseline, Motion, NoPastError, stop

__all__ = ["MOTIONS", "Baseline", "Motion", "NoPastError", "stop"]
