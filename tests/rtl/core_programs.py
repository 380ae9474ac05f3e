"""Random programs for one core, that come to an end."""

from rtl.apic.registers import ApicRegister
from rtl.config import MachineConfig
from rtl.core.microword import CONDITIONAL_OPS, ENTRY_INTERRUPT, MEMORY_OPS, OPERATIONS, MicroWord, Op
from rtl.events import Event
from sim.engines.engine import Contents

__all__ = ["noise", "program"]

#: What may stand anywhere: it goes on with the next word, and leaves private stack and interrupt flag as they are.
_SIMPLE = [op for op in OPERATIONS if op not in (
    Op.PANIC, Op.HALT, Op.CLI, Op.STI, Op.IRQSAVE, Op.IRQRESTORE, Op.IRET, Op.JMP, Op.CALL, Op.ICALL, Op.RET, Op.PAUSE,
    Op.PUSH, Op.POP, Op.PUSHA, Op.POPA, *CONDITIONAL_OPS)]
_EVENTS = [event for event in Event if event is not Event.NONE]
#: Registers whose value does not depend on the clock, unless something is in service; and one that does not exist.
_READABLE = [ApicRegister.ID, ApicRegister.VERSION, ApicRegister.TPR, ApicRegister.ICR2, 0x7F]
_WRITABLE = [ApicRegister.ID, ApicRegister.ICR2, ApicRegister.ICR2, 0x7F]


