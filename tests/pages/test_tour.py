"""The tour is called, walked through both ways, and ended; nobody who came by a link is led."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

from app.shell.tour import STEP, STEPS

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"


def words(at: AppTest) -> list[str]:
    return [m.value for m in at.markdown]


def test_the_tour_is_walked_through_and_ended():
    at = AppTest.from_file(MAIN, default_timeout=120).run()
    assert STEP not in at.session_state  # who has no cookie would be led again and again
    at.button("take_the_tour").click().run()
    for i, step in enumerate(STEPS):
        assert step.words in words(at)
        assert f"{i + 1} of {len(STEPS)}" in [c.value for c in at.caption]
        if i < len(STEPS) - 1:
            at.button("tour_next").click().run()
    at.button("tour_back").click().run()
    assert STEPS[-2].words in words(at)
    at.button("tour_end").click().run()
    assert not at.exception
    assert not set(words(at)) & {step.words for step in STEPS}


def test_the_tour_goes_along_to_other_pages():
    at = AppTest.from_file(MAIN, default_timeout=120).run()
    at.button("take_the_tour").click().run()
    at.button("tour_next").click().run()
    at.switch_page("../pages/forward_lens.py").run()
    assert STEPS[1].words in words(at)
