"""The pictures of the documentation, made from real runs (``make pictures``): waves in GTKWave, a page in Chromium.

Waves are opened in a GTKWave under Xvfb, which writes its own window. Look at the pictures before you commit them.
"""

import io
import math
import subprocess
import sys
import tempfile
from base64 import b64decode
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from vcd.gtkw import GTKWColor, GTKWSave
from vcdvcd import VCDVCD

from sim.engines.spec import EngineSpec
from sim.report.views import Views
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.waves.writer import CLOCK_NS
from tests.browser import browser, opened

FOLDER = Path(__file__).parent / "pictures"
#: Of a window of GTKWave, in pixels: all, what the names take, and what its frames take beside and above the waves; a row.
_WIDTH, _NAMES, _BORDER, _TOP, _ROW = 1300, 230, 40, 125, 23
#: GTKWave's zoom is minus the logarithm to base 2 of the time units in so many pixels.
_ZOOM_PIXELS = 200
#: The largest picture that git takes, in bytes.
_MOST = 150_000
#: Colours of a picture: enough to keep those of the stages apart. A picture with a palette is a smaller file.
_PALETTE = 256

_COLOURS = {"stage": GTKWColor.orange, "call": GTKWColor.yellow, "interrupt": GTKWColor.indigo, "flags": GTKWColor.red,
            "core 0 sends": GTKWColor.indigo}


class Waves(NamedTuple):
    """A picture of waves: a scenario, the clocks that fill the window, and the rows, (name, signal), or a title and no signal."""

    scenario: str
    clocks: range
    rows: tuple


def _core(number, *signals):
    return ((f"core {number}", None), *((signal.rpartition(".")[2].removesuffix("_text"),
                                         f"apic{number}.{signal}" if signal == "interrupt" else f"core{number}.{signal}")
                                        for signal in signals))


_FABRIC = (("the fabric", None), ("core 0 sends", "fabric.core0.busy"), ("delivered to core 1", "fabric.core1.delivered"))

WAVES = {
    "demo": Waves("demo", range(2475, 2965), tuple(
        row for core in range(4) for row in _core(core, "stage_text", "call_text", "routine", "event_text", "interrupt"))),
    "tour-call": Waves("single", range(238, 560), (
        ("clock", "run.clock"),
        *_core(0, "stage_text", "call_text", "routine", "event_text"), *_FABRIC,
        *_core(1, "interrupt", "stage_text", "call_text", "routine", "event_text"),
        ("the arena", None), ("flags of the csd", "arena.\\stack[0][4]"),
        ("queue of core 1: next", "arena.call_single_queue[1].list.next"),
        ("queue of core 1: lock", "arena.call_single_queue[1].lock"))),
    "tour-send": Waves("single", range(300, 362), (
        ("clock", "run.clock"),
        *_core(0, "stage_text", "routine", "event_text", "memory_op_text", "memory_name"),
        ("the arena", None), ("queue of core 1: next", "arena.call_single_queue[1].list.next"),
        ("queue of core 1: lock", "arena.call_single_queue[1].lock"),
        *_FABRIC,
        ("the APIC of core 1", None), ("irr", "apic1.irr"), ("interrupt", "apic1.interrupt"), ("isr", "apic1.isr"))),
    "tour-wake": Waves("single", range(518, 556), (
        ("clock", "run.clock"),
        *_core(1, "stage_text", "label", "source", "event_text"),
        ("the arena", None), ("flags of the csd", "arena.\\stack[0][4]"),
        *_core(0, "stage_text", "label", "source", "state_text", "memory_result", "event_text"))),
}


def _made(scenario, folder):
    """The files of a run of a scenario: its waves and its page, by kind."""
    prepared = prepare(scenario)
    views = Views(prepared, html=True)
    return views.write(run(prepared, engine=EngineSpec(prepared.run.config).make(), out=folder, watch=views.timeline), folder).files


def waves_picture(name, waves, vcd):
    """Have GTKWave show what is asked for, and write the picture of its window."""
    signals = VCDVCD(str(vcd), only_sigs=True)
    text = io.StringIO()
    save = GTKWSave(text)
    save.dumpfile(vcd.name, abspath=False)
    save.savefile(f"{name}.gtkw", abspath=False)
    save.size(_WIDTH, _TOP + _ROW * len(waves.rows))
    save.sst_expanded(False)
    save.signals_width(_NAMES)
    save.timestart(waves.clocks.start * CLOCK_NS)
    save.zoom_markers(-math.log2(len(waves.clocks) * CLOCK_NS * _ZOOM_PIXELS / (_WIDTH - _NAMES - _BORDER)))
    for row, signal in waves.rows:
        if signal is None:
            save.blank(row)
        else:
            # GTKWave colours the numbers of the stages, not their texts.
            stage = signal.endswith(".stage_text")
            signal = signal.removesuffix("_text") if stage else signal
            width = int(signals[signal].size)
            save.trace(f"{signal}[{width - 1}:0]" if width > 1 else signal, row, _COLOURS.get(row.partition(" of ")[0]), "dec",
                       translate_filter_file=f"{vcd.stem}.filters/stage.txt" if stage else None)
    (vcd.parent / f"{name}.gtkw").write_text(text.getvalue(), encoding="utf-8")
    picture = vcd.parent / f"{name}.png"
    (vcd.parent / "grab.tcl").write_text(f"after 500\ngtkwave::/File/Grab_To_File {picture.name}\nexit\n", encoding="utf-8")
    subprocess.run(["xvfb-run", "-a", "-s", "-screen 0 1600x1200x24", "gtkwave", "--rcvar", "hide_sst 1", "-S", "grab.tcl",
                    vcd.name, f"{name}.gtkw"], cwd=vcd.parent, check=True, capture_output=True, timeout=120)
    return picture


def page_picture(path, picture):
    """A page from its top to the end of its timeline."""
    with browser(width=1000, height=900) as driver:
        opened(driver, path)
        height = driver.execute_script("return document.querySelector('#calls').previousElementSibling.getBoundingClientRect().top")
        shown = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": {
            "x": 0, "y": 0, "width": 1000, "height": height, "scale": 1}})
    picture.write_bytes(b64decode(shown["data"]))
    return picture


def main(names):
    """Make the pictures that are named, or all."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)

        def of(scenario, kind):
            if scenario not in files:
                files[scenario] = _made(scenario, folder)
            return files[scenario][kind]

        for name in names or [*WAVES, "early-return"]:
            if name in WAVES:
                picture = waves_picture(name, WAVES[name], of(WAVES[name].scenario, "waves"))
            else:
                picture = page_picture(of(name, "page"), folder / f"{name}.png")
            small = io.BytesIO()
            Image.open(picture).convert("RGB").quantize(_PALETTE).save(small, "png", optimize=True)
            size = len(small.getvalue())
            if size > _MOST:
                sys.exit(f"{name}: {size} bytes are more than {_MOST}")
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / picture.name).write_bytes(small.getvalue())
            print(f"{FOLDER / picture.name}: {size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
