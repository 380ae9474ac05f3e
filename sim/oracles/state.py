"""What must be in memory when everything has come to rest: what the functions wrote, and what the protocol has restored."""

from rtl.events import Event
from rtl.memory.port import MemoryOp

from ..engines.engine import Ending
from ..obligations import cores_of
from .oracle import Oracle

__all__ = ["AtRest", "DataWords"]

#: Fields of a command block that nobody writes, but for the functions that write into one of the last two.
_CONSTANT = ("routine", "func", "target", "wait", "at", "delay", "nested", "frozen", "contract", "data", "mask")
#: The functions whose effect is known.
_KNOWN = ("func_nop", "func_work", "func_count", "func_touch", "func_clear_bit", "func_nested", "func_free", "func_rendezvous",
          "func_guarded")


class _AtTheEnd(Oracle):
    """Judged when a run has come to rest."""

    def finish(self, outcome, tracker):
        if outcome.ending is not Ending.QUIET:
            self.lacks.append("a run that comes to rest")
        elif not self.lacks:
            self.judge(outcome, tracker)

    def judge(self, outcome, tracker):
        """``outcome.arena`` is final."""
        raise NotImplementedError


class DataWords(_AtTheEnd):
    """Counters, data words and masks that functions write have the value that the calls owe, and the commands of the scenario are
    unchanged. A core that may run a function but need not counts if it did."""

    name = "DATA"
    title = "functions wrote what the calls owe, and the scenario's commands are unchanged"
    events = (Event.REQUEST, Event.ISSUE, Event.RESULT, Event.RUN, Event.RAN)

    def judge(self, outcome, tracker):
        if tracker.book.unknown:
            self.lacks.append("calls whose contract is known")
            return
        if not {owed.func for owed in tracker.book.obligations} <= {self.places.image.symbols.get(name) for name in _KNOWN}:
            self.lacks.append("functions of which it is known what they write")
            return
        places, image, modulus = self.places, self.places.image, 1 << self.config.xlen
        wanted = {}                   # address -> (value, what it is)
        blocks = dict(places.commands())
        for address, block in blocks.items():
            for field in _CONSTANT:
                if field in block:
                    wanted[block[field]] = places.arena.get(block[field], 0), f"{field} of a command of core {address[0]}"
        written = {image.symbols.get(name): field for name, field in (("func_touch", "data"), ("func_clear_bit", "mask"))}
        fields = {block["routine"]: block for block in blocks.values()}
        count, counting = 0, {image.symbols.get(name) for name in ("func_count", "func_rendezvous", "func_guarded")}
        for owed in tracker.book.obligations:
            cores = owed.must | owed.begun
            if owed.func in counting:
                count += cores.bit_count()
            block = fields.get(owed.info)
            field = written.get(owed.func)
            if block is None or field is None:
                continue
            word = block[field]
            before = wanted.get(word, (places.arena.get(word, 0), None))[0]
            value = before & ~cores if field == "mask" else (before + cores.bit_count()) % modulus
            wanted[word] = value, f"{field} of a command of core {owed.caller}"
        counter = places.word("counter")
        if counter is not None:
            wanted[counter] = (places.arena.get(counter, 0) + count) % modulus, "counter"
        self.exercised = len(tracker.book.runs)
        for word, (value, what) in wanted.items():
            if outcome.arena[word] != value:
                self.found(outcome.clocks, f"at the end {what} (at {word:#x}) is {outcome.arena[word]:#x}, but should be "
                           f"{value:#x}")


class AtRest(_AtTheEnd):
    """When everything has come to rest, no csd has a flag, no spin lock is held, lists that were empty when the first call began
    are empty again, masks and counts are 0, each stack ends where it did when its core had booted, and all allocations are free."""

    name = "REST"
    title = "flags, locks, lists, masks, stacks and allocations are back at rest at the end"

    def __init__(self, config, places):
        super().__init__(config, places)
        self._flags = places.lock | places.wait
        self._empty = None            # heads of the lists that were empty when the first call began
        self._pointers = {}           # core -> the first end of its stack
        self._cores = {address: core for core, address in places.stack_pointers.items()}
        self._allocated = {}          # address of an object that is not free -> clock since when
        self._counted = set()         # csds whose count was stored since their core last came or went

    def on_alloc(self, record, tracker):
        self._allocated[record.a] = record.clock

    def on_free(self, record, tracker):
        self._allocated.pop(record.a, None)

    def on_refs(self, record, tracker):
        self._counted.add(record.a)

    def on_notify(self, record, tracker):
        # Masks are allocated and freed here, and are not zeroed.
        self._counted = {csd for csd in self._counted if self.places.cpu_of(csd) != record.a}

    def on_commit(self, record, tracker):
        core = self._cores.get(record.address)
        if core is not None and record.op is not MemoryOp.READ:
            self._pointers.setdefault(core, record.new)

    def on_issue(self, record, tracker):
        if self._empty is None:
            self._empty = [head for head in self.places.heads if self._is_empty(tracker.arena.get, head)]

    def judge(self, outcome, tracker):
        self._csds(outcome)
        self._counts(outcome)
        for address, (core, clock) in tracker.held.items():
            self.found(outcome.clocks, f"{self.places.image.name_of(address)} is held at the end, by core {core} since clock "
                       f"{clock}", cores=[core])
        for head in self._empty or ():
            self.exercised += 1
            if not self._is_empty(outcome.arena.__getitem__, head):
                self.found(outcome.clocks, f"{self.places.heads[head].name} is not empty at the end")
        for address, clock in self._allocated.items():
            self.found(outcome.clocks, f"{self.places.csd_name(address)}, allocated at clock {clock}, was never freed")
        for core, before in self._pointers.items():
            self.exercised += 1
            now = outcome.arena[self.places.stack_pointers[core]]
            if now != before:
                self.found(outcome.clocks, f"the stack of core {core} ends at {now:#x}, but at {before:#x} at the start",
                           cores=[core])

    def _is_empty(self, word, head):
        """word : address -> word."""
        return word(head) == word(head + 1) == head if self.places.heads[head].circular else not word(head)

    def _csds(self, outcome):
        places = self.places
        if places.flags_offset is None or not self._flags:
            return
        csds = {csd.address: csd.name for csd in places.csds.values()}
        csds |= places.csds_of_commands()
        for address, name in csds.items():
            self.exercised += 1
            flags = outcome.arena[address + places.flags_offset]
            if flags & ~places.flag_bits:
                self.found(outcome.clocks, f"the flags of {name} are {flags:#x} at the end: these bits belong to no flag")
            if flags & self._flags:
                what = " and ".join(word for bit, word in ((places.lock, "locked"), (places.wait, "waited for")) if flags & bit)
                self.found(outcome.clocks, f"{name} is still {what} at the end of the run")

    def _counts(self, outcome):
        if Event.REFS not in self.places.image.events:
            return
        for csd, place in self.places.tallies.items():
            self.exercised += 1
            mask = outcome.arena[place.mask] if place.pointer else place.mask
            refs, bits = outcome.arena[place.refs], outcome.arena[mask] if csd in self._counted else 0
            if refs or bits:
                self.found(outcome.clocks, f"at the end {self.places.csd_name(csd)} has refs {refs}, and in its mask "
                           f"{', '.join(map(str, cores_of(bits))) or 'nobody'}")
