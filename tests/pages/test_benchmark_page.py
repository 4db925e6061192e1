"""The page for benchmarks: what ships, one's own, what failed, and files of it."""

import json
import shutil
import time
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.cells import benchmark_table
from app.cells.shipped_benchmarks import nearest, shipped
from app.notebook.our_code import is_ours
from app.shell.benchmark_jobs import BENCHMARKS
from app.shell.navigation import BENCHMARK
from app.work.results import results
from core.model.catalog import BUILTIN_FOLDER
from core.studies.counterfact import MINI_COUNTERFACT
from tests.app.benchmarks import METHODS, benchmark, header
from tests.pages.test_many_prompts import unescaped, upload
from tests.pages.test_pages import after, charts, gated, job_of, open_page, texts

PAGE = "benchmark"
SHIFT = "forward-shift:eta=fixed"


@pytest.fixture
def ships(monkeypatch):
    """Ships these benchmarks for the length of a test."""

    def put(*made: core.Benchmark) -> None:
        monkeypatch.setattr(core, "shipped_benchmarks", lambda: {m.header.model: m for m in made})
        shipped.clear()

    yield put
    shipped.clear()


@pytest.fixture
def nothing_ships(ships):
    ships()


@pytest.fixture
def slow_benchmark(monkeypatch):
    return gated(monkeypatch, "benchmark")


def rows_shown(at: AppTest) -> dict[str, list[str]]:
    """The table's columns."""
    return at.dataframe[0].value.to_dict("list")


def start(at: AppTest, limit: int = 2, methods: tuple[str, ...] = (SHIFT,)):
    (pick,) = [box for box in at.multiselect if box.key.startswith("benchmark_methods")]
    pick.set_value(list(methods))
    at.number_input(key="benchmark_limit_559").set_value(limit)
    at.checkbox(key="benchmark_generate").set_value(False).run()
    at.button(key="start_benchmark").click().run()
    return job_of(at, BENCHMARK)


def test_the_page_opens_on_the_models_shipped_benchmark(ships):
    ships(benchmark("tiny-llama2"), benchmark("tiny-gpt2"))
    at = open_page(PAGE)
    assert not at.exception
    assert at.header[0].value == "Which method edits best?"
    assert len(charts(at)) == 2
    said = unescaped(at)
    assert "tiny-gpt2: made with Backward Lens, 40 records of mini_counterfact.json" in said
    assert "**ROME** says the new fact most often when asked in other words (90%" in said
    assert "Methods that stand here in the paper's order" in said
    shown = rows_shown(at)
    assert shown["Method"][:2] == ["Unedited model", "↳ Original model"]
    assert shown["Model"][:2] == ["tiny-gpt2", "GPT-2 XL (paper)"]
    place = shown["Method"].index("ROME")
    assert shown["Paraphrase"][place : place + 2] == ["90.0% (77–96)", "71.9%"]
    assert "No edit was found by MEMIT 8 times" in said


def test_every_column_says_what_it_asks_and_which_direction_is_good(ships):
    ships(benchmark())
    at = open_page(PAGE)
    for view, columns in benchmark_table.VIEWS.items():
        at.segmented_control(key="benchmark_columns").set_value(view).run()
        assert not at.exception
        shown = rows_shown(at)
        assert [column.title for column in columns] == list(shown)[1:-1]
        asked = json.loads(at.dataframe[0].proto.columns)
        for column in columns:
            assert asked[column.title]["help"] == column.asks
            assert "better" in column.asks or "unedited" in column.asks or "same" in column.asks
    assert shown["Seconds"][shown["Method"].index("ROME")] == "1.5 s"  # no interval without width


def test_views_without_published_figures_show_ones_own_only(ships):
    ships(benchmark())
    at = open_page(PAGE)
    at.segmented_control(key="benchmark_columns").set_value("success").run()
    assert set(rows_shown(at)["Model"]) == {"tiny-gpt2"}
    at.segmented_control(key="benchmark_columns").set_value("writing").run()
    shown = rows_shown(at)
    paper = shown["Model"].index("GPT-2 XL (paper)")
    assert (shown["n-gram entropy"][paper], shown["Perplexity"][paper]) == ("626.9", "93.6")


def test_a_model_without_one_sees_the_nearest_and_whose_it_is(ships, tmp_path):
    ships(benchmark("smollm2-135m"), benchmark("tiny-gpt2"))
    folder = tmp_path / "copy"
    shutil.copytree(BUILTIN_FOLDER / "tiny-llama2", folder)
    at = open_page(PAGE, model=str(folder))
    assert not at.exception
    assert "There is no benchmark of" in texts(at)
    assert "This is smollm2-135m's, which is nearest in size" in unescaped(at)


def test_the_nearest_is_the_models_own_or_that_of_the_nearest_depth():
    made = {f"shipped:{name}": benchmark(name) for name in ("a", "b")}
    deep = SimpleNamespace(**header("b").__dict__ | {"n_layers": 30})
    made["shipped:b"] = SimpleNamespace(header=deep)

    def of(name, n_layers):
        return SimpleNamespace(name=name, n_layers=n_layers, vocabulary_size=50_257)

    assert nearest(of("b", 8), made) == "shipped:b"
    assert nearest(of("other", 12), made) == "shipped:a"
    assert nearest(of("other", 48), made) == "shipped:b"


