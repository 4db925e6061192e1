"""The ways by which hostile texts come into the app: fields, links, files."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from urllib.parse import urlencode

from streamlit.testing.v1 import AppTest

from app.shell.models import OTHER
from app.shell.navigation import JOB_PAGES
from app.work.sessions import JOBS
from core.model.catalog import BUILTIN
from tests.fuzz.files import (
    hostile_benchmark,
    hostile_edit,
    hostile_notebook,
    hostile_records,
    hostile_study,
    hostile_table,
)
from tests.fuzz.shown import elements
from tests.fuzz.steps import (
    FIELDS,
    FILES,
    GOOD,
    PATIENCE,
    ROOT,
    Step,
    Visit,
    after,
    new_session,
    state,
    timed,
    typed,
    usual,
)

SLOTS = (*JOB_PAGES, "answer_0")
LONGEST_QUERY = 512 * 1024  # characters of an address that Streamlit reads; it ignores longer ones

Kept = Callable[[Visit], AppTest]  # a session of the visit's page and model that is only typed into
Steps = Iterator[Step]


def by_field(name: str) -> Callable[[Kept, Visit], Steps]:
    """Typed into one field of the sidebar, the others being as usual."""

    def way(kept: Kept, visit: Visit) -> Steps:
        yield typed(kept(visit), GOOD | {name: visit.texts[0].whole})

    return way


def by_all_fields(kept: Kept, visit: Visit) -> Steps:
    texts = [text.whole for text in visit.texts]
    yield typed(kept(visit), dict(zip(FIELDS, texts, strict=True)))


def by_subject_in_the_prompt(kept: Kept, visit: Visit) -> Steps:
    """The subject is a part of the prompt, whatever it is."""
    text = visit.texts[0].whole
    values = GOOD | {"prompt": f"The mother of {text} is", "subject": text}
    yield typed(kept(visit), values)


def by_link(kept: Kept, visit: Visit) -> Steps:
    """Prompt, target and subject in the address, in bytes that may be no text."""
    values = dict(zip(FIELDS, (text.raw for text in visit.texts), strict=True))
    read = len(urlencode(values)) < LONGEST_QUERY
    seen = {name: raw.decode("utf-8", "replace") for name, raw in values.items() if read}
    yield timed(new_session(visit.file, model=visit.model, **values), seen)


def by_repeated_link(kept: Kept, visit: Visit) -> Steps:
    """Each parameter several times, and parameters that nobody knows."""
    raw = [text.raw for text in visit.texts]
    query: dict[str, object] = {name: [*raw, b"x"] for name in (*FIELDS, "model", "precision")}
    query |= {text.whole[:2000]: text.raw for text in visit.texts}
    yield timed(new_session(visit.file, **query))


def by_model_link(kept: Kept, visit: Visit) -> Steps:
    yield timed(new_session(visit.file, model=visit.texts[0].raw, **GOOD))


def by_model_field(kept: Kept, visit: Visit) -> Steps:
    at = usual(visit)
    at.selectbox(key="model_choice").set_value(OTHER)
    yield timed(at)
    yield typed(at, {"other_model": visit.texts[0].whole})


@cache
def bound(file: str) -> tuple[str, ...]:
    """The parameters of a page's controls that stand in its link."""
    at = timed(new_session(file, model=BUILTIN[0], **GOOD)).at
    names = (getattr(message, "query_param_key", "") for message in elements(at._tree))
    return tuple(sorted({name for name in names if name} - set(FIELDS)))


def by_controls_link(kept: Kept, visit: Visit) -> Steps:
    """Every control that stands in a page's link, and the links of long work."""
    rng = random.Random(f"{visit.seed}:{visit.number}:controls")
    numbers = ["-1", "1e9", "9" * 40, "0.5", "true", "", "NaN", "0", "3,4", "ff1", "[]"]
    values = [*(text.raw[:10_000] for text in visit.texts), *rng.sample(numbers, 5)]
    names = [*bound(visit.file), *SLOTS, "precision", "embed_options"]
    query = {name: rng.choice([rng.choice(values), rng.sample(values, 2)]) for name in names}
    yield timed(new_session(visit.file, model=visit.model, **GOOD, **query))


