"""Random small Amaranth components: between them they hold every kind of node that the generators of the fast engines know."""

from amaranth.hdl import Cat, Elaboratable, EnableInserter, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import strategies as st

__all__ = ["RandomComponent", "components", "simulate", "stimuli"]

_WIDTHS = st.one_of(st.integers(1, 20), st.sampled_from([1, 8, 16, 17, 31, 32, 33, 48, 64]))
#: Values of these are wider than one word of the scalar code; only what joins, takes apart, compares and chooses is done with them.
_WIDE = st.integers(65, 150)


def _fit(value, width):
    """``value`` with exactly so many bits."""
    return Cat(value, Signal(width))[:width] if len(value) < width else value[:width]


class _Counter(Elaboratable):
    def __init__(self, width, init):
        self.count = Signal(width, init=init)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.count.eq(self.count + 1)
        return m


class RandomComponent(wiring.Component):
    """A component that draws itself.

    Members ``i0, i1, ...`` are its inputs, ``o0, o1, ...`` its outputs: every register, memory output and combinational value.
    """

    def __init__(self, draw):
        self._module = Module()
        self._draw = draw
        inputs = {f"i{number}": In(draw(_WIDTHS)) for number in range(draw(st.integers(2, 4)))}
        self._values = [Signal(member.shape, name=name) for name, member in inputs.items()]
        self._registers = []
        drivers = list(zip(inputs, self._values, strict=True))

        for number in range(draw(st.integers(1, 4))):
            width = draw(_WIDTHS)
            self._registers.append(Signal(width, init=draw(st.integers(0, (1 << width) - 1)), name=f"r{number}"))
        self._values += self._registers
        if draw(st.booleans()):
            self._add_memory()
        for _ in range(draw(st.integers(5, 14))):
            self._values.append(self._named(self._operation()))
        if draw(st.booleans()):
            self._add_wide()
        self._add_switch()
        self._add_counter()
        self._drive_registers()

        outputs = {f"o{number}": Out(len(value)) for number, value in enumerate(self._values)}
        super().__init__({**inputs, **outputs})
        for name, value in drivers:
            self._module.d.comb += value.eq(getattr(self, name))
        for number, value in enumerate(self._values):
            self._module.d.comb += getattr(self, f"o{number}").eq(value)

    def elaborate(self, platform):
        return self._module

    # --- what it is made of

    def _pick(self, width=None):
        value = self._draw(st.sampled_from(self._values))
        return value if width is None else _fit(value, width)

    def _bit(self):
        value = self._pick()
        return value[self._draw(st.integers(0, len(value) - 1))]

    def _named(self, value):
        signal = Signal(len(value), name=f"v{len(self._values)}")
        self._module.d.comb += signal.eq(value)
        return signal

    def _operation(self):
        draw = self._draw
        width = draw(_WIDTHS)
        a, b = self._pick(), self._pick(width)
        kind = draw(st.sampled_from([
            "~", "neg", "+", "-", "*", "<<", "1 <<", ">>", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=", "any", "bool", "all",
            "mux", "cat", "slice", "part", "word", "array", "constant", "matches",
        ]))
        match kind:
            case "~":
                return ~a
            case "neg":
                return (-b)[:width]
            case "+" | "-" | "&" | "|" | "^":
                c = self._pick(width)
                return {"+": b + c, "-": (b - c)[:width], "&": b & c, "|": b | c, "^": b ^ c}[kind][:64]
            case "*":
                return _fit(a, min(len(a), 24)) * self._pick(draw(st.integers(1, 24)))
            case "<<":
                return (b << self._pick(draw(st.integers(1, 5))))[:min(64, width + 8)]
            case "1 <<":
                return (1 << self._pick(6))[:draw(st.integers(30, 64))]
            case ">>":
                return b >> self._pick(draw(st.integers(1, 7)))
            case "==" | "!=" | "<" | "<=" | ">" | ">=":
                c = self._pick(width)
                return {"==": b == c, "!=": b != c, "<": b < c, "<=": b <= c, ">": b > c, ">=": b >= c}[kind]
            case "any":
                return a.any()
            case "bool":
                return Cat(self._bit(), a).bool()
            case "all":
                return a.all()
            case "mux":
                return Mux(self._bit(), a, b)
            case "cat":
                return Cat(self._bit(), a[:20], self._bit(), b[:20], self._bit().replicate(3))
            case "slice":
                low = draw(st.integers(0, len(a) - 1))
                return a[low:draw(st.integers(low + 1, len(a)))]
            case "part":
                return a.bit_select(self._pick(draw(st.integers(1, 5))), draw(st.integers(1, len(a))))
            case "word":
                return a.word_select(self._pick(draw(st.integers(1, 3))), draw(st.integers(1, len(a))))
            case "array":
                return Cat(a, b).word_select(self._bit(), width)
            case "constant":
                return (b == draw(st.integers(0, (1 << width) - 1))) | (b < draw(st.integers(0, (1 << width) - 1)))
            case "matches":
                pattern = draw(st.text("01-", min_size=width, max_size=width))
                return b.matches(pattern, draw(st.integers(0, (1 << width) - 1)))

    def _add_wide(self):
        """Records of more than 64 bits: joined, stored, chosen, compared and taken apart."""
        m, width = self._module, self._draw(_WIDE)
        record = Signal(width, name="wide")
        stored = Signal(width, name="wide_stored", init=self._draw(st.integers(0, (1 << width) - 1)))
        m.d.comb += record.eq(Cat(*(self._pick() for _ in range(12))))
        with m.If(self._bit()):
            m.d.sync += stored.eq(record)
        with m.Elif(self._bit()):
            m.d.sync += stored.eq(~stored ^ record)
        low = self._draw(st.integers(0, width - 2))
        high = min(width, low + self._draw(st.integers(1, 64)))
        self._values += [self._named(item) for item in (
            stored[low:high], stored == record, stored.any(), record.all(), Mux(self._bit(), record, stored)[:64],
            (record + stored)[low:high], (record - stored)[low:high], (-stored)[low:high],
            Cat(record, stored).word_select(self._pick(self._draw(st.integers(1, 2))), width)[low:high],
        )]

    def _add_switch(self):
        """Nested If and Switch that assign the whole and parts of a value."""
        m, draw = self._module, self._draw
        width = draw(_WIDTHS)
        target = Signal(width, name="target", init=draw(st.integers(0, (1 << width) - 1)))
        low = draw(st.integers(0, width - 1))
        subject = self._pick(draw(st.integers(1, 6)))
        size = len(subject)
        with m.Switch(subject):
            for _ in range(draw(st.integers(1, 4))):
                with m.Case(*(draw(st.text("01-", min_size=size, max_size=size)) for _ in range(draw(st.integers(1, 2))))):
                    m.d.comb += target.eq(self._pick(width))
                    with m.If(self._bit()):
                        m.d.comb += target[low:].eq(self._pick())
                    with m.Elif(self._bit()):
                        m.d.comb += target[:low + 1].eq(self._pick())
            if draw(st.booleans()):
                with m.Default():
                    m.d.comb += target.eq(self._pick(width))
        with m.If(self._bit()):
            m.d.comb += target[low].eq(self._bit())
        self._values.append(target)

    def _add_counter(self):
        """Registers with a synchronous reset and a clock enable."""
        counter = _Counter(self._draw(_WIDTHS), self._draw(st.integers(0, 1)))
        self._module.submodules.counter = ResetInserter(self._bit())(EnableInserter(self._bit())(counter))
        self._values.append(self._named(counter.count))

    def _add_memory(self):
        m, draw = self._module, self._draw
        depth = draw(st.sampled_from([2, 4, 5, 8, 16]))
        lanes = draw(st.sampled_from([1, 2]))
        width = lanes * draw(st.one_of(st.integers(1, 20), st.just(24)))
        init = draw(st.lists(st.integers(0, (1 << width) - 1), max_size=depth))
        m.submodules.memory = memory = Memory(shape=width, depth=depth, init=init)
        writes = [memory.write_port(granularity=width // lanes) for _ in range(draw(st.integers(0, 2)))]
        for write in writes:
            m.d.comb += [write.addr.eq(self._pick()), write.data.eq(self._pick()), write.en.eq(self._pick())]
        for _ in range(draw(st.integers(1, 2))):
            seen = tuple(write for write in writes if draw(st.booleans()))
            read = memory.read_port(transparent_for=seen)
            m.d.comb += [read.addr.eq(self._pick()), read.en.eq(self._bit() if draw(st.booleans()) else 1)]
            self._values.append(self._named(read.data))

    def _drive_registers(self):
        m = self._module
        for register in self._registers:
            if self._draw(st.booleans()):
                with m.If(self._bit()):
                    m.d.sync += register.eq(self._pick())
            else:
                m.d.sync += register.eq(self._pick())


@st.composite
def components(draw):
    return RandomComponent(draw)


@st.composite
def stimuli(draw, component, clocks):
    """A value for each input in each clock: mostly noise, which finds more than simple values do, and some of those."""
    noise = draw(st.randoms(use_true_random=False))
    inputs = [(name, member.shape) for name, member in component.signature.members.items() if name.startswith("i")]
    result = []
    for _ in range(clocks):
        result.append({name: noise.choice([0, (1 << width) - 1, *[noise.getrandbits(width)] * 3]) for name, width in inputs})
    return result


def simulate(component, stimulus):
    """The outputs of a component in every clock, before its edge, by PySim: a list of name -> value."""
    outputs = [name for name in component.signature.members if name.startswith("o")]
    result = []

    async def testbench(ctx):
        for values in stimulus:
            for name, value in values.items():
                ctx.set(getattr(component, name), value)
            result.append({name: ctx.get(getattr(component, name)) for name in outputs})
            await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return result
