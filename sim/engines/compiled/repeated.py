"""Units that a machine has many of - Tiles, CoreMonitors - as C: one function for all of them, in one of two forms.

``OneByOne``: the function computes one unit, and is called for each. ``SideBySide``: the units are the lanes of vectors, and the
function computes as many as a vector has lanes. Both have the same interface; the machine around them is scalar code that reads
their outputs and sets their inputs.
"""

from sim.ports import flat_ports

from .netlist import LIMIT, Node, build_graph, cut, early_outputs, limbs, width_of
from .scalar import Emitter as ScalarEmitter
from .scalar import Unit as ScalarUnit
from .vector import BITS, indent, lookup_function, operand, padded, plain, port_segments
from .vector import Unit as VectorUnit

__all__ = ["OneByOne", "SideBySide", "offsets", "store"]


def offsets(width):
    """The offsets of the 64-bit limbs of a port."""
    return range(0, width, LIMIT)


def store(emitter, target, bits):
    """Statements that store bits of any width as limbs; ``target`` returns the place of each by its offset."""
    return [f"{target(number * LIMIT)} = {emitter.value(limb)};" for number, limb in enumerate(limbs(bits))]


class _Repeated:
    """All boxes of one kind.

    Parameters
    ----------
    name : of the boxes.  boxes : in order; each has the bits of its inputs.
    graph : of the component behind them.  n_structs : how many structs hold the state of all.

    Attributes
    ----------
    early : outputs that are functions of the unit's state.  numbers : of the boxes.
    """

    def __init__(self, name, boxes, graph, n_structs):
        self.name = name
        self.numbers = [box.number for box in boxes]
        self.count = len(boxes)
        self.early = early_outputs(graph)
        self._boxes = boxes
        self._graph = graph
        self._struct = name.capitalize()
        self._n_structs = n_structs
        #: What all units share and only read, by its field in the machine.
        self._tables = {memory.name.rpartition(".")[2]: memory for memory in graph.memories if memory.constant}

    def fields(self):
        """The fields in the machine's struct."""
        return [*(f"{self._struct}{way} {self.name}{suffix}[{self._n_structs}];"
                  for way, suffix in (("", ""), ("In", "_in"), ("Out", "_out"))),
                *(self._table_field(name, memory) for name, memory in self._tables.items())]

    def begin(self):
        """Statement that computes the early outputs."""
        return f"for (int i = 0; i < {self._n_structs}; i++) {self.name}_early(&m->{self.name}[i], &m->{self.name}_out[i]);"

    def run(self):
        """Statement that computes the other outputs, and the state at the end of the clock."""
        return (f"for (int i = 0; i < {self._n_structs}; i++) (c->traced ? {self.name}_traced : {self.name}_fast)"
                f"(&m->{self.name}[i], &m->{self.name}_in[i], &m->{self.name}_out[i]);")

    def initial(self):
        """Statements that reset all units."""
        return [f"for (int i = 0; i < {self._n_structs}; i++) {{", f"    {self._struct} *t = &m->{self.name}[i];",
                *("    " + line for line in self._initial()), "}"]

    def _functions(self, first, body, observed, clock, qualifier=""):
        """``<name>_early``; and ``<name>_fast`` and ``<name>_traced``: the rest, with ``observed`` only in the latter."""
        name, struct = self.name, self._struct
        parameters = f"({struct} *{qualifier} t, const {struct}In *{qualifier} in, {struct}Out *{qualifier} out"
        return "\n".join([
            f"static inline void {name}_early(const {struct} *t, {struct}Out *out) {{", indent(first), "}", "",
            f"static inline __attribute__((always_inline)) void {name}_clock{parameters}, int traced) {{",
            indent(body), "    if (traced) {", indent(observed, 2), "    }", indent(clock), "}", "",
            *(f"static __attribute__((noinline)) void {name}_{form}{parameters}) {{ {name}_clock(t, in, out, {traced}); }}"
              for form, traced in (("fast", 0), ("traced", 1))),
            "",
        ])


