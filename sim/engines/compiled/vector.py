"""Graphs -> C, many runs at once: every value a vector with one 16-bit element per run ("lane").

A value is cut into *segments* of at most 16 bits, each a vector; its elements have no bits above the segment's width. A segment of
one bit is a mask instead: 0 or 0xffff. Only writes to memories branch on data, so the speed hardly depends on what the runs do or
on whether they do the same.
"""

from .netlist import UnknownCellError, cut, reachable, width_of

__all__ = ["BITS", "Emitter", "Unit", "indent", "lookup_function", "operand", "padded", "plain", "port_segments", "preface"]

_PREFACE = """\
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES %d
#define WIDE (defined(__AVX512BW__) && LANES == 32)
#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef uint16_t V __attribute__((vector_size(2 * LANES)));
typedef uint16_t Row[LANES];
#define K(x) ((V){} + (uint16_t)(x))
#define CHOOSE(mask, yes, no) (((mask) & (yes)) | (~(mask) & (no)))

/* One bit per lane whose element is not 0. */
static inline uint64_t set(V v) {
#if WIDE
    return _mm512_test_epi16_mask((__m512i)v, (__m512i)v);
#else
    uint64_t result = 0;
    for (int lane = 0; lane < LANES; lane++) result |= (uint64_t)(v[lane] != 0) << lane;
    return result;
#endif
}

/* The inverse: a mask for each lane from its bit. */
static inline V spread(uint64_t bits) {
#if WIDE
    return (V)_mm512_movm_epi16(bits);
#else
    V v;
    for (int lane = 0; lane < LANES; lane++) v[lane] = -(bits >> lane & 1);
    return v;
#endif
}

static inline int any(V v) {
    typedef uint64_t W __attribute__((vector_size(2 * LANES)));
#if WIDE
    return set(v) != 0;
#else
    W w = (W)v;
    uint64_t all = 0;
    for (int i = 0; i < LANES / 4; i++) all |= w[i];
    return all != 0;
#endif
}

static inline V gather(const Row *rows, V row) {
#if WIDE
    /* Words of 32 bits are read, of which the low half counts; behind every memory something follows. */
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i low = _mm512_add_epi32(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256((__m512i)row)), 5), lane);
    __m512i high = _mm512_add_epi32(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64((__m512i)row, 1)), 5), lane);
    __m256i a = _mm512_cvtepi32_epi16(_mm512_i32gather_epi32(low, rows, 2));
    __m256i b = _mm512_cvtepi32_epi16(_mm512_i32gather_epi32(high, (const uint16_t *)rows + 16, 2));
    return (V)_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
#else
    V q;
    for (int lane = 0; lane < LANES; lane++) q[lane] = rows[row[lane]][lane];
    return q;
#endif
}

static inline void scatter(Row *rows, V row, V enable, V data) {
    for (uint64_t left = set(enable); left; left &= left - 1) {
        int lane = __builtin_ctzll(left);
        uint16_t *place = &rows[row[lane]][lane];
        *place = (*place & ~enable[lane]) | (data[lane] & enable[lane]);
    }
}

"""


def preface(lanes):
    """The C text before everything else."""
    return _PREFACE % lanes


#: Bits of an element, and so of a segment.
BITS = 16
_FULL = (1 << BITS) - 1


def _ones(width):
    return (1 << width) - 1


# --- how values are cut ---------------------------------------------------------------------------------------------------

#: These are computed bit by bit, so they may be cut anywhere.
_BITWISE = {"register", "select", "mux", "~", "&", "|", "^"}
#: The operands of these that are cut like the node itself: all but the conditions.
_PARTS = {"mux": lambda inputs: inputs[1:], "select": lambda inputs: (inputs[0], *inputs[2::2])}


def plain(width):
    return tuple((low, min(BITS, width - low)) for low in range(0, width, BITS))


def _at_edges(width, edges):
    """Segments that begin and end at edges, or plain ones if there would be too many."""
    bounds = sorted({0, width, *(edge for edge in edges if 0 < edge < width)})
    result = []
    for low, high in zip(bounds, bounds[1:], strict=False):
        result += [(low + start, size) for start, size in plain(high - low)]
    simple = plain(width)
    return tuple(result) if len(result) <= 2 * len(simple) + 1 else simple


