"""What a core did, step by step, in the words of the protocol's description: ``R cfd_data[0].refs``, ``LK call_function.lock``."""

import re

from rtl.core.microword import Fence, MicroWord, Op
from rtl.core.seen import CoreState
from rtl.events import Event
from rtl.memory.port import MemoryOp
from rtl.probe import probe_layout
from sim.calls import Stage
from sim.records import CoreRecord

__all__ = ["Trace"]

_FENCES = {Fence.FULL.value: "mb", Fence.WRITE.value: "wmb", Fence.READ.value: "rmb"}
_FLAG = {Op.CLI: "irq off", Op.STI: "irq on", Op.IRQSAVE: "irq save", Op.IRQRESTORE: "irq restore"}
#: Routines that are no part of the protocol: that they were called is a step, what they do is not.
_SERVICES = {"kmalloc": "kmalloc", "kfree": "kfree", "call_rcu": "call_rcu", "rcu_start_batch": "call_rcu"}
_ATOMIC = {Op.CAS: "CAS", Op.FADD: "ADD", Op.FANDN: "CLEAR", Op.FOR: "SET", Op.SWAP: "SWAP"}


class Trace:
    """The steps of a core, from a run with probes: (clock, event, text), the text None for a word that does nothing visible.

    A step is a memory operation, a fence, a change of the interrupt flag, a write to ICR, or a word with an event. What a loop
    did in vain is left out: of a wait that spins only the read that ended it is told, of a spin lock only its taking
    (``LK``) and, with the store fence before it, its release (``UL``). ``kmalloc``, ``kfree`` and ``call_rcu`` are one step each.

    A csd on the stack is ``d``, a list head on the stack ``list``; a pointer is ``&`` and what it points at.
    """

    def __init__(self, run, core):
        self._run, self._core, self._image = run, core, run.image
        self._names = {address: name for name, addresses in self._image.names.items() for address in addresses}
        self._words = [MicroWord.from_bits(word) for word in self._image.words]
        self._objects = {item.name for item in self._image.objects}
        self._csd = [field.path for field in self._image.structs["csd"].fields]
        #: Bit of the flags of a csd -> what the protocol calls it.
        self._flags = {value: name.split("_", 2)[2] for value, name in sorted(
            (value, name) for name, value in self._image.constants.items() if name.startswith(("CSD_FLAG_", "CSD_TYPE_")))}
        self._commands = self._command_words()
        self._stacks = [self._image.address_of(f"stack[{other}][0]") for other in range(self._image.n_cores)]
        self.steps = self._collect()

    def of_call(self, number):
        """The texts of the ``number``-th call of this core, from the first CALL of its routines to the last RETURN."""
        call = [call for call in self._run.result.calls if call.caller == self._core][number]
        said = [record.clock for record in self._run.events(Event.CALL, Event.RETURN, core=self._core)
                if call.at(Stage.CALL) <= record.clock <= call.at(Stage.RETURN)]
        return [text for clock, _, text in self.steps if text is not None and said[0] <= clock <= said[-1]]

    def between(self, first, last, number=0):
        """The texts from the ``number``-th step with the event ``first`` to the next one with the event ``last``."""
        starts = [index for index, step in enumerate(self.steps) if step[1] is first]
        texts = []
        for _, event, text in self.steps[starts[number]:]:
            if text is not None:
                texts.append(text)
            if event is last:
                return texts
        raise AssertionError(f"no {last} after the {first}")

    # Names.

    def _command_words(self):
        """Address of each word of a command block -> its name."""
        image, arena = self._image, self._run.prepared.contents.arena
        struct = image.structs["command"]
        words = {}
        for core, program in enumerate(self._run.prepared.scenario.programs):
            start = arena[image.address_of(f"program[{core}]")]
            for number in range(len(program)):
                for field in struct.fields:
                    words[start + number * struct.size + field.offset] = f"command.{field.path}"
        return words

    def _name(self, address, frame):
        if frame is not None and 0 <= address - frame < 2:
            return ("list.next", "list.prev")[address - frame]
        for stack in self._stacks:
            if 0 <= address - stack < len(self._csd):
                return f"d.{self._csd[address - stack]}"
        return self._commands.get(address) or self._image.name_of(address)

    def _value(self, name, value, frame):
        image = self._image
        field = name.rpartition(".")[2]
        if field == "flags":
            assert not value & ~sum(self._flags)
            return "|".join(name for bit, name in self._flags.items() if value & bit) or "0"
        found = image.object_at(image.address_of(name)) if name.partition(".")[0] in self._objects else None
        if found is not None and found[1].points_to == "cpumask":
            return self._mask(value)
        if field in ("next", "prev", "first") and value:
            for poison in ("LIST_POISON1", "LIST_POISON2"):
                if value == image.constants[poison]:
                    return poison
            return "&" + re.sub(r"(\.list|\.node|(?<=list))?\.next$", "", self._name(value, frame))
        if field == "func" and value:
            return next(name for name in sorted(image.entries, reverse=True) if image.symbols[name] == value)
        if field == "info" and value:
            return "&" + re.sub(r"\.routine$", "", self._name(value, frame))
        if name.endswith(".bits"):
            return "{" + ",".join(str(core) for core in range(image.n_cores) if value >> core & 1) + "}"
        return str(value)

    def _mask(self, pointer):
        if not pointer:
            return "NULL"
        item = self._image.object_at(pointer)[0]
        # The pool's end is no mask.
        return f"&{item.name}" if item.type.name == "cpumask" else "the end"

    # Steps.

    def _collect(self):
        config = self._run.prepared.settings.config
        tile = probe_layout(config)["tile"]
        width = tile.shape.elem_shape.size
        core = tile.shape.elem_shape["core"]
        base = tile.offset + self._core * width + core.offset
        state, go, pc = (core.shape[name] for name in ("state", "go", "pc"))
        records = {record.clock: record for record in self._run.records
                   if type(record) is CoreRecord and record.core == self._core}
        steps, last = [], None
        #: The list head on the stack of the single handler, which begins by looking where its stack ends.
        frame = None
        entered = False
        service = None
        for clock, raw in enumerate(self._run.probes):
            raw >>= base
            at = raw >> pc.offset & (1 << config.pc_bits) - 1
            runs = raw >> state.offset & 7 == CoreState.RUN.value and raw >> go.offset & 1
            # A word that takes more than one clock in RUN is one step.
            executed = at if runs and at != last else None
            last = at if runs else None
            record = records.get(clock)
            event = Event.NONE if record is None else record.event
            if executed is not None or record is not None:
                within = self._service(at if record is None else record.pc, service)
                if within is not None and service is None:
                    steps.append((clock, Event.NONE, within))
                service = within
            if service is not None:
                continue
            if event is Event.HANDLE:
                entered = True
            elif entered and record is not None and record.op is not None:
                entered = False
                frame = record.result if self._name(record.address, None) == f"stack_pointer[{self._core}]" else None
            if record is not None and record.op is not None:
                self._memory(steps, clock, record, frame)
            elif executed is not None:
                self._word(steps, clock, event, executed)
            if record is not None and record.op is None and (not steps or steps[-1][0] != clock):
                steps.append((clock, event, None))
            if event is Event.HANDLE_END:
                frame = None
        return steps

    def _service(self, at, before):
        routine = self._image.routine(at)
        return before if routine in ("spin_lock", "spin_unlock") else _SERVICES.get(routine)

    def _memory(self, steps, clock, record, frame):
        name = self._name(record.address, frame)
        routine = self._image.routine(record.pc)
        if record.event is Event.LOCK_TRY:
            text = None if record.result else f"LK {name}"
        elif record.event is Event.UNLOCK:
            assert steps[-1][2] == "wmb spin_unlock_wmb", "the release of a spin lock is ordered behind what was stored under it"
            steps.pop()
            text = f"UL {name}"
        elif routine == "spin_lock":
            text = None
        elif record.op is MemoryOp.READ:
            text = f"R {name}"
        elif record.op is MemoryOp.WRITE:
            text = f"W {name} = {self._value(name, record.b, frame)}"
        else:
            text = f"{_ATOMIC[self._words[record.pc].op]} {name} {self._value(name, record.b, frame)}"
        steps.append((clock, record.event, text))

    def _word(self, steps, clock, event, at):
        word = self._words[at]
        if word.op is Op.PAUSE:
            # The read before it was in vain, and so was the barrier that is gone back to.
            steps.pop()
            if self._words[word.target].op is Op.FENCE:
                steps.pop()
        elif word.op is Op.FENCE:
            steps.append((clock, event, " ".join(filter(None, (_FENCES[word.imm], self._names.get(at))))))
        elif word.op in _FLAG:
            steps.append((clock, event, _FLAG[word.op]))
        elif word.op is Op.APICWR and word.imm == self._image.constants["APIC_ICR"]:
            steps.append((clock, event, "ICR"))
        elif word.op is Op.ICALL:
            steps.append((clock, event, "call"))