def by_foreign_job(kept: Kept, visit: Visit) -> Steps:
    """The token of a study that is over, under the names of other work."""
    token = finished_study()
    query = dict.fromkeys((*SLOTS, "prompt", "subject", "model_choice", "nothing"), token)
    yield timed(new_session(visit.file, model=visit.model, target=visit.texts[0].raw, **query))


@cache
def finished_study() -> str:
    at = timed(new_session("many_prompts.py", model=BUILTIN[0], **GOOD)).at
    at.number_input(key="study_limit_559").set_value(2)
    at.button(key="start_study").click().run()
    job = at.session_state[JOBS]["study"]
    job.thread.join(PATIENCE)
    return job.token


def by_edit_file(kept: Kept, visit: Visit) -> Steps:
    """An edit's file that says hostile things of itself; then the page with the edit on."""
    at = usual(visit)
    content = hostile_edit(visit.model, visit.texts)
    at.file_uploader(key="edit_file").set_value(("edit.safetensors", content, "application/x"))
    yield timed(at)
    for entry in state(at, "ledger") or ():
        at.text_input(key=f"edit_name_{entry.id}").set_value(visit.texts[1].whole)
        yield timed(at)


def by_prompts_around(kept: Kept, visit: Visit) -> Steps:
    """The prompts that an edit is asked about."""
    at = usual(visit)
    content = hostile_edit(visit.model, ())
    at.file_uploader(key="edit_file").set_value(("edit.safetensors", content, "application/x"))
    timed(at)
    for area, text in zip(at.text_area, visit.texts, strict=True):
        area.set_value(text.whole[:4000])
    yield timed(at)


def by_study_file(kept: Kept, visit: Visit) -> Steps:
    at = usual(visit)
    content = hostile_study(visit.texts)
    at.file_uploader(key="study_file").set_value(("study.zip", content, "application/zip"))
    yield timed(at)


def by_benchmark_file(kept: Kept, visit: Visit) -> Steps:
    """A benchmark that says hostile things of itself, all columns of it, and a failure's fact."""
    at = usual(visit)
    content = hostile_benchmark(visit.texts)
    at.file_uploader(key="benchmark_file").set_value(("b.zip", content, "application/zip"))
    yield timed(at)
    for view in ("hidden", "cost"):
        columns = [c for c in at.get("segmented_control") if c.key == "benchmark_columns"]
        for control in columns:
            control.set_value(view)
            yield timed(at)


def by_records_file(kept: Kept, visit: Visit) -> Steps:
    """CounterFact records of hostile texts, and a study over them."""
    at = usual(visit)
    at.segmented_control(key="records_source").set_value("upload").run()
    name = visit.texts[2].whole.replace("\x00", "")[:60] + ".json"
    content = hostile_records(visit.texts)
    at.file_uploader(key="records_file").set_value((name, content, "application/json"))
    yield from studied(at)


def own_prompts(visit: Visit, way: str) -> AppTest:
    at = usual(visit)
    at.segmented_control(key="records_source").set_value("upload").run()
    at.segmented_control(key="own_way").set_value(way)
    timed(at)
    return at


def studied(at: AppTest) -> Steps:
    """The page, and a study where one can be started."""
    yield timed(at)
    if any(button.key == "start_study" for button in at.button):
        at.button(key="start_study").click()
        yield timed(at)
        yield after(at, "study")


def by_prompts_file(kept: Kept, visit: Visit) -> Steps:
    """A table of prompts whose names, headers and cells are hostile."""
    at = own_prompts(visit, "file")
    name = visit.texts[2].whole.replace("\x00", "")[:60] + ".csv"
    content = hostile_table(visit.texts, "\t").encode("utf-8", "replace")
    at.file_uploader(key="records_file").set_value((name, content, "text/csv"))
    yield from studied(at)


def by_pasted_prompts(kept: Kept, visit: Visit) -> Steps:
    at = own_prompts(visit, "paste")
    at.text_area(key="own_text").set_value(as_sent(hostile_table(visit.texts, ",")))
    yield from studied(at)
    at.text_area(key="own_text").set_value(visit.texts[0].whole)
    yield timed(at)


def as_sent(text: str) -> str:
    """A text as a browser sends it: it cannot send half of a character."""
    return text.encode("utf-8", "replace").decode()


