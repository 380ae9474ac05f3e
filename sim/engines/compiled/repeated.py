"""Units that a machine has many of - Tiles, Witnesses - as C: one function for all of them, in one of two forms.

``OneByOne``: the function computes one unit, and is called for each. ``SideBySide``: the units are the lanes of vectors, and it
computes as many as a vector has lanes. Both have the same interface; the machine around them is scalar code that asks for
their outputs and gives them their inputs.
"""

from .netlist import LIMIT, Node, build_graph, cut, early_outputs, flat_ports, limbs, width_of
from .scalar import Emitter as ScalarEmitter
from .scalar import Unit as ScalarUnit
from .vector import BITS, indent, lookup_function, operand, padded, plain, port_segments
from .vector import Unit as VectorUnit

__all__ = ["OneByOne", "SideBySide", "offsets", "store"]


def offsets(width):
    """Where the 64-bit limbs of a port begin."""
    return range(0, width, LIMIT)


def store(emitter, target, bits):
    """Statements that store bits of any width as limbs; ``target`` gives the place of each by its offset."""
    return [f"{target(number * LIMIT)} = {emitter.value(limb)};" for number, limb in enumerate(limbs(bits))]


class _Repeated:
    """All boxes of one kind.

    Parameters
    ----------
    name : of the boxes.  component : behind them.  tied : input port of it -> constant.
    boxes : the boxes, in their order; each has the bits of its inputs.

    Attributes
    ----------
    early : outputs that are functions of the unit's state.
    declarations : C before the machine.  fields : of the struct Machine.
    numbers : of the boxes.
    """

    def __init__(self, name, component, tied, boxes):
        self.name = name
        self.struct = name.capitalize()
        self.boxes = boxes
        self.numbers = [box.number for box in boxes]
        self.count = len(boxes)
        self._component = component
        self._tied = tied

    def _functions(self, first, late, clock, parameters):
        """``<name>_early``, and ``<name>_clock`` in a form for runs that are looked at and one for those that are not."""
        observed, plain_ = late
        return "\n".join([
            f"static inline void {self.name}_early(const {self.struct} *t, {self.struct}Out *out) {{", indent(first), "}", "",
            f"static inline __attribute__((always_inline)) void {self.name}_clock{parameters}, int traced) {{",
            indent(plain_), "    if (traced) {", indent(observed, 2), "    }", indent(clock), "}", "",
            *(f"static __attribute__((noinline)) void {self.name}_{form}{parameters}) "
              f"{{ {self.name}_clock(t, in, out, {traced}); }}" for form, traced in (("fast", 0), ("traced", 1))),
            "",
        ])

    def _each(self, count, call):
        return f"for (int i = 0; i < {count}; i++) {call};"


class OneByOne(_Repeated):
    """See above. What is behind a box is a struct; its ports are structs of 64-bit words."""

    def __init__(self, name, component, tied, boxes):
        super().__init__(name, component, tied, boxes)
        self._ports = flat_ports(component)
        self._unit = ScalarUnit(self.struct, build_graph(component, tied=tied, indexed=True))
        self.graph = self._unit.graph
        self.early = early_outputs(self.graph)

    def declarations(self, asked_for):
        """asked_for : outputs that are needed if nobody looks."""
        widths = {True: {}, False: {}}
        for port, (value, is_input) in self._ports.items():
            widths[is_input][port] = len(value)
        structs = [f"typedef struct {{\n{indent(f'uint64_t {port}_{low};' for port, width in ports.items() for low in offsets(width))}"
                   f"\n}} {self.struct}{way};\n" for way, ports in (("In", widths[True]), ("Out", widths[False]))]
        unit, graph = self._unit, self.graph

        def leaf(node):
            return f"in->{node.name[0]}_{node.name[1]}" if node.kind == "input" else unit.state(node, "t")

        def out(port):
            return lambda low: f"out->{port}_{low}"

        first, body = (ScalarEmitter(leaf, lambda nodes: unit.row(nodes, "t")) for _ in range(2))
        for port, bits in graph.outputs.items():
            (first if port in self.early else body).need(bits)
        unit.announce(body)
        given = [line for port in sorted(self.early) for line in store(first, out(port), graph.outputs[port])]
        observed, plain_ = [], []
        for port, bits in graph.outputs.items():
            if port not in self.early:
                (plain_ if port in asked_for else observed).extend(store(body, out(port), bits))
        stores = unit.clock(body, "t")
        return "\n".join([
            self._unit.struct(), *structs,
            self._functions([*first.flush(), *given], (observed, [*body.flush(), *plain_]), stores,
                            f"({self.struct} *t, const {self.struct}In *in, {self.struct}Out *out")])

    def fields(self):
        fields = [f"{self.struct} {self.name}[{self.count}];", f"{self.struct}In {self.name}_in[{self.count}];",
                  f"{self.struct}Out {self.name}_out[{self.count}];"]
        return [*fields, *(f"uint64_t {memory.name.rpartition('.')[2]}[{memory.depth}];"
                           for memory in self.graph.memories if memory.constant)]

    def initial(self):
        """Statements that reset all units."""
        tables = [f"t->{self._unit.memories[memory.name]} = m->{memory.name.rpartition('.')[2]};"
                  for memory in self.graph.memories if memory.constant]
        return [f"for (int i = 0; i < {self.count}; i++) {{", f"    {self.struct} *t = &m->{self.name}[i];",
                *("    " + line for line in (*self._unit.initial("t"), *tables)), "}"]

    def fill(self):
        """Statement that puts ``words[row]`` into what all units only read."""
        (memory,) = (memory for memory in self.graph.memories if memory.constant)
        return f"m->{memory.name.rpartition('.')[2]}[row] = words[row];"

    def begin(self):
        """Statement that computes the early outputs."""
        return self._each(self.count, f"{self.name}_early(&m->{self.name}[i], &m->{self.name}_out[i])")

    def run(self):
        """Statement that computes the other outputs, and the state at the end of the clock."""
        return self._each(self.count, f"(c->traced ? {self.name}_traced : {self.name}_fast)"
                                      f"(&m->{self.name}[i], &m->{self.name}_in[i], &m->{self.name}_out[i])")

    def output(self, index, port, low):
        """An expression for one word of an output. ``index`` is a number or an expression."""
        return f"m->{self.name}_out[{index}].{port}_{low}"

    def together(self, port, low, bit):
        """An expression for one bit of an output of all units, or None."""
        return None

    def give(self, emitter):
        """Statements that set the inputs."""
        return [line for index, box in enumerate(self.boxes) for port, bits in box.inputs.items()
                for line in store(emitter, lambda low, at=f"m->{self.name}_in[{index}].{port}": f"{at}_{low}", bits)]


