"""The pace at which providers are called, shared by all workers: how fast, how many at once, and whether at all."""

from workers.pacing.gate import Lane, Wait
from workers.pacing.pace import Pace, Permit
from workers.pacing.store import Store

__all__ = ["Lane", "Pace", "Permit", "Store", "Wait"]
