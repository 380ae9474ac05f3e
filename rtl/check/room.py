"""How much a Monitor can remember for each core."""

from dataclasses import dataclass

__all__ = ["Room"]


@dataclass(frozen=True)
class Room:
    """Structure of a Monitor.

    obligations : calls of a core that have not ended, or still owe something.
    csds : csds of a core that are locked, or queued, or in use by an unfinished call.
    locks : spin locks that a core holds.
    """

    obligations: int = 4
    csds: int = 4
    locks: int = 4
