"""Lessons in Streamlit's own test harness: a unit from start to right, and what a class sends."""

import csv
import io
import time

import pytest
from streamlit.testing.v1 import AppTest

from app.lessons.progress import Progress, Step
from app.lessons.reader import SHIPPED
from app.notebook.csv import as_csv
from app.settings import CODES, LESSONS, WORKSHOPS
from app.shell.navigation import EDIT
from app.workshop import store
from app.workshop.answers import answers_of, as_table
from app.workshop.plan import Workshop, plan
from core.model.catalog import BUILTIN
from tests.pages.test_pages import after, charts, open_page, texts


@pytest.fixture(autouse=True)
def _own_workshops(tmp_path, monkeypatch):
    monkeypatch.setenv(WORKSHOPS.name, str(tmp_path / "workshops"))
    monkeypatch.delenv(CODES.name, raising=False)
    monkeypatch.delenv(LESSONS.name, raising=False)


@pytest.fixture
def workshop() -> tuple[Workshop, str, str]:
    made, code, lead = plan(time.time(), 3600, "Lens", pages=("", "lessons"))
    store.save(made)
    return made, code, lead


def at_unit(unit: str, **query: str) -> AppTest:
    at = open_page("lessons", **query)
    at.pills[0].set_value(unit)
    return at.run()


def press(at: AppTest, label: str) -> AppTest:
    (button,) = (b for b in at.button if b.label == label)
    return button.click().run()


def says(at: AppTest) -> str:
    """The verdict on the page; empty without one."""
    boxes = [*at.success, *at.warning]
    assert len(boxes) <= 1
    return boxes[0].value if boxes else ""


def gone_to(at: AppTest, page: str) -> AppTest:
    """The harness does not note where the app itself has gone to."""
    return at.switch_page(f"../pages/{page}.py").run()


def mine(at: AppTest) -> Progress:
    return at.session_state["lessons"]


@pytest.mark.parametrize("model", BUILTIN)
def test_the_first_lesson_is_done_with_a_word_and_enter(model):
    at = open_page("lessons", model=model)
    assert at.header[0].value == "Where do I begin?"
    assert len(charts(at)) == 1
    at.text_input(key="lesson_answer_1-expect").set_value("Honolulu")
    at = press(at, "Check")
    assert says(at).startswith("**Not yet.** You wrote `Honolulu`")
    at.text_input(key="lesson_answer_1-expect").set_value("hawaii")
    at = press(at, "Check")
    assert says(at).startswith("**Right.** `·Hawaii` is the model's answer.")
    assert "✓ 1" in at.pills[0].options[0]
    assert "You have done 1 of 6." in texts(at)
    at = press(at, "Next: What would it learn\\?")
    assert "Lesson 2" in texts(at)
    assert at.text_input(key="target").value == "Hawaii"
    assert not says(at)


@pytest.mark.parametrize("unit", ["1-expect", "2-learn", "3-where", "4-directions"])
def test_hints_end_in_showing_it(unit):
    at = at_unit(unit)
    for label in ("Hint 1 of 3", "Hint 2 of 3", "Show me"):
        assert "**Shown.**" not in texts(at)
        at = press(at, label)
    assert not at.exception
    for part in ("**Hint 1.**", "**Hint 2.**", "**Shown.**"):
        assert part in texts(at)
    assert any("outline" in element.proto.body for element in at.get("html"))
    at = press(at, "Check")
    assert says(at).startswith("**Right.**")


def test_a_verdict_goes_with_what_it_was_about():
    at = open_page("lessons")
    at.text_input(key="lesson_answer_1-expect").set_value("Hawaii")
    at = press(at, "Check")
    at.text_input(key="prompt").set_value("Jack Dorsey founded")
    at.run()
    assert not says(at)
    assert "You have done this lesson." in texts(at)
    at = press(at, "Check")
    assert says(at).startswith("**Not yet.** You wrote `Hawaii`")
    assert mine(at).steps["1-expect"].right


def test_an_edit_is_made_on_its_page_and_checked_back_here():
    at = at_unit("5-believe")
    for _ in range(3):
        at = press(at, at.button(key="lesson_hint").label)
    assert at.header[0].value == "Can you make it say something else?"
    assert at.text_input(key="prompt").value == "Jack Dorsey founded"
    assert "Press the button with the frame" in texts(at)
    assert any("st-key-make_edit" in element.proto.body for element in at.get("html"))
    at = gone_to(at, "edit")
    at.button(key="make_edit").click().run()
    at = after(at, EDIT)
    at.switch_page("../pages/lessons.py").run()
    at = press(at, "Check")
    assert says(at).startswith("**Right.** With your edit the model says `·IBM`")
    assert len(charts(at)) == 1
    at.switch_page("../pages/edit.py").run()
    assert not [b for b in at.button if b.key == "lesson_fold"], "the lesson is done"


def test_what_an_edit_broke_is_shown():
    at = at_unit("6-broke")
    at = press(at, "Check")
    assert "No edit is on" in says(at)
    for _ in range(3):
        at = press(at, at.button(key="lesson_hint").label)
    assert at.segmented_control(key="edit_how_strong").value == "fixed"
    at = gone_to(at, "edit")
    at.button(key="make_edit").click().run()
    at = after(at, EDIT)
    at.switch_page("../pages/lessons.py").run()
    at = press(at, "Show me again")
    assert at.text_input(key="lesson_answer_6-broke").value == "Biz Stone founded"
    at = press(at, "Check")
    assert says(at).startswith("**Right.** There it said `·Twitter`")


