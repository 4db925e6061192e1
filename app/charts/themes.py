"""A chart in the theme that is on the screen, and again in the other one.

A kept picture must be right by day and by night, and colours cannot be translated afterwards: the
ink of a word is chosen for the shade under it. So a chart knows how to be built again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import TypeVar

import altair as alt

AGAIN = "built_in_the_other_theme"  # of a chart's own attributes; none of Vega-Lite's
Build = TypeVar("Build", bound=Callable[..., alt.TopLevelMixin])


def in_both_themes(build: Build) -> Build:
    """For a builder with an argument `dark`: `other_theme` of its charts is then known."""

    @wraps(build)
    def built(*given: object, dark: bool, **options: object) -> alt.TopLevelMixin:
        chart = build(*given, dark=dark, **options)
        again = partial(build, *given, dark=not dark, **options)
        object.__setattr__(chart, AGAIN, again)  # Altair's own way would make it a property
        return chart

    return built


def other_theme(chart: alt.TopLevelMixin) -> alt.TopLevelMixin | None:
    """The chart as its builder makes it in the other theme, with the title that it was given since;
    nothing where no builder is known."""
    again = vars(chart).get(AGAIN)
    if again is None:
        return None
    other = again()
    if chart.title is not alt.Undefined:
        other.title = chart.title
    return other