def _segments(graph, ports):
    """Node -> its segments, for all nodes wider than one.

    A record that is stored and passed on as a whole is cut at its fields: whatever joins or splits its words (of two or more bits)
    makes an edge, and an edge propagates through whatever is computed bit by bit.
    ports : (kind of node, port name) -> the edges at which that port is cut.
    """
    edges = {node: set() for node in reachable(graph) if node.width > BITS and node.kind in _BITWISE}
    fixed = {}

    def known(node):
        if node in edges:
            return edges[node]
        if node not in fixed:
            fixed[node] = {low for low, _ in port_segments(node, ports)}
        return fixed[node]

    def use(bits):
        for node, low, width in bits:
            if node in edges and width > 1:
                edges[node].update((low, low + width))

    def join(node, bits):
        mine, position = edges[node], 0
        for source, low, width in bits:
            if width > 1:
                mine.update((position, position + width))
            if source is not None and source.width > BITS:
                mine.update(position + edge - low for edge in known(source) if low < edge < low + width)
                if source in edges:
                    edges[source].update(low + edge - position for edge in mine if position < edge < position + width)
                    if width > 1:
                        edges[source].update((low, low + width))
            position += width

    for node in reachable(graph):
        if node not in edges:
            for bits in node.inputs:
                use(bits)
    total = -1
    while total != sum(map(len, edges.values())):
        total = sum(map(len, edges.values()))
        for register in graph.registers:
            if register.node in edges:
                join(register.node, register.next)
        for node in edges:
            for bits in _PARTS.get(node.kind, lambda inputs: inputs)(node.inputs):
                join(node, bits)
    return {node: _at_edges(node.width, found) for node, found in edges.items()}


def port_segments(node, ports):
    """The segments of a node of any width that is not in the result of ``_segments``."""
    if node.kind in ("input", "box") and node.width > BITS:
        *_, port, low = node.name
        return _at_edges(node.width, {edge - low for edge in ports.get((node.kind, port), ())})
    return plain(node.width)


# --- values ---------------------------------------------------------------------------------------------------------------

# A vector is the name of a variable in C, or a number: the same in all lanes.


