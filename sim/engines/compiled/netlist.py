"""Amaranth's netlist -> a graph of nodes of at most 64 bits, from which code is generated.

Why Amaranth's own netlist and not Yosys' JSON: it needs no other tool, takes a tenth of the time, and still has words, switches and
memories, which the generated code should keep. It is private to Amaranth, so this file is the only one that touches it or any other
private part; an unknown operator is refused by name. (Amaranth is pinned below 0.6.)
"""

from dataclasses import dataclass, field
from functools import reduce

from amaranth.hdl import Fragment, _ir, _nir

from sim.ports import flat_ports

__all__ = [
    "LIMIT", "BlackBox", "Graph", "MemoryInfo", "Node", "Register", "UnknownCellError", "backend_ports", "build_graph", "cut",
    "early_outputs", "limbs", "reachable", "width_of",
]

#: The widest node; wider values of the netlist are cut.
LIMIT = 64


class UnknownCellError(Exception):
    """The netlist contains something that the generators cannot translate."""


# Operands are "bits": a tuple of pieces, least significant first. A piece is (node, low, width), or (None, value, width) for a
# constant.


def width_of(bits):
    return sum(width for _, _, width in bits)


@dataclass(eq=False)
class Node:
    """One value of at most 64 bits.

    kind : "input" (of the unit), "box" (output of a black box), "register", "read" (output register of a synchronous read
        port), or an operation: "~ - b | & ^ + * << >> == != < > <= >= mux matches first select choose", each on ``inputs``
        as below.
    inputs : tuple of bits. mux: condition, if 1, if 0. matches: the value; ``patterns`` are (mask, value). select: default, then
        condition and value in turn, the last one that holds wins. first: enable, this input, then those that come before it.
        choose (only on request): a number, then the values that it chooses from, 0 beyond their end.
    name : of an input: (port, low); of a box's output: (box, port, low).
    """

    kind: str
    width: int
    inputs: tuple = ()
    patterns: tuple = ()
    name: tuple = ()
    index: int = -1


@dataclass(eq=False)
class Register:
    """A piece of a flip-flop. ``next`` are bits."""

    node: Node
    init: int
    next: tuple = ()


@dataclass(eq=False)
class WritePort:
    address: tuple
    data: tuple
    enable: tuple                    # as wide as data: one bit per bit


@dataclass(eq=False)
class ReadPort:
    node: Node                        # the output register
    address: tuple
    enable: tuple
    transparent: tuple                # numbers of the write ports whose data it sees in the same clock


@dataclass(eq=False)
class MemoryInfo:
    """``name`` is its place in the hierarchy."""

    name: str
    width: int
    depth: int
    init: tuple
    writes: list = field(default_factory=list)
    reads: list = field(default_factory=list)

    @property
    def constant(self):
        """Whether nothing ever writes to it."""
        return all(_is_zero(port.enable) for port in self.writes)


@dataclass(eq=False)
class BlackBox:
    """An instance. ``inputs``: port -> bits; ``outputs``: port -> bits (of "box" nodes)."""

    kind: str
    number: int
    inputs: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)


@dataclass(eq=False)
class Graph:
    """One unit. ``outputs``: port -> bits. ``signals``: what ``watch`` asked for, as bits."""

    inputs: dict
    outputs: dict
    registers: list
    memories: list
    boxes: list


def cut(bits, low, width):
    """``bits[low:low + width]``."""
    result, position = [], 0
    for node, start, size in bits:
        first, last = max(low, position), min(low + width, position + size)
        if first < last:
            offset = first - position
            if node is None:
                result.append((None, start >> offset & (1 << last - first) - 1, last - first))
            else:
                result.append((node, start + offset, last - first))
        position += size
    return tuple(result)


def limbs(bits):
    """Bits in groups of LIMIT; the last one may be narrower."""
    return [cut(bits, low, LIMIT) for low in range(0, width_of(bits), LIMIT)]


def _is_zero(bits):
    return all(node is None and value == 0 for node, value, _ in bits)


def backend_ports(component, rename=None):
    """The ports of a component in the form that Amaranth's backends take.

    rename : port -> another name for it.
    """
    return {
        (rename or {}).get(name, name): (value, _ir.PortDirection.Input if is_input else _ir.PortDirection.Output)
        for name, (value, is_input) in flat_ports(component).items()
    }


