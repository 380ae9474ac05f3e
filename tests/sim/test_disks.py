"""Disks that are full or may only be read, under every command that writes: one sentence, and nothing half done."""

import os
import re
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

#: What writes files, into the folder that is named behind it.
COMMANDS = {
    "run": ["run", "single", "--out"],
    "replay": ["replay", "early-return.early_return.schedule", "--out"],
    "hunt": ["hunt", "early-return", "--runs", "8", "--processes", "1", "--out"],
    "litmus": ["litmus", "wrong.litmus", "--expected", "wrong.csv", "--runs", "8", "--processes", "1", "--out"],
    "mutate": ["mutate", "--protocol", "v4", "--only", "csd_wait", "--scenario", "single", "--runs", "8",
               "--processes", "1", "--out"],
    "museum": ["museum", "early-return", "--protocol", "v4", "--runs", "8", "--processes", "1", "--out"],
    "knockout": ["knockout", "storm", "--protocol", "v4", "--only", "cfd_lock", "--memory", "sc", "--runs", "8",
                 "--processes", "1", "--out"],
    "export": ["export", "--verilog", "apic", "--out"],
}
#: Store buffering, of which wrong.csv says that it is never seen.
WRONG = """X86 wrong
{ x=0; y=0; }
 P0 | P1 ;
 MOV [x],$1 | MOV [y],$1 ;
 MOV EAX,[y] | MOV EAX,[x] ;
~exists (0:EAX=0 /\\ 1:EAX=0)
"""


@contextmanager
def _mounted(folder):
    """A small file system of its own; None where nobody may make one."""
    made = shutil.which("mount") and os.geteuid() == 0 and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True).returncode
    try:
        yield folder if made else None
    finally:
        if made:
            subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def full(tmp_path):
    """A folder on a disk that is full, or, where none can be had, with no room for a file of more than 512 octets."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with _mounted(folder) as mounted:
        if mounted:
            with pytest.raises(OSError), open(folder / "filler", "wb", buffering=0) as file:
                while True:
                    file.write(bytes(512))
            yield folder
        else:
            (folder / "filler").touch()
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
            yield folder
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def read_only(tmp_path):
    """A folder in which nobody may write."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with _mounted(folder) as mounted:
        (folder / "filler").touch()
        if mounted:
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        elif os.geteuid() == 0:
            pytest.skip("root may write everywhere, and nothing can be mounted")
        else:
            folder.chmod(0o555)
        yield folder
        if not mounted:
            folder.chmod(0o755)


@pytest.mark.parametrize("kind, reason", [
    ("full", r"No space left on device|File too large|database or disk is full"),
    ("read_only", r"Read-only file system|Permission denied"),
])
@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_one_sentence_and_nothing_half_done(crosscall, tmp_path, request, command, kind, reason):
    (tmp_path / "wrong.litmus").write_text(WRONG)
    (tmp_path / "wrong.csv").write_text("file,tso\nwrong.litmus,1\n")
    if command == "replay":
        assert crosscall("hunt", "early-return", "--runs", 1, "--out", tmp_path)[0] == 1
    disk = request.getfixturevalue(kind)
    where = disk / "apic.v" if command == "export" else disk
    code, _, err = crosscall(*COMMANDS[command], where)
    assert code in (2, 3)
    assert re.fullmatch(rf"crosscall: {re.escape(str(disk))}/[^/]*: (cannot be written: )?({reason})\n", err), err
    assert os.listdir(disk) == ["filler"]


@pytest.mark.parametrize("command", ["litmus", "bench"])
def test_who_has_nothing_to_write_needs_no_disk(crosscall, tmp_path, read_only, command):
    (tmp_path / "right.litmus").write_text(WRONG.replace("~exists", "exists"))
    words = {"litmus": ["litmus", tmp_path / "right.litmus", "--runs", 2, "--out", read_only],
             "bench": ["bench", "speed", "--cores", 1, "--engines", "compiled", "--seconds", 0.1]}[command]
    assert crosscall(*words)[::2] == (0, "")


@pytest.mark.parametrize("command", ["list", "asm v4", "run single --json --no-vcd", "litmus right.litmus --runs 2 --json"])
def test_no_room_for_what_is_printed(tmp_path, command):
    (tmp_path / "right.litmus").write_text(WRONG.replace("~exists", "exists"))
    with open("/dev/full", "w") as room:
        done = subprocess.run([sys.executable, "-m", "sim", *command.split()], stdout=room, stderr=subprocess.PIPE, text=True,
                              cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert (done.returncode, done.stderr) == (3, "crosscall: standard output cannot be written: No space left on device\n")