class Emitter:
    """Writes what some bits need, each thing once, operands first.

    Parameters
    ----------
    leaf : (node, number of its segment) -> expression in C, for inputs, registers, read ports and outputs of boxes.
    segments : as from ``_segments``.  ports : as for it.
    lines : where to write.  prefix : of the names.
    """

    def __init__(self, leaf, segments, ports, lines=None, prefix="v"):
        self._leaf = leaf
        self._segments = segments
        self._ports = ports
        self._names = {}              # text -> name
        self._inverse = {}
        self._vectors = {}            # node -> a vector for each segment
        self.lines = [] if lines is None else lines
        self._prefix = prefix

    def segments(self, node):
        return self._segments.get(node) or port_segments(node, self._ports)

    # Each of these folds constants.

    def let(self, text):
        if text not in self._names:
            self._names[text] = name = f"{self._prefix}{len(self._names)}"
            self.lines.append(f"const V {name} = {text};")
        return self._names[text]

    def land(self, a, b):
        if isinstance(a, int):
            a, b = b, a
        if isinstance(a, int):
            return a & b
        if b == 0:
            return 0
        if b in (_FULL, a):
            return a
        return self.let("{} & {}".format(*sorted((a, operand(b)))))

    def lor(self, a, b):
        if isinstance(a, int):
            a, b = b, a
        if isinstance(a, int):
            return a | b
        if b == _FULL:
            return _FULL
        if b in (0, a):
            return a
        return self.let("{} | {}".format(*sorted((a, operand(b)))))

    def lxor(self, a, b):
        if isinstance(a, int):
            a, b = b, a
        if isinstance(a, int):
            return a ^ b
        if b == 0:
            return a
        if b == _FULL:
            return self.lnot(a)
        return self.let("{} ^ {}".format(*sorted((a, operand(b)))))

    def lnot(self, a):
        if isinstance(a, int):
            return a ^ _FULL
        if a not in self._inverse:
            name = self.let(f"~{a}")
            self._inverse[a], self._inverse[name] = name, a
        return self._inverse[a]

    def choose(self, mask, yes, no):
        if isinstance(mask, int):
            return yes if mask else no
        if yes == no:
            return yes
        if yes == 0:
            return self.land(self.lnot(mask), no)
        if no == 0:
            return self.land(mask, yes)
        if yes == _FULL:
            return self.lor(mask, no)
        if no == _FULL:
            return self.lor(self.lnot(mask), yes)
        if mask in self._inverse and f"~{mask}" not in self._names:
            mask, yes, no = self._inverse[mask], no, yes
        return self.let(f"CHOOSE({mask}, {operand(yes)}, {operand(no)})")

    def test(self, relation, a, b):
        """The mask of a comparison of two numbers."""
        if isinstance(a, int) and isinstance(b, int):
            return _FULL if {"==": a == b, "!=": a != b, "<": a < b}[relation] else 0
        if relation == "!=" and b != 0:
            return self.lnot(self.test("==", a, b))
        return self.let(f"(V)({operand(a)} {relation} {operand(b)})")

    def shift(self, vector, by):
        """Left by a constant, or right if it is negative."""
        if isinstance(vector, int):
            return vector << by & _FULL if by >= 0 else vector >> -by
        return vector if by == 0 else self.let(f"{vector} << {by}" if by > 0 else f"{vector} >> {-by}")

    # --- bits -> vectors

    def _pieces(self, bits):
        """(vector, width of its segment, offset in it, width, position in bits) of the pieces of bits; a constant piece is a number
        from offset 0 of a segment of its width."""
        position = 0
        for node, low, width in bits:
            if node is None:
                for start, size in plain(width):
                    value = low >> start & _ones(size)
                    yield (_FULL if value else 0) if size == 1 else value, size, 0, size, position + start
            else:
                for (start, size), vector in zip(self.segments(node), self.node(node), strict=True):
                    first, last = max(low, start), min(low + width, start + size)
                    if first < last:
                        yield vector, size, first - start, last - first, position + first - low
            position += width

    def _field(self, vector, size, offset, width, position):
        """Part of a segment, moved to a position, the rest 0."""
        moved = self.shift(vector, position - offset)
        if offset and position or offset + width < size and position + width < BITS or isinstance(vector, int):
            moved = self.land(moved, _ones(width) << position)
        return moved

    def number(self, bits):
        """At most 16 bits as a number, also if it is a single bit."""
        constant, masks, result = 0, {}, 0
        for vector, size, offset, width, position in self._pieces(bits):
            if isinstance(vector, int):
                constant |= (vector >> offset & _ones(width)) << position
            elif size == 1:
                masks[vector] = masks.get(vector, 0) | 1 << position
            else:
                result = self.lor(result, self._field(vector, size, offset, width, position))
        for mask, places in masks.items():
            result = self.lor(result, self.land(mask, places))
        return self.lor(result, constant)

    def mask(self, bits):
        """One bit as a mask."""
        ((vector, size, offset, _, _),) = self._pieces(bits)
        if size == 1:
            return vector
        return self.test("!=", self.land(vector, 1 << offset), 0)

    def segment(self, bits):
        """At most 16 bits as a segment."""
        return self.mask(bits) if width_of(bits) == 1 else self.number(bits)

    def numbers(self, bits):
        return [self.number(cut(bits, low, BITS)) for low in range(0, width_of(bits), BITS)]

    # --- nodes

    def node(self, node):
        """The vectors of a node; writes its operands first, without recursion: netlists are deep."""
        stack = [node]
        while stack:
            top = stack[-1]
            if top in self._vectors:
                stack.pop()
                continue
            missing = [item for bits in top.inputs for item, _, _ in bits if item is not None and item not in self._vectors]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            self._vectors[top] = self._write(top)
        return self._vectors[node]

    def wrote(self, node):
        return node in self._vectors

    def _write(self, node):
        kind, inputs, segments = node.kind, node.inputs, self.segments(node)
        if not inputs:
            return [self.let(self._leaf(node, number)) for number in range(len(segments))]
        match kind:
            case "~":
                return [self.lxor(self.segment(cut(inputs[0], low, width)), _FULL if width == 1 else _ones(width))
                        for low, width in segments]
            case "&" | "|" | "^":
                join = {"&": self.land, "|": self.lor, "^": self.lxor}[kind]
                return [join(*(self.segment(cut(bits, low, width)) for bits in inputs)) for low, width in segments]
            case "mux":
                condition = self.mask(inputs[0])
                return [self.choose(condition, *(self.segment(cut(bits, low, width)) for bits in inputs[1:]))
                        for low, width in segments]
            case "select":
                conditions = [self.mask(bits) for bits in inputs[1::2]]
                result = []
                for low, width in segments:
                    value = self.segment(cut(inputs[0], low, width))
                    for condition, bits in zip(conditions, inputs[2::2], strict=True):
                        value = self.choose(condition, self.segment(cut(bits, low, width)), value)
                    result.append(value)
                return result
            case "matches":
                result = 0
                for mask, value in node.patterns:
                    result = self.lor(result, self._match(inputs[0], mask, value))
                return [result]
            case "first":
                enable, this, *rivals = map(self.mask, inputs)
                earlier = 0
                for rival in rivals:
                    earlier = self.lor(earlier, rival)
                return [self.land(self.land(enable, this), self.lnot(earlier))]
            case "b":
                return [self._any(inputs[0])]
            case "==" | "!=":
                equal = self._equal(*inputs)
                return [equal if kind == "==" else self.lnot(equal)]
            case "<" | ">" | "<=" | ">=":
                left, right = inputs if kind in ("<", ">=") else inputs[::-1]
                less = self.less(left, right)
                return [less if kind in ("<", ">") else self.lnot(less)]
        return self._canonical(self._arithmetic(node), node.width)

    def _canonical(self, numbers, width):
        result = []
        for vector, (_, size) in zip(numbers, plain(width), strict=False):
            vector = self.land(vector, _ones(size))
            result.append(self.test("!=", vector, 0) if size == 1 else vector)
        return result

    def _match(self, bits, mask, value):
        """Whether the bits in ``mask`` equal those of ``value``."""
        result = _FULL
        for vector, size, offset, width, position in self._pieces(bits):
            wanted, there = mask >> position & _ones(width), value >> position & _ones(width)
            if not wanted:
                continue
            if size == 1:
                equal = vector if there else self.lnot(vector)
            else:
                field = self._field(vector, size, offset, width, 0)
                equal = self.test("==", self.land(field, wanted), there)
            result = self.land(result, equal)
        return result

    def _any(self, bits):
        masks, together = 0, 0
        for vector, size, offset, width, _ in self._pieces(bits):
            if size == 1:
                masks = self.lor(masks, vector)
            elif width == size:
                together = self.lor(together, vector)
            else:
                together = self.lor(together, self.land(vector, _ones(width) << offset))
        return self.lor(masks, self.test("!=", together, 0))

    def _equal(self, left, right):
        for bits, constant in ((left, right), (right, left)):
            if all(node is None for node, _, _ in constant):
                value = sum(low << position for low, position in zip(
                    (low for _, low, _ in constant), _positions(constant), strict=True))
                return self._match(bits, _ones(width_of(bits)), value)
        result = _FULL
        for low in range(0, width_of(left), BITS):
            a, b = cut(left, low, BITS), cut(right, low, BITS)
            if width_of(a) == 1:
                result = self.land(result, self.lnot(self.lxor(self.mask(a), self.mask(b))))
            else:
                result = self.land(result, self.test("==", self.number(a), self.number(b)))
        return result

    def less(self, left, right):
        result, width = 0, max(width_of(left), width_of(right))
        for a, b in zip(self._extended(left, width), self._extended(right, width), strict=True):
            result = self.lor(self.test("<", a, b), self.land(self.test("==", a, b), result))
        return result

    def _arithmetic(self, node):
        """Numbers, not yet cut to the node's width."""
        kind = node.kind
        operands = [self._extended(bits, node.width) for bits in node.inputs]
        match kind:
            case "+":
                return self._add(*operands)
            case "-":
                return self._subtract(*([[0] * len(operands[0]), *operands][-2:]))
            case "*":
                return self._multiply(operands[0], node.inputs[1])
            case "<<" | ">>":
                return self._shift(operands[0], node.inputs[1], 1 if kind == "<<" else -1)
        raise UnknownCellError(f"the operator {kind} cannot be compiled for lanes")

    def _extended(self, bits, width):
        numbers = self.numbers(bits)
        return numbers + [0] * (-(-width // BITS) - len(numbers))

    def _add(self, a, b):
        result, carry = [], 0
        for x, y in zip(a, b, strict=True):
            total = self._sum("+", x, y)
            over = self.test("<", total, x)
            # The carry is a mask: 0, or -1.
            with_carry = self._sum("-", total, carry)
            carry = self.lor(over, self.land(self.test("==", with_carry, 0), carry))
            result.append(with_carry)
        return result

    def _subtract(self, a, b):
        result, borrow = [], 0
        for x, y in zip(a, b, strict=True):
            rest = self._sum("-", x, y)
            under = self.test("<", x, y)
            result.append(self._sum("+", rest, borrow))
            borrow = self.lor(under, self.land(self.test("==", rest, 0), borrow))
        return result

    def _sum(self, sign, a, b):
        if isinstance(a, int) and isinstance(b, int):
            return (a + b if sign == "+" else a - b) & _FULL
        if b == 0:
            return a
        if a == 0 and sign == "+":
            return b
        return self.let(f"{operand(a)} {sign} {operand(b)}")

    def _moved(self, numbers, by):
        """Shifted left by a constant, or right if it is negative."""
        words, rest = divmod(by, BITS)

        def at(index):
            return numbers[index] if 0 <= index < len(numbers) else 0

        return [self.lor(self.shift(at(index - words), rest), self.shift(at(index - words - 1), rest - BITS) if rest else 0)
                for index in range(len(numbers))]

    def _shift(self, numbers, amount, direction):
        if len(numbers) == 1 and width_of(amount) <= 4:
            return [self.let(f"{operand(numbers[0])} {'<<' if direction > 0 else '>>'} {operand(self.number(amount))}")]
        for bit in range(width_of(amount)):
            mask = self.mask(cut(amount, bit, 1))
            moved = self._moved(numbers, direction << bit) if 1 << bit < BITS * len(numbers) else [0] * len(numbers)
            numbers = [self.choose(mask, yes, no) for yes, no in zip(moved, numbers, strict=True)]
        return numbers

    def _multiply(self, number, factor):
        total = [0] * len(number)
        for bit in range(min(width_of(factor), BITS * len(number))):
            mask = self.mask(cut(factor, bit, 1))
            total = self._add(total, [self.land(mask, vector) for vector in self._moved(number, bit)])
        return total


def _positions(bits):
    position = 0
    for _, _, width in bits:
        yield position
        position += width


def operand(value):
    """A vector as an operand that may be used alone."""
    return f"K({value:#x})" if isinstance(value, int) else value


# --- a unit and its state -------------------------------------------------------------------------------------------------


class Unit:
    """One Graph: where its state is, and the text that computes a clock.

    The state is ``V s[...]`` in a struct, one vector for each segment of each register and read port, and its memories
    ``m0, m1, ...`` as [limb][row][lane]. A memory without writers is ``const uint16_t *`` as [limb][row]: all lanes share it.
    """

    def __init__(self, name, graph, ports):
        self.name = name
        self.graph = graph
        self.ports = ports
        self.cuts = _segments(graph, ports)
        self.inits = []
        self._places = {}             # node of state -> its first segment in s
        self.fields = {memory.name: f"m{number}" for number, memory in enumerate(graph.memories)}
        state = [(register.node, register.init) for register in graph.registers]
        state += [(read.node, 0) for memory in graph.memories for read in memory.reads]
        for node, init in state:
            self._places[node] = len(self.inits)
            for low, width in self.segments(node):
                value = init >> low & _ones(width)
                self.inits.append(_FULL * value if width == 1 else value)

    def segments(self, node):
        return self.cuts.get(node) or port_segments(node, self.ports)

    def struct(self):
        lines = [f"V s[{max(1, len(self.inits))}];"]
        for number, memory in enumerate(self.graph.memories):
            limbs = len(plain(memory.width))
            lines.append(f"const uint16_t *m{number};" if memory.constant else f"Row m{number}[{limbs}][{memory.depth}];")
        return f"typedef struct {{\n{indent(lines)}\n}} {self.name};\n"

    def emitter(self, leaf, lines=None, prefix="v"):
        return Emitter(leaf, self.cuts, self.ports, lines, prefix)

    def edges(self, bits):
        """Where bits change from one segment to another."""
        result, position = set(), 0
        for node, low, width in bits:
            for start, _ in self.segments(node) if node is not None else ():
                if low < start < low + width:
                    result.add(position + start - low)
            result.add(position)
            position += width
        return result

    def holds(self, node):
        return node in self._places

    def state(self, node, segment, pointer):
        return f"{pointer}->s[{self._places[node] + segment}]"

    def clock(self, emitter, pointer):
        """The end of the clock: computes the new state; returns the statements that store it."""
        stores = []
        for register in self.graph.registers:
            if register.next == ((register.node, 0, register.node.width),):
                continue
            for number, (low, width) in enumerate(self.segments(register.node)):
                value = emitter.segment(cut(register.next, low, width))
                # Stored at once if the old value is in a variable already: fewer values are live at the same time.
                place = emitter.lines if emitter.wrote(register.node) else stores
                place.append(f"{self.state(register.node, number, pointer)} = {operand(value)};")
        for memory in self.graph.memories:
            stores += self._memory(emitter, pointer, memory)
        return stores

    def _memory(self, emitter, pointer, memory):
        place, limbs = f"{pointer}->{self.fields[memory.name]}", range(len(plain(memory.width)))
        writes, stores = [], []
        for port in memory.writes if not memory.constant else ():
            address, row, inside = self._row(emitter, memory, port.address)
            writes.append((address, row, inside, emitter.numbers(port.enable), emitter.numbers(port.data)))
        for port in memory.reads:
            address, row, inside = self._row(emitter, memory, port.address)
            enable = emitter.mask(port.enable)
            lines = []
            for limb, (_, width) in zip(limbs, plain(memory.width), strict=True):
                lines.append("{")
                if memory.constant:
                    lines.append(f"V q = {_lookup(memory)}({place} + {limb * padded(memory.depth)}, {operand(row)});")
                else:
                    lines.append(f"V q = gather({place}[{limb}], {operand(row)});")
                if inside != _FULL:
                    lines.append(f"q &= {operand(inside)};")
                for seen in port.transparent:
                    # Also for a row that does not exist: nothing is stored, but a reader sees it.
                    there, _, _, enables, data = writes[seen]
                    hit = emitter.land(emitter.test("==", address, there), enables[limb])
                    lines.append(f"q = CHOOSE({operand(hit)}, {operand(data[limb])}, q);")
                target = self.state(port.node, limb, pointer)
                lines.append(f"{target} = CHOOSE({operand(enable)}, {'q' if width > 1 else '-q'}, {target}); }}")
            stores += [f"if (any({operand(enable)})) {{", *lines, "}"]
        for _, row, inside, enables, data in writes:
            stores += [f"scatter({place}[{limb}], {operand(row)}, {operand(emitter.land(enables[limb], inside))}, "
                       f"{operand(data[limb])});" for limb in limbs]
        return stores

    @staticmethod
    def _row(emitter, memory, address):
        """(the address; row, or 0 if there is no such row; mask of whether there is)."""
        row = emitter.number(cut(address, 0, BITS))
        if memory.depth >= 1 << width_of(address):
            return row, row, _FULL
        depth = ((None, memory.depth, max(width_of(address), memory.depth.bit_length())),)
        inside = emitter.less(address, depth)
        return row, emitter.land(row, inside), inside


def padded(depth):
    """Rows of a shared table: a power of two of at least 64."""
    return max(64, 1 << (depth - 1).bit_length())


def _lookup(memory):
    return f"lookup{padded(memory.depth)}"


def lookup_function(rows):
    """Reads a table that all lanes share. With AVX-512 it is permuted in registers, 64 rows at a time."""
    lines, level = [], []
    for first in range(0, rows, 64):
        lines.append(f"__m512i t{first} = _mm512_permutex2var_epi16(_mm512_load_si512(table + {first}), (__m512i)row,"
                     f" _mm512_load_si512(table + {first + 32}));")
        level.append(f"t{first}")
    bit = 64
    while len(level) > 1:
        lines.append(f"__mmask32 b{bit} = _mm512_test_epi16_mask((__m512i)row, _mm512_set1_epi16({bit}));")
        level = [f"_mm512_mask_blend_epi16(b{bit}, {low}, {high})" for low, high in zip(level[::2], level[1::2], strict=True)]
        bit *= 2
    return "\n".join([
        f"static inline V lookup{rows}(const uint16_t *table, V row) {{", "#if WIDE", indent([*lines, f"return (V){level[0]};"]),
        "#else", indent(["V q;", "for (int lane = 0; lane < LANES; lane++) q[lane] = table[row[lane]];", "return q;"]), "#endif",
        "}", ""])


def indent(lines, depth=1):
    return "\n".join("    " * depth + line for line in lines)