def build_graph(component, *, tied=None, indexed=False):
    """The Graph of a component.

    tied : input port -> constant. The clock is not a port; reset is tied to 0.
    indexed : whether the caller supports nodes of the kind "choose".
    """
    # _ir.build_netlist, without what only its own backends need: half of its time at 64 cores.
    design = Fragment.get(component, None).prepare(ports=backend_ports(component), hierarchy=("top",))
    netlist = _nir.Netlist()
    _NetlistEmitter(netlist, design).emit_fragment(design.fragment, None)
    for cell in netlist.cells:
        cell.resolve_nets(netlist)
    return _Builder(netlist, {"rst": 0, **(tied or {})}, indexed).graph()


class _NetlistEmitter(_ir.NetlistEmitter):
    def emit_signal_fields(self):
        """Names of the fields of signals, which are not needed here."""


def reachable(graph):
    """Every node that is needed, operands first."""
    order, seen = [], set()
    roots = [register.next for register in graph.registers] + list(graph.outputs.values())
    roots += [bits for box in graph.boxes for bits in box.inputs.values()]
    for memory in graph.memories:
        roots += [bits for port in memory.writes for bits in (port.address, port.data, port.enable)]
        roots += [bits for port in memory.reads for bits in (port.address, port.enable)]
    stack = [(node, False) for bits in roots for node, _, _ in bits if node is not None]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(item, False) for bits in node.inputs for item, _, _ in bits if item is not None]
    return order


def early_outputs(graph):
    """Names of the outputs that are functions of state alone."""
    asks = {}
    for node in reachable(graph):
        asks[node] = node.kind in ("input", "box") or any(asks[item] for bits in node.inputs for item, _, _ in bits
                                                          if item is not None)
    return {name for name, bits in graph.outputs.items() if not any(asks[node] for node, _, _ in bits if node is not None)}


