"""The C program of many machines at once: a vector for every value, one function for the Tile, one for the CoreMonitor, one for
everything else.

A clock is: the shared part up to the Tiles' inputs (from its own state and the outputs that depend on the Tiles' state only), every
Tile, the same for the CoreMonitors, the rest of the shared part, the new state. A rule of the design makes this possible; it is
checked here. The program also has the queue: it starts the next job in a lane whose job has ended, without a return to Python.
"""

from dataclasses import dataclass

from .netlist import UnknownCellError, build_graph, cut, early_outputs, reachable, width_of
from .vector import BITS, Unit, indent, lookup_function, operand, padded, plain, preface

__all__ = ["LaneProgram", "Slot", "lane_program"]

_DRIVER = """\
#define ALL (LANES == 64 ? ~0ull : (1ull << LANES) - 1)

typedef struct {
    V input[%(inputs)d];
    V output[%(outputs)d];
    V end[%(ends)d];
    Top top;
%(repeated)s
%(images)s
    int64_t now, start[LANES], deadline[LANES], job[LANES], clocks[LANES], ending[LANES];
    uint64_t active, fresh, settling;       /* lanes: with a job; before its clock 0; after its last clock */
    uint64_t rows[LANES][%(kept)d + 1];
} Machine;

static inline void set_run(Machine *m, int lane, int value) { ((uint16_t *)&m->input[%(run)d])[lane] = value; }

/* Jobs to run, and where their results go (as many as there are jobs and lanes together). */
typedef struct {
    int64_t count, next, done, more, budget;
    const uint16_t *inputs;               /* [job][input] */
    const int64_t *ids, *limits;
    int64_t *results;                     /* [done] id, clocks, number of the end, or -1 */
    uint16_t *outputs;                    /* [done][output] */
    uint64_t *rows;                       /* [done] the memories of the shared part one after the other, or NULL */
} Queue;

%(step)s

Machine *machine_new(void) {
    Machine *m = aligned_alloc(64, (sizeof(Machine) + 63) / 64 * 64);
    if (m) memset(m, 0, sizeof *m);
    return m;
}

void machine_free(Machine *m) { free(m); }

void machine_step(Machine *m) { step(m); m->now++; }

/* Contents of a memory that every lane starts with. */
int64_t machine_fill(Machine *m, int which, const uint64_t *words, int64_t count) {
    int64_t row;
    for (row = 0; row < count; row++) switch (which) {
%(fill)s
    default: return row;
    }
    return row;
}

int64_t machine_read(Machine *m, int which, int lane, uint64_t *words, int64_t count) {
    int64_t row;
    for (row = 0; row < count; row++) switch (which) {
%(read)s
    default: return row;
    }
    return row;
}

static void clear(V *s, const uint16_t *inits, int count, int lane) {
    for (int i = 0; i < count; i++) ((uint16_t *)&s[i])[lane] = inits[i];
}

static void copy(Row *rows, const uint16_t *image, int count, int lane) {
    for (int row = 0; row < count; row++) rows[row][lane] = image[row];
}

/* A lane as after reset. */
void machine_reset(Machine *m, int lane) {
%(reset)s
}

void machine_set(Machine *m, int input, int lane, int value) { ((uint16_t *)&m->input[input])[lane] = value; }
int machine_get(Machine *m, int output, int lane) { return ((uint16_t *)&m->output[output])[lane]; }

static void begin(Machine *m, Queue *q, int lane) {
    machine_reset(m, lane);
    for (int i = 0; i < %(inputs)d; i++) ((uint16_t *)&m->input[i])[lane] = q->inputs[q->next * %(inputs)d + i];
    set_run(m, lane, 0);
    m->start[lane] = m->now + 1;
    m->deadline[lane] = m->start[lane] + q->limits[q->next];
    m->job[lane] = q->ids[q->next++];
    m->active |= 1ull << lane;
    m->fresh |= 1ull << lane;
}

/* The run of a lane is over: what there is to tell of it now. */
static void retire(Machine *m, Queue *q, int lane) {
    m->clocks[lane] = m->now - m->start[lane];
    m->ending[lane] = -1;
    for (int i = %(ends)d - 1; i >= 0; i--) if (((uint16_t *)&m->end[i])[lane]) m->ending[lane] = i;
    if (q->rows) {
        uint64_t *rows = m->rows[lane];
%(keep)s
    }
    m->deadline[lane] = m->now + %(settle)d;
    m->settling |= 1ull << lane;
    set_run(m, lane, 0);
}

/* It has settled: the rest, into the queue. */
static void tell(Machine *m, Queue *q, int lane) {
    int64_t *result = q->results + 3 * q->done;
    result[0] = m->job[lane];
    result[1] = m->clocks[lane];
    result[2] = m->ending[lane];
    for (int i = 0; i < %(outputs)d; i++) q->outputs[q->done * %(outputs)d + i] = ((uint16_t *)&m->output[i])[lane];
    if (q->rows) memcpy(q->rows + q->done * %(kept)d, m->rows[lane], %(kept)d * sizeof(uint64_t));
    q->done++;
    m->settling &= ~(1ull << lane);
    m->active &= ~(1ull << lane);
}

static inline uint64_t ended(Machine *m) {
    V end = {};
    for (int i = 0; i < %(ends)d; i++) end |= m->end[i];
    return set(end);
}

void machine_cancel(Machine *m) { m->active = m->fresh = m->settling = 0; }

/* Runs jobs until a lane has nothing to do (if no `more` jobs will come: all lanes), then returns 0, or until `budget` clocks have
   passed, then returns 1. Before clock 0 of a job its lane is reset and has one clock with `run` low. */
int machine_run(Machine *m, Queue *q) {
    int64_t until = m->now + q->budget;
    for (;;) {
        for (uint64_t idle = ~m->active & ALL; idle && q->next < q->count; idle &= idle - 1) begin(m, q, __builtin_ctzll(idle));
        if (!m->active || m->active != ALL && q->more) return 0;
        if (m->now >= until) return 1;
        int64_t stop = until;
        for (uint64_t left = m->active; left; left &= left - 1) {
            int64_t deadline = m->deadline[__builtin_ctzll(left)];
            if (deadline < stop) stop = deadline;
        }
        uint64_t watched = m->active & ~m->settling, over = 0;
        if (m->fresh) {
            machine_step(m);
            over = ended(m) & watched & ~m->fresh;
            for (; m->fresh; m->fresh &= m->fresh - 1) set_run(m, __builtin_ctzll(m->fresh), 0xffff);
        }
        while (!over && m->now < stop) {
            machine_step(m);
            over = ended(m) & watched;
        }
        for (uint64_t left = m->active; left; left &= left - 1) {
            int lane = __builtin_ctzll(left);
            if (watched >> lane & 1 && (over >> lane & 1 || m->deadline[lane] <= m->now)) retire(m, q, lane);
            if (m->settling >> lane & 1 && m->deadline[lane] <= m->now) tell(m, q, lane);
        }
    }
}
"""


