"""Plans: what draws the schedule of a run."""

from dataclasses import dataclass, fields

from rtl.apic.faults import FaultKind, fault_layout
from rtl.schedule import ScheduleKind, plan_layout

__all__ = ["FAULTS", "Plan", "most"]

#: Field of a plan -> the largest value; cached, because a hunt makes many plans.
_LIMITS = {name: (1 << field.width) - 1 for name, field in plan_layout}
#: Fields that are not numbers.
_KINDS = {"kind": ScheduleKind, "fault": FaultKind}
#: The fields of faults.
FAULTS = tuple(name for name, _ in fault_layout)
#: The denominator of a rate.
_RATES = 256


def most(field):
    """The largest value of a field."""
    return _LIMITS[field]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What draws the schedule of a run: the fields of ``rtl.schedule.plan_layout``. The default holds nothing up.

    kind : ScheduleKind.  seed : 0 to 2**32 - 1.
    start : the first clock in which anything may be held.
    stall, hold_drain, hold_interrupt, hold_message : rates, in 1/256.
    delay : BOUNDED holds for 1 to ``2**delay`` clocks.
    changes, horizon : PCT draws ``changes`` change points from the ``2**horizon`` clocks after ``start``.
    fault and the following : the faults of interrupt messages (``rtl.apic.faults.fault_layout``).
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
    fault: FaultKind = FaultKind.NONE
    fault_source: int = 0
    fault_number: int = 0
    fault_delay: int = 0
    resend_clock: int = 0
    resend_target: int = 0
    resend_vector: int = 0

    def __post_init__(self):
        for item in fields(self):
            value = getattr(self, item.name)
            kind = _KINDS.get(item.name)
            if kind is not None:
                if not isinstance(value, kind):
                    raise TypeError(f"{item.name} must be a {kind.__name__}, not {value!r}")
                continue
            limit = _LIMITS[item.name]
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{item.name} must be an integer, not {value!r}")
            if not 0 <= value <= limit:
                raise ValueError(f"{item.name} must be from 0 to {limit}, not {value}")

    @property
    def slowness(self):
        """Roughly how many times slower a run gets: the mean number of clocks until one in which a core is not stalled and what it
        waits for is not held."""
        return self._slowness(self.stall) * max(map(self._slowness, (self.hold_drain, self.hold_interrupt, self.hold_message)))

    def _slowness(self, rate):
        if self.kind is ScheduleKind.RANDOM:
            return _RATES / (_RATES - rate)
        if self.kind is ScheduleKind.BOUNDED:
            return 1 + rate * (1 + 2**self.delay) / 2 / _RATES
        return 1

    @property
    def faults(self):
        """The fields of faults."""
        return {name: getattr(self, name) for name in FAULTS}

    def as_const(self):
        """The value of the ``plan`` port, as ``data.Layout.const`` takes it."""
        return {item.name: getattr(self, item.name) for item in fields(self)}
