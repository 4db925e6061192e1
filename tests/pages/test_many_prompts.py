"""The page for studies: starting, watching, cancelling, coming back, comparing."""

import json
import shutil
import time

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.cells.shipped_studies import shipped
from app.shell.navigation import STUDY
from app.shell.study_jobs import STUDIES
from app.work.job import Job
from core.model.catalog import BUILTIN_FOLDER
from core.studies.claims import CLAIMS
from core.studies.counterfact import MINI_COUNTERFACT
from core.studies.measured import MEASURED
from tests.pages.test_pages import after, chart_data, charts, gated, job_of, open_page, texts

PAGE = "many_prompts"
PICTURES = 6


def unescaped(at: AppTest) -> str:
    return texts(at).replace("\\", "")


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


def shown(at: AppTest) -> list[str]:
    """The studies in the line pictures."""
    return list(dict.fromkeys(chart_data(at)["study"]))


@pytest.mark.parametrize("model", ["tiny-gpt2", "tiny-llama2"])
def test_the_page_opens_on_the_models_shipped_study(model):
    at = open_page(PAGE, model=model)
    assert not at.exception
    assert at.header[0].value == "What holds over many prompts?"
    assert len(charts(at)) == PICTURES
    assert shown(at) == [f"{model} (shipped)"]
    assert f"{model}: made with Backward Lens, 100 CounterFact records, seed 0" in unescaped(at)
    assert "No study yet" not in texts(at)
    assert "559 records" in texts(at)
    for block in at.code:
        scope: dict = {}
        if "study.zip" not in block.value:
            exec(block.value, scope)
            assert len(scope["table"])


def test_a_model_without_a_shipped_study_opens_on_all(tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(BUILTIN_FOLDER / "tiny-gpt2", folder)
    at = open_page(PAGE, model=str(folder))
    assert not at.exception
    assert shown(at) == [f"{name} (shipped)" for name in core.shipped_studies()]
    assert len(charts(at)) == PICTURES


def test_shipped_studies_are_read_once_for_all_visitors(monkeypatch):
    open_page(PAGE)
    monkeypatch.setattr("core.shipped_studies", lambda: pytest.fail("read again"))
    assert len(charts(open_page(PAGE, model="tiny-llama2"))) == PICTURES


def test_a_page_without_any_study_says_what_to_do(monkeypatch):
    monkeypatch.setattr("core.shipped_studies", dict)
    shipped.clear()
    try:
        at = open_page(PAGE)
        assert not at.exception
        assert "No study yet" in texts(at)
        assert not charts(at)
    finally:
        shipped.clear()


def test_each_claim_stands_in_a_line_for_each_study():
    at = open_page(PAGE)
    table, whole = [m.value for m in at.markdown if m.value.startswith("| Claim")]
    head, _, *lines = table.splitlines()
    studies = list(core.shipped_studies())
    assert head.replace("\\", "").count("(shipped)") == len(studies) - 1
    assert len(lines) == len(CLAIMS) + len(MEASURED)
    assert all(line.count("|") == len(studies) + 3 for line in lines)
    assert "✓ holds**: 7 of 7 layers | ◐ in part |" in table  # of the first study what was found
    assert "✓ holds**: 7 of 7 layers | **◐ in part**: 25 of 29" in whole  # of all of them
    at = studied(at)
    table, _ = [m.value for m in at.markdown if m.value.startswith("| Claim")]
    head, _, *lines = table.splitlines()
    assert head.replace("\\", "").count("(shipped)") == len(studies)
    own = [line.split(" | ")[2] for line in lines]
    assert own.count("–") == len(MEASURED)  # what a study's tables do not tell


@pytest.mark.parametrize("model", ["tiny-gpt2", "tiny-llama2"])
def test_a_study_runs_and_draws_the_papers_pictures(model):
    at = open_page(PAGE, model=model)
    start(at, 5)
    at = after(at, STUDY)
    assert not at.exception
    assert len(charts(at)) == PICTURES
    assert "5 records of mini" in texts(at).replace("\\", "")
    for block in at.code:
        if "study.zip" in block.value:  # a file that the visitor would have
            continue
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
    assert shown(other) == ["tiny-gpt2"]
    assert shown(open_page(PAGE)) == ["tiny-gpt2 (shipped)"]
    assert shown(open_page(PAGE, study="no-such-study")) == ["tiny-gpt2 (shipped)"]


def test_ones_own_study_comes_first_and_is_compared_with_the_shipped_ones():
    at = studied(open_page(PAGE))
    assert shown(at) == ["tiny-gpt2"]
    (pick,) = at.multiselect
    options = ["tiny-gpt2", *(f"{name} (shipped)" for name in core.shipped_studies())]
    assert pick.options == options
    pick.set_value([*pick.value, "shipped:tiny-gpt2"]).run()
    assert not at.exception
    assert shown(at) == ["tiny-gpt2", "tiny-gpt2 (shipped)"]
    assert "2 records of mini" in unescaped(at)


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
    assert not at.session_state[STUDIES]
    assert shown(at) == ["tiny-gpt2 (shipped)"]


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


def test_a_deep_models_tables_show_every_second_layer_at_first():
    at = open_page(PAGE, model="tiny-gpt2")
    assert not [toggle for toggle in at.toggle if "layer" in toggle.label]
    name = next(name for name, study in shipped().items() if study.header.n_layers == 30)
    at.selectbox(key="main_study_0_shipped:tiny-gpt2").set_value(name).run()
    assert not at.exception
    tables = {"study_norms": 2, "study_ranks": 3}
    for key, index in tables.items():
        switch = at.toggle(key=f"{key}_some_of_30")
        assert (switch.label, switch.value) == ("Every 2nd layer", True)
        seen = set(chart_data(at, index)["layer"])
        assert set(range(1, 30, 2)) <= seen < set(range(30))
        at.toggle(key=f"{key}_some_of_30").set_value(False).run()
        assert set(chart_data(at, index)["layer"]) == set(range(30))
    study = shipped()[name]
    norms = study.norms[(study.norms["answered"] == "all") & (study.norms["module"] == "ff2")]
    at.toggle(key="study_norms_some_of_30").set_value(True).run()
    assert norms.loc[norms["norm"].idxmax(), "layer"] in set(chart_data(at, 2)["layer"])