class _Program:
    def __init__(self, rng, config, simple=_SIMPLE):
        self.simple_ops = simple
        self.rng = rng
        self.config = config
        self.words = []
        #: The registers that may be written: r7 counts the rounds of loops.
        self.writable = 8
        self.routines = []
        #: A few words, so that operations meet, some of them neighbours; the first and the last one that there are.
        last = config.arena_depth - 1
        self.places = [config.NULL_WORDS, config.NULL_WORDS + 1, last, last - 1, rng.randrange(18, last), rng.randrange(18, last)]

    def immediate(self):
        return self.rng.choice([0, 1, 2, self.config.xlen - 1, self.config.xlen, self.config.xlen + 3, 0x7FFF, 0x8000, 0xFFFF,
                                self.rng.getrandbits(16)])

    def emit(self, op, **fields):
        """A word with this operation. What is not given is random where the operation or an event uses it. What the operation does
        not use is 0 where the core relies on that."""
        rng = self.rng
        if op in (Op.LOOP, Op.ICALL, Op.PUSHA):
            fields["imm"] = 0
        if op is Op.PUSHA:
            fields["ra"] = 0
        for kind in OPERATIONS[op].operands:
            if kind in "dc":
                fields.setdefault("rd", rng.randrange(self.writable))
            elif kind == "k":
                fields.setdefault("rd", rng.randrange(8))
        fields.setdefault("ra", rng.randrange(8))
        fields.setdefault("rb", rng.randrange(8))
        if "imm" not in fields:
            fields.setdefault("use_imm", rng.randrange(2) if "r" not in OPERATIONS[op].operands else 0)
            fields["imm"] = self.immediate()
        fields.setdefault("event", rng.choice(_EVENTS) if rng.random() < 0.6 else Event.NONE)
        fields.setdefault("entry", int(rng.random() < 0.1))
        self.words.append({"op": op, **fields})
        return len(self.words) - 1

    def here(self):
        return len(self.words)

    def aim(self, number, target):
        self.words[number]["target"] = target

    # Each of these leaves the private stack as it found it.

    def simple(self):
        rng = self.rng
        op = rng.choice(self.simple_ops)
        if op in MEMORY_OPS:
            self.access(op)
        elif op in (Op.APICRD, Op.APICRDH):
            self.emit(op, imm=rng.choice(_READABLE))
        elif op is Op.APICWR:
            self.emit(op, imm=rng.choice(_WRITABLE))
        elif op is Op.FENCE:
            self.emit(op, imm=rng.randrange(3))
        else:
            self.emit(op)

    def access(self, op, **fields):
        """At a place of its own, or relative to a register, which may be beyond the end of all numbers."""
        rng = self.rng
        place = rng.choice(self.places)
        if rng.random() < 0.4:
            return self.emit(op, use_imm=1, imm=place, **fields)
        base = rng.randrange(self.writable)
        below = rng.randrange(0, place + 1)
        if rng.random() < 0.5:
            self.emit(Op.MOV, rd=base, use_imm=1, imm=place - below)
            offset = below
        else:
            self.emit(Op.MOV, rd=base, use_imm=1, imm=0)
            self.emit(Op.SUB, rd=base, ra=base, use_imm=1, imm=below)
            offset = place + below
        return self.emit(op, ra=base, use_imm=0, imm=offset, **fields)

    def branch(self, depth):
        op = self.rng.choice([op for op in CONDITIONAL_OPS if op not in MEMORY_OPS])
        operands = {}
        if self.rng.random() < 0.7:
            # Small numbers, so that all outcomes are likely.
            register = self.rng.randrange(self.writable)
            self.emit(Op.MOV, rd=register, use_imm=1, imm=self.rng.randrange(3))
            operands = {"ra": register, "use_imm": 1, "imm": self.rng.randrange(3)}
        number = self.emit(op, **operands)
        self.block(depth)
        self.aim(number, self.here())

    def branch_on_memory(self, depth):
        if self.rng.random() < 0.5:
            self.emit(Op.STC, use_imm=1, imm=self.places[0], rd=0, rb=self.rng.randrange(2))
        number = self.access(self.rng.choice([Op.LDZ, Op.LDNZ]))
        self.block(depth)
        self.aim(number, self.here())

    def jump(self, depth):
        number = self.emit(self.rng.choice([Op.JMP, Op.PAUSE]))
        self.block(depth)
        self.aim(number, self.here())

    def on_the_stack(self, depth):
        rng = self.rng
        kind = rng.randrange(4)
        first = (Op.PUSH, Op.PUSHA, Op.IRQSAVE, Op.PUSH)[kind]
        last = (Op.POP, Op.POPA, Op.IRQRESTORE, Op.IRQRESTORE)[kind]
        self.emit(first, **({"rb": rng.randrange(8)} if first is Op.PUSH else {}))
        if rng.random() < 0.6:
            self.block(depth)
        self.emit(last)

    def neighbours(self, depth):
        """Stores and loads of two words, close enough for a load to find the stores in a buffer."""
        for _ in range(self.rng.randrange(3, 6)):
            self.emit(self.rng.choice([Op.ST, Op.ST, Op.STC, Op.LD]), use_imm=1, imm=self.rng.choice(self.places[:2]))

    def flag(self, depth):
        self.emit(self.rng.choice([Op.CLI, Op.STI, Op.STI]))

    def loop(self, depth):
        if self.writable == 7:
            return
        self.emit(Op.MOV, rd=7, use_imm=1, imm=self.rng.randrange(1, 4))
        self.writable = 7
        top = self.here()
        self.block(depth)
        self.writable = 8
        self.aim(self.emit(Op.LOOP, rd=7, ra=7), top)

    def work(self, depth):
        register = self.rng.randrange(self.writable)
        self.emit(Op.MOV, rd=register, use_imm=1, imm=self.rng.randrange(1, 9))
        number = self.emit(Op.LOOP, rd=register, ra=register)
        self.aim(number, number)

    def call(self, depth):
        if not self.routines:
            return
        routine = self.rng.choice(self.routines)
        if self.rng.random() < 0.5:
            self.aim(self.emit(Op.CALL), routine)
        else:
            register = self.rng.randrange(self.writable)
            self.emit(Op.MOV, rd=register, use_imm=1, imm=routine)
            self.emit(Op.ICALL, ra=register)

    def return_from_interrupt(self, depth):
        """What IRET does where nothing was interrupted: it goes to where it finds itself told to."""
        register = self.rng.randrange(self.writable)
        number = self.emit(Op.MOV, rd=register, use_imm=1, imm=0)
        self.emit(Op.PUSH, rb=register)
        self.emit(Op.IRET)
        self.words[number]["imm"] = self.here() | self.rng.randrange(2) << self.config.pc_bits

    def block(self, depth):
        kinds = [self.neighbours, self.branch, self.branch_on_memory, self.jump, self.on_the_stack, self.on_the_stack, self.flag,
                 self.loop, self.work, self.call, self.return_from_interrupt]
        for _ in range(self.rng.randrange(1, 5)):
            self.simple()
            if depth and self.rng.random() < 0.5:
                self.rng.choice(kinds)(depth - 1)

    def send(self):
        """An interrupt to this core itself."""
        register = self.rng.randrange(self.writable)
        self.emit(Op.MOV, rd=register, use_imm=1, imm=0)
        self.emit(Op.APICWRH, rb=register)
        self.emit(Op.APICWR, rb=register, imm=ApicRegister.ICR2)
        self.emit(Op.MOV, rd=register, use_imm=1, imm=self.rng.randrange(self.config.first_vector, 256))
        self.emit(Op.APICWR, rb=register, imm=ApicRegister.ICR)

    def contents(self):
        rng = self.rng
        interesting = [0, 1, (1 << self.config.xlen) - 1, 1 << self.config.xlen - 1]
        return Contents(
            microcode=[MicroWord.const(word).as_bits() for word in self.words],
            arena={place: rng.choice([*interesting, rng.getrandbits(self.config.xlen)]) for place in self.places},
        )


