"""Plans of schedules, as people and files say them."""

from dataclasses import dataclass, fields

from rtl.schedule import ScheduleKind, plan_layout

__all__ = ["Plan"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What draws the schedule of a run: the fields of ``rtl.schedule.plan_layout``. The default holds nobody back.

    kind : ScheduleKind.  seed : 0 to 2**32 - 1.
    start : the first clock in which somebody may be held back.
    stall, hold_drain, hold_interrupt, hold_message : rates, in 1/256.
    delay : BOUNDED holds for 1 to ``2**delay`` clocks.
    changes, horizon : PCT draws ``changes`` change points from the ``2**horizon`` clocks after ``start``.
    """

    kind: ScheduleKind = ScheduleKind.NONE
    seed: int = 0
    start: int = 0
    stall: int = 0
    hold_drain: int = 0
    hold_interrupt: int = 0
    hold_message: int = 0
    delay: int = 0
    changes: int = 0
    horizon: int = 0

    def __post_init__(self):
        if not isinstance(self.kind, ScheduleKind):
            raise TypeError(f"kind must be a ScheduleKind, not {self.kind!r}")
        for item in fields(self)[1:]:
            value, limit = getattr(self, item.name), (1 << plan_layout[item.name].width) - 1
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{item.name} must be an integer, not {value!r}")
            if not 0 <= value <= limit:
                raise ValueError(f"{item.name} must be from 0 to {limit}, not {value}")

    def as_const(self):
        """The value of the ``plan`` port, as ``data.Layout.const`` takes it."""
        return {item.name: getattr(self, item.name) for item in fields(self)}
