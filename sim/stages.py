"""The stages of a call for display: a colour and a meaning, in the order in which a call that waits passes them.

GTKWave (X11) and pages (CSS) know each colour by the same name; some names, such as Gray, mean different colours, and GTKWave lacks
others, such as Silver. Colours are dark enough for white text, which is all that GTKWave writes.
"""

from sim.calls import Stage

__all__ = ["COLOURS", "MEANINGS"]

_TABLE = {
    Stage.CALL: ("SteelBlue", "the caller has entered the routine"),
    Stage.LOCK: ("MediumPurple", "the caller holds the request (csd), and fills it in"),
    Stage.QUEUE: ("RoyalBlue", "the request can be found by the targets"),
    Stage.IPI: ("Chocolate", "an interrupt was sent to the target"),
    Stage.NOIPI: ("DarkGoldenrod", "no interrupt was needed: the target's queue was not empty"),
    Stage.WAIT: ("SlateGray", "the caller waits"),
    Stage.DELIVERED: ("Sienna", "the interrupt has reached the target's APIC"),
    Stage.GOTIPI: ("IndianRed", "the target's core has accepted the interrupt"),
    Stage.EMPTY: ("DimGrey", "the handler has found its queue empty"),
    Stage.HANDLE: ("DarkOrchid", "the handler has taken the request, or looks for one"),
    Stage.UNLOCK: ("MediumVioletRed", "the request was unlocked: its owner may use it again"),
    Stage.ENTRY: ("ForestGreen", "the target runs the function"),
    Stage.EXIT: ("OliveDrab", "the function has ended"),
    Stage.COMPLETE: ("DarkCyan", "the target has told the caller that the call is complete"),
    Stage.WOKEN: ("SeaGreen", "the caller has seen that the call is complete"),
    Stage.RETURN: ("DarkOliveGreen", "the routine has returned"),
}
COLOURS = {stage: colour for stage, (colour, _) in _TABLE.items()}
MEANINGS = {stage: meaning for stage, (_, meaning) in _TABLE.items()}