def test_the_task_goes_along_folded_or_put_away():
    at = at_unit("5-believe")
    at = press(at, "Open the page Edit")
    assert "**Lesson 5 · Make it believe**" in texts(at)
    assert "Take an example" in texts(at)
    at = gone_to(at, "edit")
    at = press(at, "Fold")
    assert "Take an example" not in texts(at)
    at.switch_page("../pages/forward_lens.py").run()
    assert "**Lesson 5 · Make it believe**" in texts(at)
    at = press(at, "Show the task")
    assert "Take an example" in texts(at)
    at = press(at, "Put away")
    assert "Make it believe" not in texts(at)
    at.switch_page("../pages/lessons.py").run()
    assert "Lesson 5" in texts(at)
    assert "… 5" in at.pills[0].options[4]


def test_a_lesson_that_is_only_looked_at_follows_nobody():
    at = at_unit("5-believe")
    at.switch_page("../pages/edit.py").run()
    assert "Make it believe" not in texts(at)


def test_a_thought_is_kept_as_text():
    at = open_page("lessons")
    at.text_area(key="lesson_thought_1-expect").set_value("<b>**layers**</b> " + "x" * 900).run()
    assert mine(at).steps["1-expect"].thought.startswith("<b>**layers**</b>")
    at = press(at, "Hint 1 of 3")
    assert at.text_area(key="lesson_thought_1-expect").value.startswith("<b>**layers**</b>")
    assert "Kept. You can change it." in texts(at)
    assert not any("facilitator" in line for line in texts(at).splitlines())


def test_without_a_request_the_lesson_stays_and_says_why():
    at = open_page("lessons", prompt="")
    assert not at.exception
    assert "Lesson 1" in texts(at)
    assert "Nothing to show yet." in texts(at)
    at.text_input(key="lesson_answer_1-expect").set_value("Hawaii")
    at = press(at, "Check")
    assert "Put right what is named on the left first" in says(at)
    assert at.text_input(key="lesson_answer_1-expect").value == "Hawaii"


def test_a_teachers_folder_and_its_mistyped_file(tmp_path, monkeypatch):
    shipped = (SHIPPED / "1-expect.toml").read_text(encoding="utf-8")
    (tmp_path / "1.toml").write_text(shipped.replace("What does", "**What** does"), "utf-8")
    (tmp_path / "2.toml").write_text("titel = 3", "utf-8")
    monkeypatch.setenv(LESSONS.name, str(tmp_path))
    at = open_page("lessons")
    assert "Lesson 1: \\*\\*What\\*\\* does" in texts(at)
    assert "2\\.toml\\, title\\: this is missing" in at.error[0].value
    for file in tmp_path.glob("*.toml"):
        file.unlink()
    at = open_page("lessons")
    assert "There are no lessons in the folder" in texts(at)


# A class


def rows(workshop_id: str) -> list[dict[str, str]]:
    table = as_csv(as_table(answers_of(workshop_id).all())).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(table)))


def test_a_class_sends_its_answers(workshop):
    made, code, lead = workshop
    at = open_page("lessons", workshop=code)
    assert "The facilitator of this workshop sees" in texts(at)
    at.text_input(key="visitor_name").set_value("=Ana").run()
    at.text_area(key="lesson_before").set_value("From a database").run()
    at.text_input(key="lesson_answer_1-expect").set_value("=1+1")
    at = press(at, "Check")
    at.text_input(key="lesson_answer_1-expect").set_value("Hawaii")
    at = press(at, "Check")
    at.text_area(key="lesson_thought_1-expect").set_value("Layer 6").run()
    found = rows(made.id)
    assert [(row["kind"], row["answer"], row["right"]) for row in found] == [
        ("before", "From a database", ""),
        ("check", "'=1+1", "not yet"),
        ("check", "Hawaii", "yes"),
        ("thought", "Layer 6", ""),
    ]
    assert {row["name"] for row in found} == {"'=Ana"}
    last = found[-1]
    assert (last["unit"], last["model"], last["prompt"], last["target"]) == (
        "1-expect",
        "tiny-gpt2",
        "Obama grew up in",
        "Paris",
    )
    answers_of.clear()  # as after a restart
    assert rows(made.id) == found

    desk = AppTest.from_file("../../app/main.py", default_timeout=60)
    desk.query_params["lead"] = lead
    desk.switch_page("../pages/workshop.py").run()
    assert not desk.exception
    assert "1 participant, 2 checked answers, 2 texts; before and after: 0." in texts(desk)
    table = desk.dataframe[0].value
    assert list(table["Name"]) == ["=Ana"]
    assert table.iloc[0, 1] == "✓"


def test_after_the_last_lesson_the_question_comes_again(workshop):
    made, code, _ = workshop
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    at.query_params["workshop"] = code
    steps = {"6-broke": Step(right=True)}
    at.session_state["lessons"] = Progress(before="Magic", current="6-broke", steps=steps)
    at.switch_page("../pages/lessons.py").run()
    assert "Before the lessons you wrote: Magic" in texts(at)
    at.text_area(key="lesson_after").set_value("From numbers").run()
    assert [(row["kind"], row["answer"]) for row in rows(made.id)] == [("after", "From numbers")]


def test_the_facilitator_tries_a_lesson_without_sending_it(workshop):
    made, _, lead = workshop
    at = open_page("lessons", lead=lead)
    at.text_input(key="lesson_answer_1-expect").set_value("Hawaii")
    at = press(at, "Check")
    assert says(at).startswith("**Right.**")
    assert rows(made.id) == []
    assert not [area for area in at.text_area if area.key == "lesson_before"]


def test_a_page_that_a_workshop_leaves_out(workshop):
    _, code, _ = workshop
    at = at_unit("5-believe", workshop=code)
    assert "The page Edit is not a part of this workshop." in texts(at)
    for _ in range(3):
        at = press(at, at.button(key="lesson_hint").label)
    assert not at.exception
    assert at.header[0].value == "Where do I begin?"