@dataclass(frozen=True)
class Slot:
    """One vector of an input or output: ``width`` bits of the port from bit ``low``. One bit is 0 or 0xffff."""

    port: str
    low: int
    width: int


@dataclass(frozen=True)
class Contents:
    """A memory: its number for ``machine_fill`` and ``machine_read``, its initial contents, and its first word among those that a
    queue returns (None if it returns none)."""

    number: int
    depth: int
    init: tuple
    place: int | None


@dataclass(frozen=True)
class LaneProgram:
    """The text, and what a loader needs to know about it.

    inputs, outputs : Slots in the program's order.
    memories : name -> Contents.  kept : how many words of memories a queue returns for a job.
    """

    text: str
    lanes: int
    inputs: tuple
    outputs: tuple
    memories: dict
    kept: int


class _Kind:
    """All boxes of one kind: the unit behind them, and where its ports are during a clock.

    early : outputs that are functions of the unit's state.  inputs : (port, offset) -> number of the vector.
    late : the other outputs that the machine needs, as (port, offset, width).
    """

    def __init__(self, name, unit, top):
        self.name, self.unit = name, unit
        self.boxes = [box for box in top.graph.boxes if box.kind == name]
        self.early = early_outputs(unit.graph)
        self.inputs = {(slot.port, slot.low): number for number, slot in enumerate(_slots(unit, unit.graph.inputs))}
        needed = {(node.name[1], node.name[2] + low, width) for node in reachable(top.graph)
                  if node.kind == "box" and node.name[1] in unit.graph.outputs and node.name[1] not in self.early
                  for low, width in top.segments(node)}
        self.late = sorted(needed)
        self.outputs = {(port, low): number for number, (port, low, _) in enumerate(self.late)}

    def function(self):
        """The function that reads the inputs, and writes the outputs that are not functions of state and the new state."""
        unit, name = self.unit, self.unit.name

        def leaf(node, segment):
            if unit.holds(node):
                return unit.state(node, segment, "t")
            port, low = node.name
            return f"in->i[{self.inputs[port, low + unit.segments(node)[segment][0]]}]"

        emitter = unit.emitter(leaf)
        stores = [f"out->o[{number}] = {operand(emitter.segment(cut(unit.graph.outputs[port], low, width)))};"
                  for number, (port, low, width) in enumerate(self.late)]
        stores += unit.clock(emitter, "t")
        return "\n".join([
            f"typedef struct {{ V i[{max(1, len(self.inputs))}]; }} {name}In;",
            f"typedef struct {{ V o[{max(1, len(self.late))}]; }} {name}Out;",
            f"static __attribute__((noinline)) void {self.name}",
            f"({name} *restrict t, const {name}In *restrict in, {name}Out *restrict out) {{",
            indent([*emitter.lines, *stores]), "}", ""])


