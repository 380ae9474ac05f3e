"""The colours of the stages and what they mean, below a chart of a page."""

from sim.stages import COLOURS, MEANINGS

from .page import escape

__all__ = ["legend"]


def legend(shown):
    """Lines of HTML. shown : the stages that the chart has."""
    yield '<div class="legend">' + "".join(
        f'<span title="{escape(MEANINGS[stage])}"><i style="background:{colour}"></i>{stage.text}</span>'
        for stage, colour in COLOURS.items() if stage in shown) + "</div>"
    yield "<details><summary>What the stages mean</summary><ul>" + "".join(
        f"<li><b>{stage.text}</b>: {escape(meaning)}</li>" for stage, meaning in MEANINGS.items()) + "</ul></details>"