class _Builder:
    def __init__(self, netlist, tied, indexed):
        self.netlist = netlist
        self.indexed = indexed
        self.cells = netlist.cells
        self.tied = tied
        #: cell -> list of (low, width) at which its output is cut
        self.cuts = {}
        #: cell -> list of (low, width, bits) of its output
        self.pieces = {}
        #: cells in progress
        self.making = set()
        self.inputs = {}
        self.registers = []
        self.memories = {}
        self.boxes = []

    # --- bits of nets -------------------------------------------------------------------------------------------------

    def bits(self, value):
        """Nets -> bits."""
        pieces, position = [], 0
        while position < len(value):
            net = value[position]
            run = 1
            if net.is_const:
                add = ((None, net.const, 1),)
            else:
                # Consecutive nets of a cell differ by one.
                while position + run < len(value) and value[position + run] == net + run:
                    run += 1
                add = self.part(net, run)
            for node, low, width in add:
                if pieces:
                    before, start, size = pieces[-1]
                    if before is node is None:
                        pieces[-1] = (None, start | low << size, size + width)
                        continue
                    if before is node and start + size == low:
                        pieces[-1] = (node, start, size + width)
                        continue
                pieces.append((node, low, width))
            position += run
        return tuple(pieces)

    def part(self, net, width):
        """``width`` nets of one cell."""
        first, result = net.bit, []
        for low, size, (node, start, _) in self.output(net.cell):
            begin, end = max(low, first), min(low + size, first + width)
            if begin >= end:
                continue
            if node is None:
                result.append((None, start >> begin - low & (1 << end - begin) - 1, end - begin))
            else:
                result.append((node, start + begin - low, end - begin))
        if width_of(result) < width:
            raise UnknownCellError(f"bits from {first} of a value cannot be compiled: {self.cells[net.cell]!r}")
        return result

    def output(self, index):
        if index not in self.pieces:
            # Cells with state are made before their operands, so that loops through them end.
            if index in self.making:
                raise UnknownCellError(f"a combinational loop cannot be compiled: {self.cells[index]!r}")
            self.making.add(index)
            self.make(index, self.cells[index])
        return self.pieces[index]

    # --- cells --------------------------------------------------------------------------------------------------------

    def single(self, index, node):
        self.pieces[index] = [(0, node.width, (node, 0, node.width))]

    def chunks(self, width, bounds=()):
        """(low, width) of the parts of a value, cut at bounds and at the limit."""
        edges = sorted({0, width, *(bound for bound in bounds if 0 < bound < width)})
        for low, high in zip(edges, edges[1:], strict=False):
            for start in range(low, high, LIMIT):
                yield start, min(LIMIT, high - start)

    def bounds(self, value):
        """Where the sources of a value change from one cell to another."""
        result = []
        for position, (before, net) in enumerate(zip(value, value[1:], strict=False), 1):
            if before.is_const and net.is_const:
                continue
            if before.is_const or net.is_const or before.cell != net.cell or before.bit + 1 != net.bit:
                result.append(position)
            elif isinstance(self.cells[net.cell], _nir.AssignmentList) and net.bit in self.edges(net.cell):
                result.append(position)
        return result

    def edges(self, index):
        """Where the assignments of an AssignmentList start and end."""
        if index not in self.cuts:
            cell = self.cells[index]
            self.cuts[index] = {edge for item in cell.assignments for edge in (item.start, item.start + len(item.value))}
        return self.cuts[index]

    def make(self, index, cell):
        name = type(cell).__name__.lower()
        method = getattr(self, f"make_{name}", None)
        if method is None:
            raise UnknownCellError(f"the netlist has a {type(cell).__name__}, which cannot be compiled: {cell!r}")
        method(index, cell)

    def make_top(self, index, top):
        self.pieces[index] = []
        for name, (start, width) in top.ports_i.items():
            if name in self.tied or name == "clk":
                value = self.tied.get(name, 0)
                self.pieces[index].append((start, width, (None, value, width)))
                continue
            for low, size in self.chunks(width):
                node = Node("input", size, name=(name, low))
                self.inputs.setdefault(name, []).append(node)
                self.pieces[index].append((start + low, size, (node, 0, size)))

    def make_instance(self, index, cell):
        box = BlackBox(cell.type, len(self.boxes))
        self.boxes.append((box, cell))
        pieces = self.pieces[index] = []
        for name, (start, width) in cell.ports_o.items():
            outputs = []
            for low, size in self.chunks(width):
                node = Node("box", size, name=(box.number, name, low))
                pieces.append((start + low, size, (node, 0, size)))
                outputs.append((node, 0, size))
            box.outputs[name] = tuple(outputs)

    def make_flipflop(self, index, cell):
        if cell.clk_edge != "pos" or not (cell.arst.is_const and cell.arst.const == 0):
            raise UnknownCellError("a flip-flop with an asynchronous reset or a falling edge cannot be compiled")
        pieces = self.pieces[index] = []
        constant = all(not net.is_const and (net.cell, net.bit) == (index, bit) for bit, net in enumerate(cell.data))
        for low, width in self.chunks(len(cell.data), self.bounds(cell.data)):
            if constant:
                pieces.append((low, width, (None, cell.init >> low & (1 << width) - 1, width)))
                continue
            node = Node("register", width)
            register = Register(node, cell.init >> low & (1 << width) - 1)
            self.registers.append((register, cell.data[low:low + width]))
            pieces.append((low, width, (node, 0, width)))

    def memory(self, index):
        if index not in self.memories:
            cell = self.cells[index]
            if cell.width > LIMIT:
                raise UnknownCellError(f"the memory {cell.name} has words of {cell.width} bits; at most {LIMIT} can be compiled")
            place = ".".join((*self.netlist.modules[cell.module_idx].name, cell.name))
            self.memories[index] = MemoryInfo(place, cell.width, cell.depth, tuple(cell.init))
        return self.memories[index]

    def make_syncreadport(self, index, cell):
        node = Node("read", cell.width)
        self.single(index, node)
        memory = self.memory(cell.memory)
        memory.reads.append((node, cell))

    def make_syncwriteport(self, index, cell):
        self.pieces[index] = []

    def make_asyncreadport(self, index, cell):
        raise UnknownCellError("a memory with an asynchronous read port cannot be compiled")

    # --- combinational cells ------------------------------------------------------------------------------------------

    def add(self, index, kind, width, *inputs, **more):
        self.single(index, Node(kind, width, tuple(inputs), **more))

    def make_operator(self, index, cell):
        operator, values, width = cell.operator, cell.inputs, cell.width
        if operator in ("~", "&", "|", "^", "m"):
            first = values[0] if operator != "m" else values[1]
            pieces = self.pieces[index] = []
            for low, size in self.chunks(width, self.bounds(first) if width > LIMIT else ()):
                operands = tuple(self.bits(value[low:low + size]) for value in (values[1:] if operator == "m" else values))
                if operator == "m":
                    operands = (self.bits(values[0]), *operands)
                node = Node("mux" if operator == "m" else operator, size, operands)
                pieces.append((low, size, (node, 0, size)))
            return
        if operator in ("b", "r|", "r&", "r^"):
            bits = self.bits(values[0])
            if operator in ("b", "r|"):
                self.reduce(index, bits)
            elif operator == "r&":
                self.reduce_and(index, values[0])
            else:
                raise UnknownCellError("the operator r^ cannot be compiled")
            return
        if operator in ("==", "!="):
            self.compare(index, operator, *values)
            return
        if operator in ("+", "-") and width > LIMIT:
            self.sum(index, operator, values if len(values) == 2 else (_nir.Value.zeros(width), *values))
            return
        if operator in ("<<", "u>>") and width > LIMIT:
            self.shift(index, operator, *map(self.bits, values))
            return
        if operator == "*" and width > LIMIT:
            # Only the low bits can be needed; a use of a higher one is refused where it occurs.
            width = LIMIT
            values = tuple(value[:LIMIT] for value in values)
        kinds = {"+": "+", "-": "-", "*": "*", "<<": "<<", "u>>": ">>", "u<": "<", "u>": ">", "u<=": "<=", "u>=": ">="}
        if operator not in kinds or any(len(value) > LIMIT for value in values):
            raise UnknownCellError(f"the operator {operator} on {len(values[0])} bits cannot be compiled")
        self.add(index, kinds[operator], width, *(self.bits(value) for value in values))

    def shift(self, index, operator, bits, amount):
        """A shift of a value wider than LIMIT: a row of multiplexers for each bit of the amount."""
        width = width_of(bits)
        for number in range(width_of(amount)):
            step = min(1 << number, width)
            zeros = ((None, 0, step),)
            moved = (*cut(bits, step, width - step), *zeros) if operator == "u>>" else (*zeros, *cut(bits, 0, width - step))
            condition = cut(amount, number, 1)
            nodes = [Node("mux", size, (condition, cut(moved, low, size), cut(bits, low, size)))
                     for low, size in self.chunks(width)]
            bits = tuple((node, 0, node.width) for node in nodes)
        self.pieces[index] = [(low, size, piece) for (low, size), piece in zip(self.chunks(width), bits, strict=True)]

    def sum(self, index, operator, values):
        """A sum or difference in words of LIMIT, with a carry or borrow from each to the next."""
        pieces, carry = [], None
        for low, size in self.chunks(len(values[0])):
            left, right = (self.bits(value[low:low + size]) for value in values)
            node = Node(operator, size, (left, right))
            over = Node("<", 1, (((node, 0, size),), left) if operator == "+" else (left, right))
            if carry is not None:
                before, extended = node, (*carry, (None, 0, size - 1)) if size > 1 else carry
                node = Node(operator, size, (((before, 0, size),), extended))
                again = ((node, 0, size),), ((before, 0, size),)
                again = Node("<", 1, again if operator == "+" else (again[1], extended))
                over = Node("|", 1, (((over, 0, 1),), ((again, 0, 1),)))
            carry = ((over, 0, 1),)
            pieces.append((low, size, (node, 0, size)))
        self.pieces[index] = pieces

    def reduce(self, index, bits):
        parts = [Node("b", 1, (group,)) for group in limbs(bits)]
        node = reduce(lambda a, b: Node("|", 1, (((a, 0, 1),), ((b, 0, 1),))), parts)
        self.single(index, node)

    def reduce_and(self, index, value):
        ones = [Node("==", 1, (group, ((None, (1 << width_of(group)) - 1, width_of(group)),)))
                for group in limbs(self.bits(value))]
        self.single(index, reduce(lambda a, b: Node("&", 1, (((a, 0, 1),), ((b, 0, 1),))), ones))

    def compare(self, index, operator, left, right):
        parts = []
        for low in range(0, len(left), LIMIT):
            parts.append(Node(operator, 1, (self.bits(left[low:low + LIMIT]), self.bits(right[low:low + LIMIT]))))
        join = "&" if operator == "==" else "|"
        self.single(index, reduce(lambda a, b: Node(join, 1, (((a, 0, 1),), ((b, 0, 1),))), parts))

    def make_part(self, index, cell):
        if cell.value_signed:
            raise UnknownCellError("a part of a signed value cannot be compiled")
        offset = self.bits(cell.offset)
        zero = _nir.Net.from_const(0)
        elements = []
        for number in range(1 << len(cell.offset)):
            nets = cell.value[number * cell.stride:number * cell.stride + cell.width]
            if not nets and number * cell.stride >= len(cell.value):
                break
            elements.append(self.bits(_nir.Value([*nets, *[zero] * (cell.width - len(nets))])))
        pieces = self.pieces[index] = []
        for low, size in self.chunks(cell.width):
            position = low
            for node, start, width in self.chosen([cut(element, low, size) for element in elements], offset, size):
                pieces.append((position, width, (node, start, width)))
                position += width

    def chosen(self, elements, offset, width):
        """One of the elements, by its number.

        If all exist anyway (and are not computed for the choice) it is one node, if the caller supports it; otherwise a tree of
        multiplexers over the bits of the offset, lowest first, because neighbours differ in it.
        """
        if self.indexed and all(node is None or not node.inputs for bits in elements for node, _, _ in bits):
            return ((Node("choose", width, (offset, *elements)), 0, width),)
        nothing = ((None, 0, width),)
        level = elements
        for bit in range(width_of(offset)):
            condition = cut(offset, bit, 1)
            merged = []
            for position in range(0, len(level), 2):
                low = level[position]
                high = level[position + 1] if position + 1 < len(level) else nothing
                if low == high:
                    merged.append(low)
                    continue
                node = Node("mux", width, (condition, high, low))
                merged.append(((node, 0, width),))
            level = merged or [nothing]
        (result,) = level
        return result

    def make_matches(self, index, cell):
        if len(cell.value) > LIMIT:
            raise UnknownCellError(f"a switch on {len(cell.value)} bits cannot be compiled")
        patterns = tuple((int(pattern.replace("0", "1").replace("-", "0") or "0", 2), int(pattern.replace("-", "0") or "0", 2))
                         for pattern in cell.patterns)
        self.add(index, "matches", 1, self.bits(cell.value), patterns=patterns)

    def make_prioritymatch(self, index, cell):
        enable = self.bits((cell.en,))
        pieces = self.pieces[index] = []
        before = []
        for number, net in enumerate(cell.inputs):
            this = self.bits((net,))
            rivals = tuple(other for other, rival in before if not self.exclusive(net, rival))
            if not rivals and enable == ((None, 1, 1),):
                piece = this[0]
            else:
                node = Node("first", 1, (enable, this, *rivals))
                piece = (node, 0, 1)
            pieces.append((number, 1, piece))
            before.append((this, net))

    def exclusive(self, net, other):
        """Whether two conditions of a switch can never hold together: comparisons of one value with different constants."""
        if net.is_const or other.is_const:
            return False
        left, right = self.cells[net.cell], self.cells[other.cell]
        if not (isinstance(left, _nir.Matches) and isinstance(right, _nir.Matches)) or left.value != right.value:
            return False
        return all(any(x != y and "-" not in (x, y) for x, y in zip(a, b, strict=True))
                   for a in left.patterns for b in right.patterns)

    def make_assignmentlist(self, index, cell):
        pieces = []
        for low, width in self.chunks(len(cell.default), sorted(self.edges(index))):
            default = self.bits(cell.default[low:low + width])
            inputs = [default]
            for item in cell.assignments:
                start = low - item.start
                if 0 <= start and start + width <= len(item.value):
                    inputs += [self.bits((item.cond,)), self.bits(item.value[start:start + width])]
            if len(inputs) == 1:
                position = low
                for node, offset, size in default:
                    pieces.append((position, size, (node, offset, size)))
                    position += size
            else:
                node = Node("select", width, tuple(inputs))
                pieces.append((low, width, (node, 0, width)))
        self.pieces[index] = pieces

    # --- all together -------------------------------------------------------------------------------------------------

    def graph(self):
        state = (_nir.Top, _nir.FlipFlop, _nir.SyncReadPort, _nir.Instance)
        for index, cell in enumerate(self.cells):
            if isinstance(cell, state):
                self.make(index, cell)
        outputs = {name: self.bits(value) for name, value in self.netlist.top.ports_o.items()}
        for register, data in self.registers:
            register.next = self.bits(data)
        for box, cell in self.boxes:
            box.inputs = {name: self.bits(value) for name, value in cell.ports_i.items()}
        writes = {}                   # cell of a write port -> its number in its memory
        for index, cell in enumerate(self.cells):
            if isinstance(cell, _nir.SyncWritePort):
                memory = self.memory(cell.memory)
                writes[index] = len(memory.writes)
                memory.writes.append(WritePort(self.bits(cell.addr), self.bits(cell.data), self.bits(cell.en)))
            elif type(cell) not in _KNOWN:
                raise UnknownCellError(f"the netlist has a {type(cell).__name__}, which cannot be compiled")
        for memory in self.memories.values():
            memory.reads = [
                ReadPort(node, self.bits(cell.addr), self.bits((cell.en,)),
                         tuple(writes[port] for port in cell.transparent_for))
                for node, cell in memory.reads
            ]
        return Graph(
            inputs=self.inputs,
            outputs=outputs,
            registers=[register for register, _ in self.registers],
            memories=list(self.memories.values()),
            boxes=[box for box, _ in self.boxes],
        )


_KNOWN = {
    _nir.Top, _nir.Operator, _nir.Part, _nir.Matches, _nir.PriorityMatch, _nir.AssignmentList, _nir.FlipFlop, _nir.Memory,
    _nir.SyncWritePort, _nir.SyncReadPort, _nir.Instance,
}