class _Writer:
    """Assembles the text of a program."""

    def __init__(self, top, kinds, lanes, run, ends, settle, outputs):
        self.top, self.kinds = top, kinds
        self.lanes, self.run, self.ends, self.settle, self.wanted = lanes, run, ends, settle, outputs
        self.memories = {}

    def program(self):
        top = self.top
        inputs = tuple(_slots(top, top.graph.inputs))
        outputs = tuple(Slot(name, low, width) for name in self.wanted
                        for low, width in plain(width_of(top.graph.outputs[name])))
        self.input_slots = {(slot.port, slot.low): number for number, slot in enumerate(inputs)}
        units = [top, *(kind.unit for kind in self.kinds)]
        tables = {padded(memory.depth) for unit in units for memory in unit.graph.memories if memory.constant}

        text = [preface(self.lanes), *map(lookup_function, sorted(tables)), *(unit.struct() for unit in units)]
        text += [kind.function() for kind in self.kinds]
        images, fill, read, reset, keep, kept = self._contents()
        step = self._step(outputs)
        text += [f"static const uint16_t {unit.name.lower()}_inits[] = {{ {', '.join(map(str, unit.inits or [0]))} }};\n"
                 for unit in units]
        text.append(_DRIVER % {
            "inputs": max(1, len(inputs)), "outputs": max(1, len(outputs)), "ends": max(1, len(self.ends)),
            "repeated": indent(f"{kind.unit.name} {kind.name}[{len(kind.boxes)}];" for kind in self.kinds),
            "images": indent(images), "step": step,
            "fill": indent(fill, 2), "read": indent(read, 2), "reset": indent(reset), "keep": indent(keep, 2),
            "run": self.input_slots.get((self.run, 0), 0), "kept": kept, "settle": self.settle,
        })
        return LaneProgram("\n".join(text), self.lanes, inputs, outputs, self.memories, kept)

    def _contents(self):
        """How memories are declared, loaded, read, reset and kept."""
        images, fill, read, reset, keep, kept = [], [], [], [], [], 0
        for kind in (None, *self.kinds):
            unit, pointer, pad = (kind.unit, f"m->{kind.name}[i]", "    ") if kind else (self.top, "m->top", "")
            if kind:
                reset.append(f"for (int i = 0; i < {len(kind.boxes)}; i++) {{")
            reset.append(f"{pad}clear({pointer}.s, {unit.name.lower()}_inits, {len(unit.inits)}, lane);")
            for memory in unit.graph.memories:
                number, field, limbs = len(self.memories), unit.fields[memory.name], len(plain(memory.width))
                told = kind is None and not memory.constant
                self.memories[memory.name] = Contents(number, memory.depth, memory.init, kept if told else None)
                depth = padded(memory.depth) if memory.constant else memory.depth
                images.append(f"uint16_t image{number}[{limbs}][{depth}] __attribute__((aligned(64)));")
                words = " ".join(f"m->image{number}[{limb}][row] = words[row] >> {BITS * limb};" for limb in range(limbs))
                fill.append(f"case {number}: if (row >= {memory.depth}) return row; {words} break;")
                if memory.constant:
                    reset.append(f"{pad}{pointer}.{field} = m->image{number}[0];")
                    continue
                reset += [f"{pad}copy({pointer}.{field}[{limb}], m->image{number}[{limb}], {depth}, lane);"
                          for limb in range(limbs)]
                if told:
                    word = " | ".join(f"(uint64_t){pointer}.{field}[{limb}][row][lane] << {BITS * limb}" for limb in range(limbs))
                    read.append(f"case {number}: if (row >= {memory.depth}) return row; words[row] = {word}; break;")
                    keep.append(f"machine_read(m, {number}, lane, rows + {kept}, {memory.depth});")
                    kept += memory.depth
            if kind:
                reset.append("}")
        return images, fill, read, reset, keep, kept

    def _step(self, outputs):
        top, kinds = self.top, self.kinds
        places = {box.number: (kind, index) for kind in kinds for index, box in enumerate(kind.boxes)}
        ran = set()                   # kinds whose outputs are all valid
        lines = []

        def said(number):
            """The statement that writes the early outputs of a box."""
            kind, index = places[number]
            return kind.unit.emitter(lambda node, segment: kind.unit.state(node, segment, f"(&m->{kind.name}[{index}])"),
                                     lines, f"{kind.name}{index}_")

        early = {number: said(number) for number in places}

        def leaf(node, segment):
            if top.holds(node):
                return top.state(node, segment, "(&m->top)")
            low, width = top.segments(node)[segment]
            if node.kind == "input":
                return f"m->input[{self.input_slots[node.name[0], node.name[1] + low]}]"
            number, port, start = node.name
            kind, index = places[number]
            if port in kind.early:
                return operand(early[number].segment(cut(kind.unit.graph.outputs[port], start + low, width)))
            if kind not in ran:
                raise UnknownCellError(f"the shared part needs {port} of a {kind.name} in the same clock to give it its inputs")
            return f"{kind.name}_out[{index}].o[{kind.outputs[port, start + low]}]"

        emitter = top.emitter(leaf, lines)
        # Their early outputs are read before they change state.
        for node in reachable(top.graph):
            if node.kind == "box" and node.name[1] in places[node.name[0]][0].early:
                emitter.node(node)
        for kind in kinds:
            given = []
            for index, box in enumerate(kind.boxes):
                for port, nodes in kind.unit.graph.inputs.items():
                    for node in nodes:
                        for low, width in kind.unit.segments(node):
                            value = emitter.segment(cut(box.inputs[port], node.name[1] + low, width))
                            number = kind.inputs[port, node.name[1] + low]
                            given.append(f"{kind.name}_in[{index}].i[{number}] = {operand(value)};")
            count, kind_type, name = len(kind.boxes), kind.unit.name, kind.name
            lines += [f"{kind_type}In {name}_in[{count}];", f"{kind_type}Out {name}_out[{count}];", *given,
                      f"for (int i = 0; i < {count}; i++) {name}(&m->{name}[i], &{name}_in[i], &{name}_out[i]);"]
            ran.add(kind)
        stores = [f"m->end[{number}] = {operand(emitter.mask(top.graph.outputs[name]))};" for number, name in enumerate(self.ends)]
        stores += [f"m->output[{number}] = {operand(emitter.segment(cut(top.graph.outputs[slot.port], slot.low, slot.width)))};"
                   for number, slot in enumerate(outputs)]
        stores += top.clock(emitter, "(&m->top)")
        return "\n".join(["static void step(Machine *m) {", indent([*lines, *stores]), "}"])