def program(rng, config: MachineConfig, *, interrupts, timeless=False):
    """A structured program: branches, loops, calls and what is on the private stack are nested as in a real one.

    With ``interrupts`` it sends some to itself, and sleeps at the end; else it ends with a HALT or a trap.
    ``timeless``: it never looks at the time.
    """
    made = _Program(rng, config, [op for op in _SIMPLE if op is not Op.TIME] if timeless else _SIMPLE)
    main = made.emit(Op.JMP, event=Event.COMMAND)
    handler = made.emit(Op.JMP)
    assert handler == ENTRY_INTERRUPT
    made.writable = 7
    for _ in range(2):
        start = made.here()
        made.block(1)
        made.words[start]["entry"] = 1
        made.emit(Op.RET)
        made.routines.append(start)

    made.aim(handler, made.here())
    made.emit(Op.PUSHA)
    made.emit(Op.VECTOR)
    made.block(1)
    if rng.random() < 0.5:
        made.emit(Op.STI)
        made.block(0)
    made.emit(Op.APICWR, imm=ApicRegister.EOI)
    if rng.random() < 0.5:
        made.emit(Op.STI)
        made.block(0)
    made.emit(Op.POPA)
    made.emit(Op.IRET)

    made.aim(main, made.here())
    made.writable = 8
    for register in range(8):
        made.emit(Op.LD, rd=register, use_imm=1, imm=rng.choice(made.places))
    for _ in range(4):
        made.branch(0)
    for _ in range(6):
        if interrupts:
            made.send()
            if rng.random() < 0.7:
                made.emit(Op.STI)
            if rng.random() < 0.2:
                made.emit(Op.MOV, rd=0, use_imm=1, imm=rng.choice([0, 0xD0, 0xE0]))
                made.emit(Op.APICWR, rb=0, imm=ApicRegister.TPR)
        made.block(2)
    for register in range(8):
        made.emit(Op.ST, rb=register, use_imm=1, imm=rng.choice(made.places))
    if interrupts:
        made.emit(Op.MOV, rd=0, use_imm=1, imm=0)
        made.emit(Op.APICWRH, rb=0)
        made.emit(Op.APICWR, rb=0, imm=ApicRegister.TPR)
        made.emit(Op.STI)
        sleep = made.emit(Op.HALT)
        made.aim(made.emit(Op.JMP), sleep)
    else:
        _end(made)
    return made.contents()


def _end(made):
    rng = made.rng
    kind = rng.randrange(6)
    if kind == 0:
        made.emit(Op.HALT)
    elif kind == 1:
        made.emit(rng.choice([Op.RET, Op.POP, Op.POPA, Op.IRET, Op.IRQRESTORE]))
    elif kind == 2:
        beyond = rng.choice([0, 15, made.config.arena_depth, 0xFF10, 0xFFFF])
        made.emit(rng.choice(MEMORY_OPS), use_imm=1, imm=beyond)
    elif kind == 3:
        # To a word that is no entry point; or to one that is, but for the bits that no microcode address has.
        made.emit(Op.NOP, entry=1)
        target = rng.choice([1, made.here() - 1 + made.config.microcode_depth])
        made.words[1]["entry"] = 0
        made.emit(Op.MOV, rd=3, use_imm=1, imm=target)
        made.emit(Op.ICALL, ra=3)
    elif kind == 4:
        loop = made.emit(rng.choice([Op.PUSH, Op.PUSHA, Op.IRQSAVE]))
        made.aim(made.emit(Op.JMP), loop)
    # Else it runs into the words that nobody has filled.


def noise(rng, config):
    """Random words: every field of every operation may be anything that does not concern others."""
    made = _Program(rng, config)
    made.emit(Op.NOP, event=Event.COMMAND)
    for register in range(8):
        made.emit(Op.LD, rd=register, use_imm=1, imm=rng.choice(made.places))
    size = 60
    for _ in range(8):
        made.emit(Op.MOV, rd=rng.randrange(6), use_imm=1, imm=rng.choice([*made.places, rng.randrange(size)]))
        made.emit(Op.PUSH, use_imm=0, rb=rng.randrange(6))
    while made.here() < size:
        op = rng.choice([op for op in Op if op not in (Op.PANIC, Op.HALT) or rng.random() < 0.2])
        imm = rng.choice([*made.places, *made.places, *made.places, made.immediate()])
        if op in (Op.APICRD, Op.APICRDH):
            imm = rng.choice(_READABLE)
        elif op is Op.APICWR:
            imm = rng.choice([*_WRITABLE, ApicRegister.TPR])
        made.emit(op, rd=rng.randrange(8), use_imm=rng.randrange(2), imm=imm, target=rng.randrange(size), entry=rng.randrange(2))
    return made.contents()