def test_a_page_without_any_benchmark_says_what_to_do(nothing_ships):
    at = open_page(PAGE)
    assert not at.exception
    assert "No benchmark yet, and none is shipped here" in texts(at)
    assert len(charts(at)) == 1  # what a calibration tells
    assert not at.dataframe


def test_without_a_calibration_it_says_how_to_get_one(nothing_ships, monkeypatch):
    monkeypatch.setattr(core, "known_calibration", lambda model, method: None)
    at = open_page(PAGE)
    assert not at.exception
    assert "“Tune for this model” at the end of the page Edit" in texts(at)
    assert any(link.proto.page == "edit" for link in at.get("page_link"))


def test_the_code_makes_the_tables(ships):
    made = benchmark()
    ships(made)
    at = open_page(PAGE)
    codes = [block.value for block in at.code]
    assert len(codes) == 4
    for code in codes:
        assert is_ours(code)
        scope: dict = {}
        exec(code, scope)
        assert len(scope["table"])
    assert scope["table"].equals(made.failures(SHIFT, count=10))


def test_failures_are_told_in_words_and_opened_on_the_edit_page(ships):
    made = benchmark()
    ships(made)
    at = open_page(PAGE)
    at.selectbox(key=benchmark_table.METHOD).set_value("rome").run()
    worst = made.failures("rome", count=1).iloc[0]
    said = unescaped(at)
    assert "worst failures of **ROME**" in said
    assert f"**“{worst['prompt']}” → “{worst['target_new']}”**" in said
    assert f"Asked about something else, “{worst['asked']}”, it should still say" in said
    assert "it says `·elsewhere`" in said
    (button,) = [b for b in at.button if b.key == "open_failure_shipped:tiny-gpt2_rome_0"]
    button.click().run()
    assert not at.exception
    assert at.session_state["prompt"] == worst["prompt"]
    assert at.session_state["target"] == worst["target_new"]
    assert at.session_state["subject"] == worst["subject"]
    assert at.session_state["page"] == "edit"
    assert at.segmented_control(key="edit_method").value == "rome"


def test_the_papers_shift_opens_with_its_strength(ships):
    ships(benchmark())
    at = open_page(PAGE)
    (button,) = [b for b in at.button if b.key == f"open_failure_shipped:tiny-gpt2_{SHIFT}_0"]
    button.click().run()
    assert not at.exception
    assert at.segmented_control(key="edit_method").value == "forward-shift"
    assert at.segmented_control(key="edit_how_strong").value == "fixed"


def test_a_clicked_row_chooses_the_method(monkeypatch):
    picked = SimpleNamespace(selection=SimpleNamespace(rows=[2]))
    state = {"benchmark_rows_accuracies_key": picked}
    monkeypatch.setattr(benchmark_table.st, "session_state", state)
    methods = ["original", "rome", "rome", "mend"]
    benchmark_table.pick_row("key", "accuracies", methods, ("original", "rome"))
    assert state[benchmark_table.METHOD] == "rome"
    for row in (0, 3):  # nothing fails without an edit, and the paper's MEND is not here
        picked.selection.rows = [row]
        benchmark_table.pick_row("key", "accuracies", methods, ("original", "rome"))
        assert state[benchmark_table.METHOD] == "rome"


def test_a_benchmark_runs_and_takes_the_shipped_ones_place(ships):
    ships(benchmark())
    at = open_page(PAGE)
    job = start(at)
    at = after(at, BENCHMARK)
    assert not at.exception
    assert job.error == ""
    assert list(at.session_state[BENCHMARKS]) == [job.token]
    assert "tiny-gpt2: 2 records of mini_counterfact.json, seed 0, 1 method." in unescaped(at)
    assert job.result.header.methods == (SHIFT,)
    assert at.query_params["benchmark"] == job.token
    other = open_page(PAGE, benchmark=job.token)
    assert "2 records of mini_counterfact.json, seed 0, 1 method." in unescaped(other)


def test_a_running_benchmark_shows_what_it_has_and_keeps_it_when_cancelled(
    nothing_ships, slow_benchmark
):
    at = open_page(PAGE)
    job = start(at, 20)
    at.button(key="benchmark_so_far").click().run()
    assert "No record is done yet" in texts(at)
    while job.done < 2:
        slow_benchmark.release()
        time.sleep(0.01)
    at.button(key="benchmark_so_far").click().run()
    assert not at.exception
    assert "of 40 rows are done" in texts(at)
    assert [bar.proto.text[:12] for bar in at.get("progress")] == ["Benchmark of"]
    assert not [b for b in at.button if b.key == "start_benchmark"]
    at.button(key="cancel_benchmark").click().run()
    slow_benchmark.release(100)
    at = after(at, BENCHMARK)
    assert not at.exception
    assert f"{len(job.result.rows)} of 40 rows are done" in texts(at)
    assert not job.result.finished


