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
    """A black box with the ports of a Tile."""

    def __init__(self, signature):
        super().__init__(signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.tile = Instance("tile", **{
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


def program(tile, machine, sources, *, tied):
    """The text of the program and what a loader must know of it.

    tile : a Tile.  machine : a Rig with TileBoxes in place of its Tiles.  tied : input port of it -> constant.
    sources : (offset, width) of each record in the port ``trace``.
    Returns (text, inputs): the input words in the order of Control's, as (port, low, width).
    """
    ports = flat_ports(tile)
    tile = Unit("Tile", build_graph(tile, tied={"load_valid": 0, "load_address": 0, "load_word": 0}, indexed=True))
    top = Unit("Top", build_graph(machine, tied=tied, indexed=True))
    early = early_outputs(tile.graph)
    n = len(top.graph.boxes)

    inputs = [(name, node.name[1], node.width) for name, nodes in top.graph.inputs.items() for node in nodes]
    slots = {(name, low): number for number, (name, low, _) in enumerate(inputs)}
    probe_limbs, schedule_limbs, flags_limbs = (
        len(_offsets(width_of(top.graph.outputs[name]))) for name in ("probe", "schedule", "flags"))
    room = 1 + schedule_limbs + sum(1 + len(_offsets(width)) for _, width in sources)

    text = [_PREFACE, tile.struct(), top.struct()]
    text.append(_port_struct("TileIn", {name: len(value) for name, (value, is_input) in ports.items() if is_input}))
    text.append(_port_struct("TileOut", {name: len(value) for name, (value, is_input) in ports.items() if not is_input}))
    rom = next(memory for memory in tile.graph.memories if memory.name.endswith("microcode"))
    text.append(f"typedef struct {{\n    Top top;\n    Tile tile[{n}];\n    uint64_t microcode[{rom.depth}];\n}} Machine;\n")
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
    text.append(_tile_functions(tile, early, _asked_for(top)))
    text.append(_step_function(top, early, slots, sources, n))
    memories = _memories(top)
    reset = [*top.initial("(&m->top)"), f"for (int i = 0; i < {n}; i++) {{", "Tile *t = &m->tile[i];", *tile.initial("t"),
             f"t->{tile.memories[rom.name]} = m->microcode;", "}"]
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
    """Ports of the Tiles that the machine itself needs: the others are only looked at."""
    outputs = top.graph.outputs
    stack = [node for bits in (*top.needs(), *(bits for box in top.graph.boxes for bits in box.inputs.values()),
                               outputs["quiet"], outputs["trapped"])
             for node, _, _ in bits if node is not None]
    seen, ports = set(stack), set()
    while stack:
        node = stack.pop()
        if node.kind == "box":
            ports.add(node.name[1])
        for bits in node.inputs:
            for item, _, _ in bits:
                if item is not None and item not in seen:
                    seen.add(item)
                    stack.append(item)
    return ports


def _tile_functions(tile, early, asked_for):
    """``tile_early`` and ``tile_fast``, ``tile_traced``."""
    def leaf(node):
        return f"in->{node.name[0]}_{node.name[1]}" if node.kind == "input" else tile.state(node, "t")

    def row(nodes):
        return tile.row(nodes, "t")

    first = Emitter(leaf, row)
    for name in early:
        first.need(tile.graph.outputs[name])
    stores = []
    for name in sorted(early):
        stores += _store(first, lambda low, name=name: f"out->{name}_{low}", tile.graph.outputs[name])
    lines = ["static inline void tile_early(const Tile *t, TileOut *out) {", _indent([*first.flush(), *stores]), "}", ""]

    body = Emitter(leaf, row)
    late = {name: bits for name, bits in tile.graph.outputs.items() if name not in early}
    for bits in (*late.values(), *tile.needs()):
        body.need(bits)
    observed, plain = [], []
    for name, bits in late.items():
        group = plain if name in asked_for else observed
        group += _store(body, lambda low, name=name: f"out->{name}_{low}", bits)
    stores = tile.clock(body, "t")
    lines += [
        "static inline __attribute__((always_inline)) void tile_body(Tile *t, const TileIn *in, TileOut *out, int traced) {",
        _indent(body.flush()), _indent(plain), "    if (traced) {", _indent(observed, 2), "    }", _indent(stores), "}", "",
        *(f"static __attribute__((noinline)) void tile_{name}(Tile *t, const TileIn *in, TileOut *out)"
          f" {{ tile_body(t, in, out, {traced}); }}" for name, traced in (("fast", 0), ("traced", 1))),
        "",
    ]
    return "\n".join(lines)


def _step_function(top, early, slots, sources, n):
    """``step``: one clock of the machine."""
    phase = {"late": False}

    def leaf(node):
        if node.kind == "input":
            return f"c->input[{slots[node.name]}]"
        if node.kind == "box":
            number, port, low = node.name
            if port not in early and not phase["late"]:
                raise UnknownCellError(f"the shared part needs {port} of the Tiles in the same clock to give them their inputs")
            return f"to[{number}].{port}_{low}"
        return top.state(node, "(&m->top)")

    def row(nodes):
        if nodes[0].kind == "box":
            _, port, low = nodes[0].name
            if port in early and [node.name for node in nodes] == [(number, port, low) for number in range(len(nodes))]:
                return f"to[%s].{port}_{low}"
        return top.row(nodes, "(&m->top)")

    trace, outputs = top.graph.outputs["trace"], top.graph.outputs
    emitter = Emitter(leaf, row)
    for bits in (*(bits for box in top.graph.boxes for bits in box.inputs.values()), *top.needs(),
                 *(outputs[name] for name in ("quiet", "trapped", "trace", "probe", "schedule", "flags"))):
        emitter.need(bits)
    body = [f"TileOut to[{n}];", f"TileIn ti[{n}];", f"for (int i = 0; i < {n}; i++) tile_early(&m->tile[i], &to[i]);"]
    given = []
    for box in top.graph.boxes:
        for name, bits in box.inputs.items():
            given += _store(emitter, lambda low, box=box, name=name: f"ti[{box.number}].{name}_{low}", bits)
    body += [*emitter.flush(), *given]
    phase["late"] = True
    body.append(f"for (int i = 0; i < {n}; i++) (c->traced ? tile_traced : tile_fast)(&m->tile[i], &ti[i], &to[i]);")

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
