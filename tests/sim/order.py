"""What the tests of the order of memory operations have in common: runs to look at, and steps that more than one generation has.

``R``/``W``: load, store. ``LK``/``UL``: a spin lock is taken, given back. ``CLEAR``, ``SET``, ``ADD``, ``SWAP``, ``CAS``: atomic.
``mb``, ``wmb``, ``rmb``: barriers, with the names under which they can be taken out. ``ICR``: an interrupt is sent.
"""

from functools import cache

from rtl.events import Event

from .runs import run_text
from .trace import Trace

__all__ = ["BUSY", "CALLS", "SEND", "Looking", "enqueue", "lines", "send_each", "spliced"]

CALLS = """
cores = 4
[boot]
online = [0, 1, 2]
[[program]]
cores = [0]
commands = [
    { call = "single", target = 1, func = "touch", wait = true },
    { call = "single", target = 1, func = "touch", at = 300 },
    { call = "single", target = 0, func = "touch", at = 600 },
    { call = "single", target = 3, func = "touch", at = 700 },
    { call = "single", target = 99, func = "touch", at = 800 },
    { call = "csd", target = 1, func = "touch", wait = true, at = 900 },
    { call = "csd", target = 1, func = "touch", at = 1200 },
    { call = "csd", target = 0, func = "touch", at = 1500 },
    { call = "many", mask = [0], func = "touch", wait = true, at = 1800 },
    { call = "many", mask = [0, 1], func = "touch", wait = true, at = 1900 },
    { call = "many", mask = "all", func = "touch", wait = true, at = 2300 },
    { call = "many", mask = "all", func = "touch", at = 2700 },
    { call = "all", func = "touch", at = 3200 },
    { call = "each", func = "touch", wait = true, at = 3700 },
    { call = "hold_call_lock", func = "touch", at = 4300 },
]
"""

#: Core 1 has interrupts off when others call it, so that queues fill.
BUSY = """
cores = 4
[functions]
work = [0, 600, 0, 0]
[[program]]
cores = [0]
commands = [
    { call = "many", mask = [1, 2], func = "touch", at = 50 },
    { call = "many", mask = [1, 3], func = "touch" },
    { call = "single", target = 1, func = "touch", at = 1450 },
    { call = "single", target = 1, func = "touch" },
]
[[program]]
cores = [1]
commands = [
    { call = "single", target = "self", func = "work" },
    { call = "single", target = "self", func = "work", at = 1400 },
]
[[program]]
cores = [2]
commands = [
    { call = "single", target = 1, func = "touch", wait = true, at = 1600 },
]
[[program]]
cores = [3]
commands = [
    { call = "many", mask = [1, 2], func = "touch", at = 250 },
]
"""


def lines(text):
    return [line.split("#")[0].strip() for line in text.strip().splitlines()]


class Looking:
    """Runs of a protocol, looked at step by step. A text is run once."""

    def __init__(self, protocol):
        self.protocol = protocol
        self.run = cache(self.run)
        self.trace = cache(self.trace)

    def run(self, text):
        return run_text(text, protocol=self.protocol, probe=True)

    def trace(self, text, core):
        return Trace(self.run(text), core)

    def call(self, text, core, number):
        return self.trace(text, core).of_call(number)

    def handler(self, text, core, number):
        return self.trace(text, core).between(Event.HANDLE, Event.HANDLE_END, number)

    def stack(self, core, words=0):
        """The value of stack_pointer[core] with so many words on the stack."""
        return self.run(CALLS).image.address_of(f"stack[{core}][0]") + words


#: An interrupt is sent with interrupts off.
SEND = lines("""
    irq save
    ICR
    irq restore
""")


def send_each(mask, count):
    """A mask that is read again for each target."""
    return ["irq save"] + [f"R {mask}", "ICR"] * count + [f"R {mask}", "irq restore"]


def enqueue(csd, cpu, last=None):
    """Under the queue's lock with interrupts off: is it empty, and the csd at its end. last : what is there, if anything."""
    queue = f"call_single_queue[{cpu}]"
    return lines(f"""
        irq save                                        # spin_lock_irqsave(&dst->lock)
        LK {queue}.lock
        R {queue}.list.next                             # ipi = list_empty(&dst->list)
        R {queue}.list.prev                             # list_add_tail(): next.prev, new.next, new.prev, prev.next
        W {queue}.list.prev = &{csd}
        W {csd}.list.next = &{queue}
        W {csd}.list.prev = &{last or queue}
        W {f"{last}.list.next" if last else f"{queue}.list.next"} = &{csd}
        UL {queue}.lock
        irq restore
    """)


def spliced(core, start, steps, *, first=None, last=None, before=()):
    """list_replace_init() under the lock: new.next, new.next.prev, new.prev, new.prev.next, then the old list's own two words.

    first, last : what was in the queue, if anything.  start : where the handler's frame starts.
    before : what comes before the lock.
    """
    queue = f"call_single_queue[{core}]"
    return lines(f"""
        R stack_pointer[{core}]
        W stack_pointer[{core}] = {start + 2}
        W list.next = &list                             # LIST_HEAD(list)
        W list.prev = &list
    """) + list(before) + lines(f"""
        LK {queue}.lock
        R {queue}.list.next
        W list.next = &{first or queue}
        W {first or queue}.list.prev = &list
        R {queue}.list.prev
        W list.prev = &{last or "list"}
        W {f"{last}.list.next" if last else "list.next"} = &list
        W {queue}.list.next = &{queue}
        W {queue}.list.prev = &{queue}
        UL {queue}.lock
        R list.next                                     # list_empty(&list), list_first_entry(&list)
    """) + steps + [f"W stack_pointer[{core}] = {start}"]