def test_one_cancelled_before_its_first_record_says_so(nothing_ships, slow_benchmark):
    at = open_page(PAGE)
    job = start(at, 3)
    job.cancelled.set()
    slow_benchmark.release(100)
    at = after(at, BENCHMARK)
    assert not at.exception
    assert "Cancelled before the first record was done" in texts(at)
    assert not at.session_state[BENCHMARKS]


def test_a_first_guess_of_the_time_is_told_as_one(nothing_ships):
    at = open_page(PAGE)
    assert "At a first guess" in texts(at)
    (pick,) = [box for box in at.multiselect if box.key.startswith("benchmark_methods")]
    assert pick.value[:2] == ["forward-shift", SHIFT]
    pick.set_value([]).run()
    assert not at.exception
    assert at.button(key="start_benchmark").disabled


def test_no_more_records_than_the_operator_allows(nothing_ships, monkeypatch):
    monkeypatch.setenv("BACKWARD_LENS_STUDY_RECORDS", "7")
    at = open_page(PAGE)
    assert at.number_input(key="benchmark_limit_7").max == 7


def test_prompts_without_a_true_answer_are_no_facts(nothing_ships):
    at = open_page(PAGE)
    at.segmented_control(key="records_source").set_value("upload").run()
    at = upload(at, "records_file", "mine.csv", b"Prompt,Target\nObama grew up in,Paris\n")
    assert not at.exception
    assert any("A benchmark needs facts" in error.value for error in at.error)
    assert not [b for b in at.button if b.key == "start_benchmark"]
    two = b"Prompt,Target,Subject,True answer\nObama grew up in,Paris,Obama,Hawaii\nIt is,so,,\n"
    at = upload(at, "records_file", "two.csv", two)
    assert "1 without a subject or a true answer" in texts(at)
    assert [b for b in at.button if b.key == "start_benchmark"]


def test_a_method_that_fails_here_says_why_and_is_not_offered(nothing_ships, monkeypatch):
    real = core.preflight

    def preflight(model, prompt, method, **settings):
        if method == "memit":
            raise core.EditError("It needs a network.")
        return real(model, prompt, method, **settings)

    monkeypatch.setattr(core, "preflight", preflight)
    results().forget()
    at = open_page(PAGE)
    results().forget()
    assert "Not here: MEMIT. It needs a network." in unescaped(at)


def test_a_benchmark_that_fails_gets_a_sentence(nothing_ships, monkeypatch):
    def fail(*_, **__):
        raise core.ModelError("tiny-gpt2 ran out of memory on this prompt.")

    monkeypatch.setattr(core, "benchmark", fail)
    at = open_page(PAGE)
    start(at)
    at = after(at, BENCHMARK)
    assert not at.exception
    assert "ran out of memory" in at.error[0].value


def test_a_benchmark_is_downloaded_and_opened_again(ships):
    ships(benchmark("tiny-llama2"))
    mine = benchmark("tiny-gpt2", count=12, methods=METHODS[:2])
    at = open_page(PAGE)
    labels = [button.proto.label for button in at.get("download_button")]
    for label in ("Download the benchmark (zip)", "The table as LaTeX", "The table as Markdown"):
        assert label in labels
    at = upload(at, "benchmark_file", "mine.zip", mine.as_zip())
    assert not at.exception
    assert "tiny-gpt2: 12 records of mini_counterfact.json, seed 0, 2 methods." in unescaped(at)
    at = upload(at, "benchmark_file", "odd.zip", b"PK nonsense")
    assert "no benchmark that the app can read" in at.error[0].value
    assert len(at.session_state[BENCHMARKS]) == 1


def test_a_strangers_method_is_shown_and_not_opened(nothing_ships):
    """A file may name methods that there are not here."""
    odd = "**no** <b>method</b>"
    made = benchmark(methods=("rome",))
    made = core.Benchmark(
        header(methods=(odd,)), made.records, made.rows.replace({"method": {"rome": odd}})
    )
    at = open_page(PAGE)
    at = upload(at, "benchmark_file", "odd.zip", made.as_zip())
    assert not at.exception
    assert odd in rows_shown(at)["Method"]
    assert "\\*\\*no\\*\\* \\<b\\>" in texts(at)
    assert not [b for b in at.button if (b.key or "").startswith("open_failure")]


def test_a_bad_prompt_keeps_nobody_from_the_benchmark(ships):
    ships(benchmark())
    at = open_page(PAGE, prompt=" ")
    assert not at.exception
    assert len(charts(at)) == 2


def test_files_of_the_server_only_where_its_operator_allows(nothing_ships, monkeypatch, tmp_path):
    (tmp_path / "records.json").write_bytes(MINI_COUNTERFACT.read_bytes())
    monkeypatch.setenv("BACKWARD_LENS_RECORDS", str(tmp_path))
    at = open_page(PAGE)
    at.segmented_control(key="records_source").set_value("server").run()
    assert at.selectbox(key="records_server_file").options == ["records.json"]
    assert not at.exception
