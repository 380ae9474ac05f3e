"""The stages of a call for display: a colour, which X11 (GTKWave) and CSS know by the same name, and a meaning; in the order in
which a call that waits passes them."""

from sim.calls import Stage

__all__ = ["COLOURS", "MEANINGS"]

_TABLE = {
    Stage.CALL: ("SteelBlue", "the caller has entered the routine"),
    Stage.LOCK: ("MediumPurple", "the caller holds the request (csd), and fills it in"),
    Stage.QUEUE: ("CornflowerBlue", "the request can be found by the targets"),
    Stage.IPI: ("Orange", "an interrupt was sent to the target"),
    Stage.NOIPI: ("Khaki", "no interrupt was needed: the target's queue was not empty"),
    Stage.WAIT: ("Silver", "the caller waits"),
    Stage.DELIVERED: ("SandyBrown", "the interrupt has reached the target's APIC"),
    Stage.GOTIPI: ("Coral", "the target's core has accepted the interrupt"),
    Stage.EMPTY: ("RosyBrown", "the handler has found its queue empty"),
    Stage.HANDLE: ("Orchid", "the handler has taken the request, or looks for one"),
    Stage.UNLOCK: ("Plum", "the request was unlocked: its owner may use it again"),
    Stage.ENTRY: ("LimeGreen", "the target runs the function"),
    Stage.EXIT: ("PaleGreen", "the function has ended"),
    Stage.COMPLETE: ("DarkTurquoise", "the target has told the caller that the call is complete"),
    Stage.WOKEN: ("MediumSeaGreen", "the caller has seen that the call is complete"),
    Stage.RETURN: ("SeaGreen", "the routine has returned"),
}
COLOURS = {stage: colour for stage, (colour, _) in _TABLE.items()}
MEANINGS = {stage: meaning for stage, (_, meaning) in _TABLE.items()}
