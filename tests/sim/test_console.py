"""The terminal: results and the status line do not meet, and what comes from a file does not steer it."""

import os
import pty
import subprocess
import sys

import pytest
from rich.text import Text

from sim.console import note, printable, status
from sim.report.table import report_console


def _on_a_terminal(code):
    """What a terminal gets from a process that writes both results and notes to it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    octets = b""
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:                         # nobody writes any more
            break
        if not more:
            break
        octets += more
    os.close(ours)
    assert process.wait() == 0
    return octets.decode()


def _shown(text):
    """The lines that stand there in the end."""
    lines = [""]
    for char in text.replace("\x1b[K", "\x00"):
        if char == "\n":
            lines.append("")
        elif char == "\x00":
            lines[-1] = ""
        elif char != "\r":
            lines[-1] += char
    return lines


def test_the_status_line_is_gone_before_anything_is_printed():
    shown = _shown(_on_a_terminal("""
from sim.console import note, status
from sim.report.table import report_console
console = report_console()
with status() as show:
    show("0 schedules")
    console.print("O1 (early_return), run 25")
    show("1 schedule")
    note("something")
    show("2 schedules")
print("the end")
"""))
    assert shown == ["O1 (early_return), run 25", "crosscall: something", "the end", ""]


def test_it_is_drawn_and_no_wider_than_the_terminal():
    text = _on_a_terminal("""
import os
from sim.console import status
os.get_terminal_size = lambda fd: os.terminal_size((20, 5))
with status() as show:
    show("x" * 50)
""")
    assert text == "\r\x1b[K" + "x" * 19 + "\r\x1b[K"


def test_it_is_not_drawn_more_often_than_is_seen():
    text = _on_a_terminal("""
from sim.console import status
with status() as show:
    for number in range(1000):
        show(str(number))
""")
    assert text == "\r\x1b[K0\r\x1b[K"


def test_in_a_pipe_there_is_none(capsys):
    with status() as show:
        show("0 schedules")
        note("something")
    assert capsys.readouterr() == ("", "crosscall: something\n")


@pytest.mark.parametrize("text, shown", [
    ("plain \u00e4\u2192", "plain \u00e4\u2192"), ("a\tb\nc", "a\tb\nc"),
    ("\x1b[31mred", "\\x1b[31mred"), ("\x9b31m", "\\x9b31m"), ("\x07\x00\x7f\r", "\\x07\\x00\\x7f\\x0d"),
])
def test_what_a_terminal_would_obey_is_shown(text, shown, capsys):
    assert printable(text) == shown
    note(text)
    assert capsys.readouterr().err == f"crosscall: {shown}\n"


def test_nor_does_a_report_pass_it_on(capsys):
    console = report_console()
    console.print("a\x1b]0;title\x1b\\\\")
    console.print(Text("b\x1b[2J", "bold red"))
    assert "\x1b" not in capsys.readouterr().out
