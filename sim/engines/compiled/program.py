"""The C program of a machine: one function for the Tile, called for every core, and one for everything else.

A clock of the machine is: what the Tiles say from their state alone; the shared part up to the Tiles' inputs; every Tile; the
rest of the shared part; the new state. That this is possible is a rule of the design (what Shared uses in a clock is a function
of state), and is checked here: a shared part that needs more is refused.
"""

import re

from amaranth.hdl import Instance, Module
from amaranth.lib import wiring

from .netlist import LIMIT, UnknownCellError, build_graph, cut, early_outputs, flat_ports, limbs, width_of
from .scalar import Emitter, Unit

__all__ = ["TileBox", "program"]


class TileBox(wiring.Component):
    """A black box with the ports of a Tile, or of another unit that is repeated: ``kind`` names it."""

    def __init__(self, signature, kind="tile"):
        self._kind = kind
        super().__init__(signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.box = Instance(self._kind, **{
            f"{'i' if is_input else 'o'}_{name}": value for name, (value, is_input) in flat_ports(self).items()
        })
        return m


_PREFACE = """\
#include <stddef.h>
#include <stdint.h>
#include <string.h>

"""

_DRIVER = """\
size_t machine_size(void) { return sizeof(Machine); }

void machine_reset(Machine *m) {
    memset(m, 0, sizeof *m);
%(reset)s
}

void machine_fill(Machine *m, int which, const uint64_t *words, int64_t count) {
    for (int64_t row = 0; row < count; row++) switch (which) {
%(fill)s
    }
}

void machine_read(const Machine *m, int which, uint64_t *words, int64_t count) {
    for (int64_t row = 0; row < count; row++) switch (which) {
%(read)s
    }
}

/* Runs until `clocks` have passed, the machine is quiet or trapped, or a buffer is full; returns how many clocks it ran. */
int64_t machine_run(Machine *m, Control *c, int64_t clocks) {
    int64_t ran = 0;
    while (ran < clocks) {
        if (c->traced && (c->used + %(room)d > c->room || (c->probes && c->probe_used + %(limbs)d > c->probe_room))) break;
        step(m, c);
        ran++;
        if (c->quiet | c->trapped) break;
    }
    return ran;
}
"""


def _offsets(width):
    """Where the 64-bit limbs of a port begin."""
    return range(0, width, LIMIT)


def _store(emitter, target, bits):
    """Statements that store bits of any width as limbs; ``target`` gives the place of each by its offset."""
    return [f"{target(number * LIMIT)} = {emitter.value(limb)};" for number, limb in enumerate(limbs(bits))]


class _Kind:
    """One sort of black box: the unit behind it, and where its ports are while a clock is computed.

    Parameters
    ----------
    name : of the box.  component : behind it.  tied : input port of it -> constant.
    boxes : numbers of the boxes of this kind, in their order.
    """

    def __init__(self, name, component, tied, boxes):
        self.name = name
        self.ports = flat_ports(component)
        self.unit = Unit(name.capitalize(), build_graph(component, tied=tied, indexed=True))
        self.early = early_outputs(self.unit.graph)
        self.boxes = boxes
        self.count = len(boxes)

    def struct(self):
        """The declarations of the state and of the ports."""
        widths = {port: len(value) for port, (value, _) in self.ports.items()}
        inputs = {port for port, (_, is_input) in self.ports.items() if is_input}
        return "\n".join([
            self.unit.struct(),
            _port_struct(f"{self.unit.name}In", {port: width for port, width in widths.items() if port in inputs}),
            _port_struct(f"{self.unit.name}Out", {port: width for port, width in widths.items() if port not in inputs}),
        ])

    def each(self, call):
        """A loop over the boxes ``i``."""
        return f"for (int i = 0; i < {self.count}; i++) {call};"


def program(units, machine, sources, *, tied):
    """The text of the program and what a loader must know of it.

    machine : a Rig with TileBoxes in place of its Tiles and of whatever else is repeated.  tied : input port of it -> constant.
    units : what is behind the boxes: kind -> (component, input port of it -> constant), in the order in which they are run: the
        inputs of one may hang on outputs in the same clock of those before it. The first is the Tile.
    sources : (offset, width) of each record in the port ``trace``.
    Returns (text, inputs): the input words in the order of Control's, as (port, low, width).
    """
    top = Unit("Top", build_graph(machine, tied=tied, indexed=True))
    kinds = {name: _Kind(name, component, constants, [box.number for box in top.graph.boxes if box.kind == name])
             for name, (component, constants) in units.items()}
    tile = kinds["tile"].unit

    inputs = [(name, node.name[1], node.width) for name, nodes in top.graph.inputs.items() for node in nodes]
    slots = {(name, low): number for number, (name, low, _) in enumerate(inputs)}
    probe_limbs, schedule_limbs, flags_limbs = (
        len(_offsets(width_of(top.graph.outputs[name]))) for name in ("probe", "schedule", "flags"))
    room = 1 + schedule_limbs + sum(1 + len(_offsets(width)) for _, width in sources)

    text = [_PREFACE, top.struct(), *(kind.struct() for kind in kinds.values())]
    rom = next(memory for memory in tile.graph.memories if memory.name.endswith("microcode"))
    fields = [f"{kind.unit.name} {kind.name}[{kind.count}];" for kind in kinds.values()]
    text.append(f"typedef struct {{\n    Top top;\n{_indent(fields)}\n    uint64_t microcode[{rom.depth}];\n}} Machine;\n")
    text.append(
        "typedef struct {\n"
        f"    uint64_t input[{max(1, len(inputs))}];\n"
        "    uint64_t clock;\n"
        "    uint64_t quiet, trapped;\n"
        "    int64_t traced;\n"
        "    uint64_t *records; int64_t used, room;\n"
        f"    int64_t recorded; uint64_t schedule[{schedule_limbs}], flags[{flags_limbs}];\n"
        "    uint64_t *probes; int64_t probe_used, probe_room;\n"
        "} Control;\n")
    asked_for = _asked_for(top)
    text += [_unit_functions(kind, asked_for) for kind in kinds.values()]
    text.append(_step_function(top, kinds, slots, sources))
    memories = _memories(top)
    reset = top.initial("(&m->top)")
    for kind in kinds.values():
        reset += [f"for (int i = 0; i < {kind.count}; i++) {{", f"    {kind.unit.name} *t = &m->{kind.name}[i];",
                  *("    " + line for line in kind.unit.initial("t")),
                  *([f"    t->{tile.memories[rom.name]} = m->microcode;"] if kind.unit is tile else []), "}"]
    text.append(_DRIVER % {
        "reset": _indent(reset),
        "fill": _indent([f"case {number}: {place} = words[row]; break;" for number, place in enumerate(memories)], 2),
        "read": _indent([f"case {number}: words[row] = {place}; break;" for number, place in enumerate(memories)], 2),
        "room": room,
        "limbs": probe_limbs,
    })
    return "\n".join(text), inputs


def _indent(lines, depth=1):
    return "\n".join("    " * depth + line for line in lines)


def _port_struct(name, widths):
    fields = [f"uint64_t {port}_{low};" for port, width in widths.items() for low in _offsets(width)]
    return f"typedef struct {{\n{_indent(fields)}\n}} {name};\n"


def _memories(top):
    """The place in C, with ``row``, of each memory whose contents a run loads or reads: the microcode, then the banks."""
    banks = {}
    for memory in top.graph.memories:
        banks[int(re.search(r"bank(\d+)", memory.name)[1])] = f"((Machine *)m)->top.{top.memories[memory.name]}[row]"
    return ["((Machine *)m)->microcode[row]", *(banks[number] for number in sorted(banks))]


def _asked_for(top):
    """(kind, port) of the boxes' outputs that the machine itself needs: the others are only looked at."""
    outputs = top.graph.outputs
    stack = [node for bits in (*top.needs(), *(bits for box in top.graph.boxes for bits in box.inputs.values()),
                               outputs["quiet"], outputs["trapped"])
             for node, _, _ in bits if node is not None]
    seen, ports = set(stack), set()
    while stack:
        node = stack.pop()
        if node.kind == "box":
            ports.add((top.graph.boxes[node.name[0]].kind, node.name[1]))
        for bits in node.inputs:
            for item, _, _ in bits:
                if item is not None and item not in seen:
                    seen.add(item)
                    stack.append(item)
    return ports


def _unit_functions(kind, asked_for):
    """``<kind>_early``: the outputs that are functions of state. ``<kind>_fast``, ``<kind>_traced``: the others, and the clock."""
    unit, name = kind.unit, kind.name

    def leaf(node):
        return f"in->{node.name[0]}_{node.name[1]}" if node.kind == "input" else unit.state(node, "t")

    def row(nodes):
        return unit.row(nodes, "t")

    first = Emitter(leaf, row)
    for port in kind.early:
        first.need(unit.graph.outputs[port])
    stores = []
    for port in sorted(kind.early):
        stores += _store(first, lambda low, port=port: f"out->{port}_{low}", unit.graph.outputs[port])
    lines = [f"static inline void {name}_early(const {unit.name} *t, {unit.name}Out *out) {{", _indent([*first.flush(), *stores]),
             "}", ""]

    body = Emitter(leaf, row)
    late = {port: bits for port, bits in unit.graph.outputs.items() if port not in kind.early}
    for bits in late.values():
        body.need(bits)
    unit.announce(body)
    observed, plain = [], []
    for port, bits in late.items():
        group = plain if (name, port) in asked_for else observed
        group += _store(body, lambda low, port=port: f"out->{port}_{low}", bits)
    stores = unit.clock(body, "t")
    parameters = f"({unit.name} *t, const {unit.name}In *in, {unit.name}Out *out"
    lines += [
        f"static inline __attribute__((always_inline)) void {name}_body{parameters}, int traced) {{",
        _indent(body.flush()), _indent(plain), "    if (traced) {", _indent(observed, 2), "    }", _indent(stores), "}", "",
        *(f"static __attribute__((noinline)) void {name}_{form}{parameters}) {{ {name}_body(t, in, out, {traced}); }}"
          for form, traced in (("fast", 0), ("traced", 1))),
        "",
    ]
    return "\n".join(lines)


def _step_function(top, kinds, slots, sources):
    """``step``: one clock of the machine."""
    ran = set()                       # kinds whose outputs are all there
    places = {number: (kind, index) for kind in kinds.values() for index, number in enumerate(kind.boxes)}

    def leaf(node):
        if node.kind == "input":
            return f"c->input[{slots[node.name]}]"
        if node.kind == "box":
            number, port, low = node.name
            kind, index = places[number]
            if port not in kind.early and kind not in ran:
                raise UnknownCellError(f"the shared part needs {port} of a {kind.name} in the same clock to give it its inputs")
            return f"{kind.name}_out[{index}].{port}_{low}"
        return top.state(node, "(&m->top)")

    def row(nodes):
        if nodes[0].kind != "box":
            return top.row(nodes, "(&m->top)")
        number, port, low = nodes[0].name
        kind, _ = places[number]
        if port in kind.early and [node.name for node in nodes] == [(number, port, low) for number in kind.boxes[:len(nodes)]]:
            return f"{kind.name}_out[%s].{port}_{low}"
        return None

    trace, outputs = top.graph.outputs["trace"], top.graph.outputs
    emitter = Emitter(leaf, row)
    for bits in (*(bits for box in top.graph.boxes for bits in box.inputs.values()),
                 *(outputs[name] for name in ("quiet", "trapped", "trace", "probe", "schedule", "flags"))):
        emitter.need(bits)
    top.announce(emitter)
    body = []
    for kind in kinds.values():
        body += [f"{kind.unit.name}Out {kind.name}_out[{kind.count}];", f"{kind.unit.name}In {kind.name}_in[{kind.count}];",
                 kind.each(f"{kind.name}_early(&m->{kind.name}[i], &{kind.name}_out[i])")]
    for kind in kinds.values():
        given = []
        for index, number in enumerate(kind.boxes):
            for port, bits in top.graph.boxes[number].inputs.items():
                given += _store(emitter, lambda low, at=f"{kind.name}_in[{index}].{port}": f"{at}_{low}", bits)
        body += [*emitter.flush(), *given]
        call = f"(&m->{kind.name}[i], &{kind.name}_in[i], &{kind.name}_out[i])"
        body.append(kind.each(f"(c->traced ? {kind.name}_traced : {kind.name}_fast){call}"))
        ran.add(kind)

    stores = top.clock(emitter, "(&m->top)")
    stores += [f"c->{name} = {emitter.value(outputs[name])};" for name in ("quiet", "trapped")]
    body += emitter.flush()
    observed = []
    for index, (offset, width) in enumerate(sources):
        valid = emitter.value(cut(trace, offset, 1))
        words = _store(emitter, lambda low: f"r[{low // LIMIT + 1}]", cut(trace, offset, width))
        observed += [*emitter.flush(), f"if ({valid}) {{",
                     f"    uint64_t *r = c->records + c->used; r[0] = c->clock << 16 | {index};",
                     *("    " + line for line in words), f"    c->used += {1 + len(words)};", "}"]
    in_force = _store(emitter, lambda low: f"s[{low // LIMIT}]", outputs["schedule"])
    flags = _store(emitter, lambda low: f"c->flags[{low // LIMIT}]", outputs["flags"])
    observed += [*emitter.flush(), *flags, "if (c->recorded) {", f"    uint64_t s[{len(in_force)}];",
                 *("    " + line for line in in_force),
                 "    if (memcmp(s, c->schedule, sizeof s)) {",
                 f"        uint64_t *r = c->records + c->used; r[0] = c->clock << 16 | {len(sources)};",
                 "        memcpy(c->schedule, s, sizeof s); memcpy(r + 1, s, sizeof s);",
                 f"        c->used += {1 + len(in_force)};", "    }", "}"]
    probe = _store(emitter, lambda low: f"p[{low // LIMIT}]", outputs["probe"])
    observed += ["if (c->probes) {", "    uint64_t *p = c->probes + c->probe_used;", *("    " + line for line in emitter.flush()),
                 *("    " + line for line in probe), f"    c->probe_used += {len(probe)};", "}"]
    return "\n".join([
        "static void step(Machine *m, Control *c) {", _indent(body), "    if (c->traced) {", _indent(observed, 2), "    }",
        _indent(stores), "    c->clock++;", "}", "",
    ])
