"""A chart built again in the other theme says what the one on the screen says."""

import pytest

from app.charts.themes import other_theme
from tests.app.charts.test_spec import CHARTS


@pytest.mark.parametrize("dark", [False, True])
def test_the_title_that_a_page_gave_comes_along(dark):
    chart = CHARTS["side_curves", ""](dark=dark)
    assert "title" not in other_theme(chart).to_dict()
    chart.title = "Left: Paris"
    other = other_theme(chart).to_dict()
    assert other["title"] == "Left: Paris"
    assert other["config"]["title"]["color"] != chart.to_dict()["config"]["title"]["color"]