class OneByOne(_Repeated):
    """See above. A struct holds the state of a box; its ports are structs of 64-bit words.

    component : behind the boxes.  tied : input port of it -> constant.
    """

    def __init__(self, name, component, tied, boxes):
        self._ports = flat_ports(component)
        self._unit = ScalarUnit(name.capitalize(), build_graph(component, tied=tied, indexed=True))
        super().__init__(name, boxes, self._unit.graph, len(boxes))

    def declarations(self, asked_for):
        """asked_for : outputs that are needed even without an observer."""
        widths = {True: {}, False: {}}
        for port, (value, is_input) in self._ports.items():
            widths[is_input][port] = len(value)
        structs = []
        for way, ports in (("In", widths[True]), ("Out", widths[False])):
            words = [f"uint64_t {port}_{low};" for port, width in ports.items() for low in offsets(width)]
            structs.append(f"typedef struct {{\n{indent(words)}\n}} {self._struct}{way};\n")
        unit, graph = self._unit, self._graph

        def leaf(node):
            return f"in->{node.name[0]}_{node.name[1]}" if node.kind == "input" else unit.state(node, "t")

        def out(port):
            return lambda low: f"out->{port}_{low}"

        first, body = (ScalarEmitter(leaf, lambda nodes: unit.row(nodes, "t")) for _ in range(2))
        for port, bits in graph.outputs.items():
            (first if port in self.early else body).need(bits)
        unit.announce(body)
        given = [line for port in sorted(self.early) for line in store(first, out(port), graph.outputs[port])]
        observed, asked = [], []
        for port, bits in graph.outputs.items():
            if port not in self.early:
                (asked if port in asked_for else observed).extend(store(body, out(port), bits))
        stores = unit.clock(body, "t")
        return "\n".join([
            self._unit.struct(), *structs,
            self._functions([*first.flush(), *given], [*body.flush(), *asked], observed, stores)])

    def _table_field(self, name, memory):
        return f"uint64_t {name}[{memory.depth}];"

    def _initial(self):
        return [*self._unit.initial("t"),
                *(f"t->{self._unit.memories[memory.name]} = m->{name};" for name, memory in self._tables.items())]

    def fill(self):
        """Statement that puts ``words[row]`` into what all units share, or returns ``row`` if there is no such row."""
        return " ".join(f"if (row >= {memory.depth}) return row; m->{name}[row] = words[row];"
                        for name, memory in self._tables.items())

    def output(self, index, port, low):
        """An expression for one word of an output. ``index`` is a number or an expression."""
        return f"m->{self.name}_out[{index}].{port}_{low}"

    def together(self, port, low, bit):
        """An expression for one bit of an output of all units, or None."""
        return None

    def give(self, emitter):
        """Statements that set the inputs."""
        return [line for index, box in enumerate(self._boxes) for port, bits in box.inputs.items()
                for line in store(emitter, lambda low, at=f"m->{self.name}_in[{index}].{port}": f"{at}_{low}", bits)]