def _slots(unit, inputs):
    for port, nodes in inputs.items():
        for node in nodes:
            for low, width in unit.segments(node):
                yield Slot(port, node.name[1] + low, width)


def lane_program(component, *, lanes, units=None, tied=None, run=None, ends=(), settle=0, outputs=None):
    """The program that runs ``lanes`` copies of a component at once.

    units : what is behind the component's black boxes: kind -> Graph, in the order in which they run: the inputs of one may depend
        on outputs of earlier ones in the same clock.  tied : input port -> constant.
    run : the input that is low in the one clock before a job begins.  ends : outputs of one bit that end a job.
    outputs : ports whose value in the last clock of a job is returned.
    """
    graph, units = build_graph(component, tied=tied), units or {}
    outputs = tuple(graph.outputs) if outputs is None else outputs
    graph.outputs = {name: bits for name, bits in graph.outputs.items() if name in ends or name in outputs}
    kinds = {box.number: box.kind for box in graph.boxes}
    used = {(kinds[node.name[0]], node.name[1]) for node in reachable(graph) if node.kind == "box"}
    ports = {}
    for name, unit in units.items():
        unit.outputs = {port: bits for port, bits in unit.outputs.items() if (name, port) in used}
        whole = Unit(name, unit, {})
        edges = {("box", port): whole.edges(bits) for port, bits in unit.outputs.items()}
        assert not edges.keys() & ports.keys(), "two kinds of boxes have an output of one name"
        ports |= edges
    top = Unit("Top", graph, ports)
    repeated = []
    for name, unit in units.items():
        first = next(box for box in graph.boxes if box.kind == name)
        cuts = {("input", port): top.edges(bits) for port, bits in first.inputs.items()}
        repeated.append(_Kind(name, Unit(name.capitalize(), unit, cuts), top))
    return _Writer(top, repeated, lanes, run, ends, settle, outputs).program()
