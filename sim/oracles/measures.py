"""What is measured and not judged: calls that overtake each other, how long interrupts stay off, how many are sent. A measure is
an Oracle that reports facts and no violations.
"""

from rtl.apic.message import DeliveryMode
from rtl.events import Event

from .oracle import Oracle

__all__ = ["MEASURES", "InterruptsOff", "InterruptsSent", "OrderOfCalls"]


class OrderOfCalls(Oracle):
    """How often a target began a call after a later call of the same core (``overtaken``), and the first case. The order is not
    guaranteed. (The handler of 6.12 serves waiting callers first, and so causes some.)"""

    name = "ORDER"
    title = "how often a call is overtaken by a later one of its caller, at one target"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._number = {}             # obligation -> its number among those of its caller
        self._latest = {}             # (caller, target) -> the latest that has begun there
        self.overtaken = 0
        self.first = None

    def facts(self):
        return {"overtaken": self.overtaken, "first_overtaken": self.first}

    def on_issue(self, record, tracker):
        if tracker.obligation is not None:
            self._number[tracker.obligation] = len(self._number)

    def on_run(self, record, tracker):
        item = tracker.run.obligation if tracker.run is not None else None
        if item not in self._number or item.caller == record.core:
            return
        latest = self._latest.get((item.caller, record.core))
        if latest is not None and self._number[latest] > self._number[item]:
            self.overtaken += 1
            if self.first is None:
                self.first = (f"core {record.core} came to {tracker.call_of(item)} at clock {record.clock}, after "
                              f"{tracker.call_of(latest)}")
        else:
            self._latest[item.caller, record.core] = item


class InterruptsOff(Oracle):
    """The longest time for which a core keeps interrupts off, once the first call has been requested."""

    name = "IRQSOFF"
    title = "for how long interrupts stay off"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._since = {}              # core -> clock since which its interrupts are off
        self._begun = False
        self.longest = 0
        self.handlers = dict.fromkeys(Event, self.on_any)

    def facts(self):
        return {"longest_irqs_off": self.longest}

    def on_any(self, record, tracker):
        self._begun |= record.event is Event.REQUEST
        # The last word that finds interrupts off is the one that opens them: what follows may be a HALT.
        if record.enabled or not self._begun:
            self._since.pop(record.core, None)
            return
        since = self._since.setdefault(record.core, record.clock)
        self.longest = max(self.longest, record.clock - since)


class InterruptsSent(Oracle):
    """How many interrupts each core has sent: what the numbers of ``--fault`` count."""

    name = "IPIS"
    title = "how many interrupts each core sends"

    def __init__(self, config, places):
        super().__init__(config, places)
        self.sent = [0] * config.n_cores

    def facts(self):
        return {"interrupts_sent": self.sent}

    def on_send(self, record, tracker):
        self.sent[record.core] += record.mode == DeliveryMode.FIXED.value


#: Every measure.
MEASURES = (OrderOfCalls, InterruptsOff, InterruptsSent)