class SideBySide(_Repeated):
    """See above. An array of structs of vectors holds the state of the boxes; a port is an array of vectors, one for each segment
    (see vector.py).

    component : behind the boxes.  tied : input port of it -> constant.  others : the kinds before this one.
    lanes : of a vector.
    """

    def __init__(self, name, component, tied, boxes, *, others, lanes):
        super().__init__(name, boxes, build_graph(component, tied=tied), -(-len(boxes) // lanes))
        self._lanes = lanes
        self._sources = {number: (kind, index) for kind in others for index, number in enumerate(kind.numbers)}
        self._unit = VectorUnit(self._struct, self._graph,
                                {("input", port): self._edges(bits) for port, bits in boxes[0].inputs.items()})
        # (port, offset) -> segments as (number of the vector, offset, width)
        self._inputs, self._outputs, self._n_inputs, self._n_outputs = {}, {}, 0, 0
        for port, nodes in self._graph.inputs.items():
            for node in nodes:
                self._inputs[port, node.name[1]] = self._number("_n_inputs", self._unit.segments(node))
        for port, bits in self._graph.outputs.items():
            ports = {("box", port): self._unit.edges(bits)}
            for low in offsets(width_of(bits)):
                node = Node("box", width_of(cut(bits, low, LIMIT)), name=(0, port, low))
                self._outputs[port, low] = self._number("_n_outputs", port_segments(node, ports))

    def _number(self, counter, segments):
        first = getattr(self, counter)
        setattr(self, counter, first + len(segments))
        return [(first + number, low, width) for number, (low, width) in enumerate(segments)]

    def _edges(self, bits):
        """Where to cut an input: where the outputs that drive it are cut."""
        result, position = set(), 0
        for node, low, width in bits:
            result.add(position)
            if node is not None and node.kind == "box" and node.name[0] in self._sources:
                kind, _ = self._sources[node.name[0]]
                result.update(position + start - low for _, start, _ in kind._outputs[node.name[1:]] if low < start < low + width)
            position += width
        return result

    def declarations(self, asked_for):
        unit, graph = self._unit, self._graph

        def leaf(node, segment):
            return unit.state(node, segment, "t") if unit.holds(node) else f"in->i[{self._inputs[node.name][segment][0]}]"

        def stores(emitter, port):
            return [f"out->o[{number}] = {operand(emitter.segment(cut(graph.outputs[port], offset + low, width)))};"
                    for (name, offset), segments in self._outputs.items() if name == port for number, low, width in segments]

        first, body = unit.emitter(leaf), unit.emitter(leaf)
        given = [line for port in sorted(self.early) for line in stores(first, port)]
        observed, asked = [], []
        for port in graph.outputs:
            if port not in self.early:
                (asked if port in asked_for else observed).extend(stores(body, port))
        kept = unit.clock(body, "t")
        tables = {padded(memory.depth) for memory in graph.memories if memory.constant}
        return "\n".join([
            *map(lookup_function, sorted(tables)),
            unit.struct(),
            f"typedef struct {{ V i[{self._n_inputs}]; }} {self._struct}In;",
            f"typedef struct {{ V o[{self._n_outputs}]; }} {self._struct}Out;\n",
            *self._readers(),
            self._functions([*first.lines, *given], [*body.lines, *asked], observed, kept, "restrict")])

    def _readers(self):
        """A function for each word of an output: its value in one unit."""
        for (port, low), segments in self._outputs.items():
            parts = [f"(uint64_t)(out->o[{number}][lane]{' & 1' if width == 1 else ''}) << {start}"
                     for number, start, width in segments]
            yield (f"static inline uint64_t {self.name}_{port}_{low}(const {self._struct}Out *out, int index) {{ "
                   f"int lane = index % LANES; out += index / LANES; return {' | '.join(parts)}; }}\n")

    def _table_field(self, name, memory):
        return f"uint16_t {name}[{len(plain(memory.width))}][{padded(memory.depth)}] __attribute__((aligned(64)));"

    def _initial(self):
        return [f"static const uint16_t inits[] = {{{', '.join(map(str, self._unit.inits))}}};",
                f"for (int j = 0; j < {len(self._unit.inits)}; j++) t->s[j] = K(inits[j]);",
                *(f"t->{self._unit.fields[memory.name]} = m->{name}[0];" for name, memory in self._tables.items())]

    def fill(self):
        def limbs(name, memory):
            return " ".join(f"m->{name}[{limb}][row] = words[row] >> {BITS * limb};" for limb in range(len(plain(memory.width))))

        return " ".join(f"if (row >= {memory.depth}) return row; {limbs(name, memory)}" for name, memory in self._tables.items())

    def output(self, index, port, low):
        return f"{self.name}_{port}_{low}(m->{self.name}_out, {index})"

    def together(self, port, low, bit):
        number, start, width = next(segment for segment in self._outputs[port, low] if segment[1] <= bit < segment[1] + segment[2])
        mask = "" if width == 1 else f" & K({1 << bit - start:#x})"
        words = [f"set(m->{self.name}_out[{block}].o[{number}]{mask})" + (f" << {block * self._lanes}" if block else "")
                 for block in range(self._n_structs)]
        return f"({' | '.join(words)}) & {(1 << self.count) - 1:#x}ull"

    def give(self, emitter):
        lines = []
        for (port, offset), segments in self._inputs.items():
            for number, low, width in segments:
                lines += self._given(emitter, number, [cut(box.inputs[port], offset + low, width) for box in self._boxes], width)
        return lines

    def _given(self, emitter, number, values, width):
        """Statements for one vector of the inputs: the bits of each unit."""
        blocks, sign = range(self._n_structs), "-" if width == 1 else ""
        place = f"m->{self.name}_in[%s].i[{number}]"
        if all(bits == values[0] for bits in values):
            value = emitter.value(values[0])
            return [f"{place % block} = K({sign}({value}));" for block in blocks]
        if all(node is None for bits in values for node, _, _ in bits):
            table = ", ".join(str(-value & 0xFFFF if width == 1 else value) for ((_, value, _),) in values)
            return [f"{{ static const uint16_t table[{self._n_structs * self._lanes}] __attribute__((aligned(64))) = {{{table}}};",
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
        """The vector of another kind's output that drives these units one by one, or None."""
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