def by_typed_prompts(kept: Kept, visit: Visit) -> Steps:
    """The table of prompts, whose edits come as JSON: halves of characters too."""
    at = own_prompts(visit, "table")
    first, second, third = (text.text for text in visit.texts)
    edited = {
        0: {"Prompt": first, "Target": second, "Group": third},
        1: {"Prompt": f"The mother of {second} is", "Subject": second, "Target": "x"},
    }
    added = [{"Prompt": "The dog is", "Target": third, "True answer": first, "Group": second}]
    at.session_state["own_rows"] = {"edited_rows": edited, "added_rows": added, "deleted_rows": []}
    yield from studied(at)
    at.switch_page(str(ROOT / "pages" / FILES[0])).run()
    at.switch_page(str(ROOT / "pages" / visit.file))
    yield timed(at)


def by_chat(kept: Kept, visit: Visit) -> Steps:
    at = kept(visit)
    at.session_state["ask_length"] = 2
    at.chat_input(key="ask_prompt").set_value(visit.texts[0].whole)
    yield timed(at)
    yield after(at, "answer_0")


def by_rows(kept: Kept, visit: Visit) -> Steps:
    """The table of prompts, whose edits come as JSON: halves of characters too."""
    at = usual(visit)
    rows = [{"Prompt": text.text} for text in visit.texts[1:]]
    edited = {0: {"Prompt": visit.texts[0].text}}
    at.session_state["ask_rows"] = {"edited_rows": edited, "added_rows": rows, "deleted_rows": []}
    yield timed(at)
    at.button(key="ask_all").click()
    yield timed(at)
    yield after(at, "ask_all")
    at.switch_page(str(ROOT / "pages" / FILES[0])).run()
    at.switch_page(str(ROOT / "pages" / visit.file))
    yield timed(at)


def by_notebook_file(kept: Kept, visit: Visit) -> Steps:
    """A saved notebook that says hostile things; then what it holds, opened live."""
    at = usual(visit)
    content = hostile_notebook(visit.texts)
    at.file_uploader(key="notebook_file").set_value(("a.backwardlens", content, "application/zip"))
    yield timed(at)
    for button in [button for button in at.button if button.label == "Open it live"]:
        button.click()
        yield timed(at)


def by_notebook_text(kept: Kept, visit: Visit) -> Steps:
    """Written into one's own notebook, and as its title."""
    at = usual(visit)
    at.button(key="write_top").click().run()
    at.text_area[0].set_value(visit.texts[0].whole[:20_000]).run()
    at.text_input(key="notebook_title").set_value(visit.texts[1].whole[:200]).run()
    for button in [button for button in at.button if button.label == "Done"]:
        button.click()
    yield timed(at)


NOTEBOOK = ("my_notebook.py",)
EDIT, STUDIES, ASK = ("edit.py",), ("many_prompts.py",), ("ask.py",)
BENCHMARKS = ("benchmark.py",)
# How texts come in, how many, and on which pages; on all where none is named.
WAYS: dict[str, tuple[Callable[[Kept, Visit], Steps], int, tuple[str, ...]]] = {
    "prompt": (by_field("prompt"), 1, ()),
    "target": (by_field("target"), 1, ()),
    "subject": (by_field("subject"), 1, ()),
    "subject in the prompt": (by_subject_in_the_prompt, 1, ()),
    "all fields": (by_all_fields, 3, ()),
    "link": (by_link, 3, ()),
    "repeated link": (by_repeated_link, 3, ()),
    "model link": (by_model_link, 1, ()),
    "model field": (by_model_field, 1, ()),
    "controls link": (by_controls_link, 3, ()),
    "foreign job": (by_foreign_job, 1, ()),
    "edit file": (by_edit_file, 3, ()),
    "prompts around": (by_prompts_around, 3, EDIT),
    "study file": (by_study_file, 3, STUDIES),
    "benchmark file": (by_benchmark_file, 3, BENCHMARKS),
    "records file": (by_records_file, 3, STUDIES),
    "prompts file": (by_prompts_file, 3, STUDIES),
    "pasted prompts": (by_pasted_prompts, 3, STUDIES),
    "typed prompts": (by_typed_prompts, 3, STUDIES),
    "chat": (by_chat, 1, ASK),
    "rows": (by_rows, 3, ASK),
    "notebook file": (by_notebook_file, 3, NOTEBOOK),
    "notebook text": (by_notebook_text, 2, NOTEBOOK),
}
