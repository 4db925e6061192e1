"""The page for studies: starting, watching, cancelling, coming back, comparing."""

import json
import time

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.cells.studies import STUDIES
from app.shell.navigation import STUDY
from app.work.job import Job
from core.studies.counterfact import MINI_COUNTERFACT
from tests.pages.test_pages import after, charts, gated, job_of, open_page, texts

PAGE = "many_prompts"
PICTURES = 5


def start(at: AppTest, limit: int = 3) -> Job:
    at.number_input(key="study_limit_559").set_value(limit).run()
    at.button(key="start_study").click().run()
    return job_of(at, STUDY)


def studied(at: AppTest, limit: int = 2) -> AppTest:
    start(at, limit)
    return after(at, STUDY)


@pytest.fixture
def slow_study(monkeypatch):
    return gated(monkeypatch, "study")


def test_an_empty_page_says_what_to_do():
    at = open_page(PAGE)
    assert not at.exception
    assert at.header[0].value == "What holds over many prompts?"
    assert "No study yet" in texts(at)
    assert "559 records" in texts(at)
    assert not charts(at)


@pytest.mark.parametrize("model", ["tiny-gpt2", "tiny-llama2"])
def test_a_study_runs_and_draws_the_papers_pictures(model):
    at = open_page(PAGE, model=model)
    start(at, 5)
    at = after(at, STUDY)
    assert not at.exception
    assert len(charts(at)) == PICTURES
    assert "5 records of mini" in texts(at).replace("\\", "")
    for block in at.code:
        scope: dict = {}
        exec(block.value, scope)
        assert {"answered", "layer", "n"} <= set(scope["table"].columns)
    for answered in ("correctly", "wrongly", "all"):
        at.selectbox(key="study_answered").set_value(answered).run()
        assert not at.exception
    for word in ("answer", "target"):
        for vector in ("ff1", "ff2"):
            at.segmented_control(key="study_word").set_value(word)
            at.segmented_control(key="study_vector").set_value(vector).run()
            assert not at.exception
    at.segmented_control(key="study_quantity").set_value("input_norm")
    at.segmented_control(key="study_module").set_value("block").run()
    assert not at.exception


def test_a_study_is_watched_from_every_page_and_can_be_cancelled(slow_study, monkeypatch):
    monkeypatch.setattr("app.work.job.APART", 0.0)  # each record counts for the estimate
    at = open_page(PAGE)
    job = start(at, 50)
    slow_study.release(6)
    while job.done < 7:
        time.sleep(0.01)
    at.run()
    bars = [bar.proto.text for bar in at.get("progress")]
    assert len(bars) == 1
    assert "7 of 50 records" in bars[0]
    assert "left" in bars[0] or "almost done" in bars[0]
    at.switch_page("../pages/forward_lens.py").run()
    assert len(charts(at)) == 1
    bars = [bar.proto.text for bar in at.get("progress")]
    assert len(bars) == 1
    assert "Study of mini\\_counterfact\\.json: 7 of 50 records" in bars[0]
    assert any(link.proto.page == "many_prompts" for link in at.get("page_link"))
    at.switch_page(f"../pages/{PAGE}.py").run()
    at.button(key="cancel_study").click().run()
    slow_study.release(50)
    at = after(at, STUDY)
    assert not at.exception
    assert "cancelled after" in texts(at)
    assert len(charts(at)) == PICTURES
    assert job.result.header.counted == job.result.header.done < 50


def test_one_running_study_a_session(slow_study):
    at = open_page(PAGE)
    job = start(at, 50)
    assert not [b for b in at.button if b.key == "start_study"]
    job.cancelled.set()
    slow_study.release(60)
    after(at, STUDY)


def test_a_link_finds_a_study_again():
    at = open_page(PAGE)
    job = start(at, 2)
    after(at, STUDY)
    other = open_page(PAGE, study=job.token)
    assert not other.exception
    assert len(charts(other)) == PICTURES
    stranger = open_page(PAGE)
    assert not charts(stranger)
    assert "No study yet" in texts(open_page(PAGE, study="no-such-study"))


def test_studies_stand_side_by_side():
    at = open_page(PAGE)
    studied(at)
    at.selectbox(key="model_choice").set_value("tiny-llama2").run()
    at = studied(at)
    assert [s.header.model for s in at.session_state[STUDIES].values()] == [
        "tiny-gpt2",
        "tiny-llama2",
    ]
    lines = charts(at)[0]
    assert "tiny-gpt2" in json.dumps(lines)
    assert "tiny-llama2" in json.dumps(lines)