class SideBySide(_Repeated):
    """See above. What is behind the boxes is an array of structs of vectors; a port is an array of vectors, a vector for each
    segment (see vector.py).

    others : the kinds before this one.  lanes : of a vector.
    """

    def __init__(self, name, component, tied, boxes, *, others, lanes):
        super().__init__(name, component, tied, boxes)
        self._lanes = lanes
        self._blocks = -(-self.count // lanes)
        self._sources = {number: (kind, index) for kind in others for index, number in enumerate(kind.numbers)}
        self.graph = build_graph(component, tied=tied)
        self.early = early_outputs(self.graph)
        self._unit = VectorUnit(self.struct, self.graph, {("input", port): self._edges(bits) for port, bits in boxes[0].inputs.items()})
        # (port, offset) -> segments as (number of the vector, offset, width)
        self._inputs, self._outputs, self.n_inputs, self.n_outputs = {}, {}, 0, 0
        for port, nodes in self.graph.inputs.items():
            for node in nodes:
                self._inputs[port, node.name[1]] = self._number("n_inputs", self._unit.segments(node))
        for port, bits in self.graph.outputs.items():
            ports = {("box", port): self._unit.edges(bits)}
            for low in offsets(width_of(bits)):
                node = Node("box", width_of(cut(bits, low, LIMIT)), name=(0, port, low))
                self._outputs[port, low] = self._number("n_outputs", port_segments(node, ports))

    def _number(self, counter, segments):
        first = getattr(self, counter)
        setattr(self, counter, first + len(segments))
        return [(first + number, low, width) for number, (low, width) in enumerate(segments)]

    def _edges(self, bits):
        """Where an input is cut: as the outputs that it comes from."""
        result, position = set(), 0
        for node, low, width in bits:
            result.add(position)
            if node is not None and node.kind == "box" and node.name[0] in self._sources:
                kind, _ = self._sources[node.name[0]]
                result.update(position + start - low for _, start, _ in kind._outputs[node.name[1:]] if low < start < low + width)
            position += width
        return result

    def declarations(self, asked_for):
        unit, graph = self._unit, self.graph

        def leaf(node, segment):
            return unit.state(node, segment, "t") if unit.holds(node) else f"in->i[{self._inputs[node.name][segment][0]}]"

        def stores(emitter, port):
            return [f"out->o[{number}] = {operand(emitter.segment(cut(graph.outputs[port], offset + low, width)))};"
                    for (name, offset), segments in self._outputs.items() if name == port for number, low, width in segments]

        first, body = unit.emitter(leaf), unit.emitter(leaf)
        given = [line for port in sorted(self.early) for line in stores(first, port)]
        observed, plain_ = [], []
        for port in graph.outputs:
            if port not in self.early:
                (plain_ if port in asked_for else observed).extend(stores(body, port))
        kept = unit.clock(body, "t")
        return "\n".join([
            *(lookup_function(depth) for depth in sorted({padded(memory.depth) for memory in graph.memories if memory.constant})),
            unit.struct(),
            f"typedef struct {{ V i[{self.n_inputs}]; }} {self.struct}In;\ntypedef struct {{ V o[{self.n_outputs}]; }} {self.struct}Out;\n",
            *self._readers(),
            self._functions([*first.lines, *given], (observed, [*body.lines, *plain_]), kept,
                            f"({self.struct} *restrict t, const {self.struct}In *restrict in, {self.struct}Out *restrict out")])

    def _readers(self):
        """A function for each word of an output: its value of one unit."""
        for (port, low), segments in self._outputs.items():
            parts = [f"(uint64_t)(out->o[{number}][lane]{' & 1' if width == 1 else ''}) << {start}" for number, start, width in segments]
            yield (f"static inline uint64_t {self.name}_{port}_{low}(const {self.struct}Out *out, int index) {{ "
                   f"int lane = index % LANES; out += index / LANES; return {' | '.join(parts)}; }}\n")

    def fields(self):
        fields = [f"{self.struct} {self.name}[{self._blocks}];", f"{self.struct}In {self.name}_in[{self._blocks}];",
                  f"{self.struct}Out {self.name}_out[{self._blocks}];"]
        return [*fields, *(f"uint16_t {memory.name.rpartition('.')[2]}[{len(plain(memory.width))}][{padded(memory.depth)}] "
                           "__attribute__((aligned(64)));" for memory in self.graph.memories if memory.constant)]

    def initial(self):
        inits = ", ".join(map(str, self._unit.inits))
        tables = [f"t->{self._unit.fields[memory.name]} = m->{memory.name.rpartition('.')[2]}[0];"
                  for memory in self.graph.memories if memory.constant]
        return [f"for (int i = 0; i < {self._blocks}; i++) {{", f"    {self.struct} *t = &m->{self.name}[i];",
                f"    static const uint16_t inits[] = {{{inits}}};",
                f"    for (int j = 0; j < {len(self._unit.inits)}; j++) t->s[j] = K(inits[j]);",
                *("    " + line for line in tables), "}"]

    def fill(self):
        (memory,) = (memory for memory in self.graph.memories if memory.constant)
        name = memory.name.rpartition(".")[2]
        return " ".join(f"m->{name}[{limb}][row] = words[row] >> {BITS * limb};" for limb in range(len(plain(memory.width))))

    def begin(self):
        return self._each(self._blocks, f"{self.name}_early(&m->{self.name}[i], &m->{self.name}_out[i])")

    def run(self):
        return self._each(self._blocks, f"(c->traced ? {self.name}_traced : {self.name}_fast)"
                                        f"(&m->{self.name}[i], &m->{self.name}_in[i], &m->{self.name}_out[i])")

    def output(self, index, port, low):
        return f"{self.name}_{port}_{low}(m->{self.name}_out, {index})"

    def together(self, port, low, bit):
        number, start, width = next(segment for segment in self._outputs[port, low] if segment[1] <= bit < segment[1] + segment[2])
        mask = "" if width == 1 else f" & K({1 << bit - start:#x})"
        words = [f"set(m->{self.name}_out[{block}].o[{number}]{mask})" + (f" << {block * self._lanes}" if block else "")
                 for block in range(self._blocks)]
        return f"({' | '.join(words)}) & {(1 << self.count) - 1:#x}ull"

    def give(self, emitter):
        lines = []
        for (port, offset), segments in self._inputs.items():
            for number, low, width in segments:
                lines += self._given(emitter, number, [cut(box.inputs[port], offset + low, width) for box in self.boxes], width)
        return lines

    def _given(self, emitter, number, values, width):
        """Statements for one vector of the inputs: the bits of each unit."""
        blocks, sign = range(self._blocks), "-" if width == 1 else ""
        place = f"m->{self.name}_in[%s].i[{number}]"
        if all(bits == values[0] for bits in values):
            value = emitter.value(values[0])
            return [f"{place % block} = K({sign}({value}));" for block in blocks]
        if all(node is None for bits in values for node, _, _ in bits):
            table = ", ".join(str(-value & 0xFFFF if width == 1 else value) for ((_, value, _),) in values)
            return [f"{{ static const uint16_t table[{self._blocks * self._lanes}] __attribute__((aligned(64))) = {{{table}}};",
                    *(f"    {place % block} = ((const V *)table)[{block}];" for block in blocks), "}"]
        source = self._copied(values, width)
        if source:
            return [f"{place % block} = {source % block};" for block in blocks]
        ((node, first, _),) = values[0][:1]
        if width == 1 and all(bits == ((node, first + index, 1),) for index, bits in enumerate(values)):
            word = emitter.value(((node, first, self.count),))
            return [f"{place % block} = spread({word}{f' >> {block * self._lanes}' if block else ''});" for block in blocks]
        lines = []
        for index, bits in enumerate(values):
            block, lane = divmod(index, self._lanes)
            lines.append(f"((uint16_t *)&{place % block})[{lane}] = {sign}({emitter.value(bits)});")
        return lines

    def _copied(self, values, width):
        """The vector of another kind's output that the units are given one by one, or None."""
        source = None
        for index, bits in enumerate(values):
            node, low, size = bits[0]
            if node is None or node.kind != "box" or size != width or node.name[0] not in self._sources:
                return None
            kind, there = self._sources[node.name[0]]
            if there != index:
                return None
            this = next((f"m->{kind.name}_out[%s].o[{number}]" for number, start, size in kind._outputs[node.name[1:]]
                         if (start, size) == (low, width)), None)
            if this is None or source not in (None, this):
                return None
            source = this
        return source

