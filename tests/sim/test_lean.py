"""A protocol without what a small board has no room for: taking cores down, and functions that call."""

import pytest

from rtl.config import MachineConfig
from sim.errors import InputError
from sim.microcode.protocols import shipped_protocols

from .runs import prepare_text, run_text

PROGRAM = """
cores = 2
[machine]
microcode_depth = {depth}
[defines]
{defines}
[[program]]
cores = [0]
commands = [{{ call = "{call}", target = 1{more} }}]
"""
#: The one whose allocator has no room in 512 words either way.
TOO_LARGE = {"v2.6.27-rc1", "v2.6.29"}


def program(protocol, call="single", more=', func = "count", wait = true', depth=512):
    defines = ["CONFIG_HOTPLUG_CPU = 0", *(["CALLING = 0"] if protocol != "mailbox" else [])]
    return PROGRAM.format(depth=depth, defines="\n".join(defines), call=call, more=more)


@pytest.mark.parametrize("protocol", sorted(set(shipped_protocols()) - TOO_LARGE))
def test_the_others_fit_512_words(protocol):
    """And a call does what it must."""
    run = run_text(program(protocol), protocol=protocol)
    assert run.result.ok, run.result.violations
    assert run.prepared.run.config.microcode_depth == 512 < MachineConfig().microcode_depth
    assert [call.result for call in run.result.calls] == [0]


@pytest.mark.parametrize("protocol", sorted(TOO_LARGE))
def test_two_need_more(protocol):
    with pytest.raises(InputError, match="microwords, but the machine stores 512"):
        prepare_text(program(protocol), protocol=protocol)


def test_what_is_left_out_cannot_be_called():
    """There is no cpu_down() any more, but cpu_up() stays."""
    prepare_text(program("v4", call="cpu_up", more=""))
    with pytest.raises(InputError, match='names the call "cpu_down", which the protocol v4.uasm does not have'):
        prepare_text(program("v4", call="cpu_down", more=""))
    with pytest.raises(InputError, match='names the func "call_single", which the protocol v4.uasm does not have'):
        prepare_text(program("v4", more=', func = "call_single", nested = 0, wait = true'))
