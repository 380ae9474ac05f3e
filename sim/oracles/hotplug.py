"""What cpu_up() and cpu_down() owe."""

from rtl.events import Event

from ..obligations import cores_of
from ..texts import count
from .oracle import Oracle

__all__ = ["Hotplug"]


class Hotplug(Oracle):
    """A core that is brought up is prepared by the notifier and is then online. If the notifier returned NOTIFY_BAD, it stays
    offline and nothing more is notified. A core that is taken down is offline, and then the notifier gets CPU_DEAD. The actions
    are the _FROZEN ones exactly if the command requests it. An allocation fails if the scenario requests it.

    If another core changes the same core meanwhile, only the notifications are judged.
    """

    name = "HOTPLUG"
    title = "cores go online and offline as requested, the notifier is called, and NOTIFY_BAD is obeyed"
    events = (Event.ISSUE, Event.RESULT, Event.NOTIFY, Event.NOTIFY_RESULT, Event.ONLINE, Event.OFFLINE)

    def __init__(self, config, places):
        super().__init__(config, places)
        self._kinds = {places.image.symbols.get(f"cmd_{name}"): name for name in ("cpu_up", "cpu_up_canceled", "cpu_down")}
        self._blocks = {block["routine"]: block for _, block in places.commands()}
        self._targets = {}            # core -> the cpu of the hotplug command that it is in
        self._crowded = set()         # cores whose command met another one for the same cpu
        self._notes = {}              # core -> [(cpu, action, answer or None)] of its command
        self._moved = {}              # cpu -> clocks at which it came or went
        constants = places.image.constants
        self._lacking = [name for name in ("CPU_UP_PREPARE", "CPU_UP_CANCELED", "CPU_DEAD", "NOTIFY_OK", "NOTIFY_BAD")
                         if name not in constants]
        self.lacks += [f"the constant {name}" for name in self._lacking]
        failures = places.word("allocation_failures")
        self._failures = places.arena.get(failures, 0) if failures is not None else 0
        self._allocations = 0
        self._room = places.n_masks

    def on_request(self, record, tracker):
        block = self._blocks.get(record.b)
        if self._kind(block) is None:
            return
        core, cpu = record.core, self.places.arena.get(block["target"], 0)
        self._notes[core] = []
        others = {other for other, target in self._targets.items() if target == cpu}
        self._targets[core] = cpu
        self._crowded |= {core, *others} if others else set()

    def _kind(self, block):
        """What a command does, if that is hotplug."""
        return block and self._kinds.get(self.places.arena.get(block["routine"], 0))

    def on_online(self, record, tracker):
        self._move(record)

    def on_offline(self, record, tracker):
        self._move(record)

    def _move(self, record):
        for cpu in cores_of(record.b):
            self._moved.setdefault(cpu, []).append(record.clock)

    def on_notify(self, record, tracker):
        self._notes.setdefault(record.core, []).append([record.a, record.b, None])

    def on_notify_result(self, record, tracker):
        notes = self._notes.get(record.core)
        if not notes or self.lacks:
            return
        notes[-1][2] = record.a
        constants = self.places.image.constants
        if notes[-1][1] & ~constants.get("CPU_TASKS_FROZEN", 0) != constants["CPU_UP_PREPARE"]:
            return
        self._allocations += 1
        fails = bool(self._failures >> 16 - self._allocations & 1) if self._allocations <= 16 else False
        if fails and record.a != constants["NOTIFY_BAD"] or not fails and self._allocations <= self._room \
                and record.a != constants["NOTIFY_OK"]:
            self.found(record.clock, f"allocation {self._allocations} {'fails' if fails else 'succeeds'}, but the notifier "
                       f"answered {record.a:#x} at clock {record.clock}", cores=[record.core])

    def on_result(self, record, tracker):
        block = tracker.obligation and self._blocks.get(tracker.obligation.info)
        kind = self._kind(block)
        if kind is None:
            return
        self._targets.pop(record.core, None)
        crowded = record.core in self._crowded
        self._crowded.discard(record.core)
        if self.lacks:
            return
        self.exercised += 1
        arena, constants = self.places.arena, self.places.image.constants
        cpu, frozen = arena.get(block["target"], 0), arena.get(block["frozen"], 0)
        issued = tracker.obligation.issued
        moves = sum(clock > issued for clock in self._moved.get(cpu, ()))
        online = bool(tracker.book.online >> cpu & 1)
        notes = [tuple(note) for note in self._notes[record.core]]
        ok, bad = constants["NOTIFY_OK"], constants["NOTIFY_BAD"]
        prepare, dead, canceled = (constants[name] | frozen for name in ("CPU_UP_PREPARE", "CPU_DEAD", "CPU_UP_CANCELED"))
        # (notifications, is online afterwards, how often it came or went): every way that it may go.
        ways = {
            "cpu_up": [([], True, 0), ([(cpu, prepare, ok)], True, 1), ([(cpu, prepare, bad)], False, 0)],
            "cpu_up_canceled": [([], True, 0), ([(cpu, prepare, ok), (cpu, canceled, ok)], False, 0),
                                ([(cpu, prepare, bad)], False, 0)],
            "cpu_down": [([], False, 0), ([(cpu, dead, ok)], False, 1)]
                        + ([([], True, 0)] if cpu in (record.core, constants.get("BOOT_CPU", 0)) else []),
        }[kind]
        if (notes, online, moves) in ways:
            return
        if crowded and notes in [way[0] for way in ways]:
            return
        told = ", ".join(f"{action:#x} for core {core}" + ("" if answer is None else f" (answer {answer:#x})")
                         for core, action, answer in notes) or "nothing"
        self.found(record.clock, f"{kind} of core {cpu} by core {record.core} ended at clock {record.clock} with the core "
                   f"{'online' if online else 'offline'}, which came or went {count(moves, 'time')}; notified: {told}",
                   cores=[record.core, cpu])