def upload(at: AppTest, key: str, name: str, content: bytes) -> AppTest:
    return at.file_uploader(key=key).set_value((name, content, "application/json")).run()


def test_an_uploaded_file_is_read_and_its_bad_records_counted():
    records = json.loads(MINI_COUNTERFACT.read_text(encoding="utf-8"))[:4]
    content = json.dumps([*records, {"case_id": 9}, "odd"]).encode()
    at = open_page(PAGE)
    at.segmented_control(key="records_source").set_value("upload").run()
    at = upload(at, "records_file", "mine.json", content)
    assert not at.exception
    assert "mine.json: 4 records" in texts(at).replace("\\", "")
    assert "2 records cannot be used" in at.warning[0].value
    assert "Record 4: its prompt is missing" in texts(at).replace("\\", "")
    at.button(key="start_study").click().run()
    job = job_of(at, STUDY)
    at = after(at, STUDY)
    assert job.result.header.counted == 4
    assert len(charts(at)) == PICTURES


@pytest.mark.parametrize("content", [b"", b"[]", b"nonsense", b"\xff\xfe\x00", b'{"a": 1}'])
def test_a_file_that_holds_no_records_gets_a_sentence(content):
    at = open_page(PAGE)
    at.segmented_control(key="records_source").set_value("upload").run()
    at = upload(at, "records_file", "odd.json", content)
    assert not at.exception
    assert "holds no CounterFact record" in at.error[0].value


def test_a_downloaded_study_is_compared_with_a_new_one():
    records = core.load_counterfact(MINI_COUNTERFACT)
    earlier = core.study(core.load_model("tiny-llama2"), records, limit=2, seed=3)
    at = open_page(PAGE)
    at = studied(at)
    at = upload(at, "study_file", "earlier.zip", earlier.as_zip())
    assert not at.exception
    assert len(at.session_state[STUDIES]) == 2
    assert "tiny-llama2" in json.dumps(charts(at)[0])
    at = upload(at, "study_file", "odd.zip", b"PK nonsense")
    assert "no study that the app can read" in at.error[0].value
    assert len(at.session_state[STUDIES]) == 2
    assert len(charts(at)) == PICTURES


def test_files_of_the_server_only_where_its_operator_allows(monkeypatch, tmp_path):
    at = open_page(PAGE)
    assert "server" not in str(at.segmented_control(key="records_source").proto)
    (tmp_path / "records.json").write_bytes(MINI_COUNTERFACT.read_bytes())
    (tmp_path / "secret.txt").write_text("no")
    monkeypatch.setenv("BACKWARD_LENS_RECORDS", str(tmp_path))
    at = open_page(PAGE)
    at.segmented_control(key="records_source").set_value("server").run()
    assert at.selectbox(key="records_server_file").options == ["records.json"]
    assert "559 records" in texts(at)
    assert not at.exception


def test_a_study_of_records_that_fit_no_model_says_why():
    record = json.loads(MINI_COUNTERFACT.read_text(encoding="utf-8"))[0]
    record["requested_rewrite"]["prompt"] = "{}" + " and on" * 250  # too long for the model
    at = open_page(PAGE)
    at.segmented_control(key="records_source").set_value("upload").run()
    at = upload(at, "records_file", "long.json", json.dumps([record]).encode())
    at.button(key="start_study").click().run()
    at = after(at, STUDY)
    assert not at.exception
    said = at.error[0].value.replace("\\", "")
    assert "None of the 1 records that were read fits this model" in said
    assert "Shorten it" in said
    assert not charts(at)


def test_a_study_that_fails_gets_a_sentence(monkeypatch):
    def fail(*_, **__):
        raise core.ModelError("tiny-gpt2 ran out of memory on this prompt.")

    monkeypatch.setattr("core.study", fail)
    at = open_page(PAGE)
    at = studied(at)
    assert not at.exception
    assert "ran out of memory" in at.error[0].value


def test_a_bad_prompt_does_not_keep_a_study_from_running():
    at = open_page(PAGE, prompt=" ")
    at = studied(at)
    assert not at.exception
    assert len(charts(at)) == PICTURES
