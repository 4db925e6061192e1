"""Every page in Streamlit's own test harness, with both built-in models, good input and bad."""

import json
import re
import shutil
import threading

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

import core
from app.settings import PROMPT_TOKENS
from app.shell.examples import EXAMPLES
from app.shell.models import OTHER, load
from app.work.job import Job
from app.work.sessions import JOBS
from core import ModelError, load_model
from core.model.catalog import BUILTIN, BUILTIN_FOLDER
from tests.conftest import PROMPT, TARGET
from tests.core.gradients.test_lens import silenced

PAGES = {
    "start": "What would the model learn?",
    "lessons": "Where do I begin?",
    "forward_lens": "What does the model think, layer by layer?",
    "backward_lens": "What would the model change?",
    "gradient_rank": "How many directions does the change have?",
    "where_learning_happens": "Where does learning happen?",
    "imprint_and_shift": "How does one step store the target?",
    "neurons": "Which neurons would change, and towards what?",
    "across_layers": "Do all layers learn the same thing?",
    "compare": "What differs?",
}
CHARTS = {
    "start": 1,
    "lessons": 1,
    "forward_lens": 1,
    "backward_lens": 2,
    "gradient_rank": 2,
    "where_learning_happens": 3,
    "imprint_and_shift": 4,
    "neurons": 3,
    "across_layers": 4,
    "compare": 8,
}


def open_page(page: str = "start", **inputs: str) -> AppTest:
    """The app at a page with a model (name or path), prompt and target."""
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    query = {"model": "tiny-gpt2", "prompt": PROMPT, "target": TARGET} | inputs
    for key, value in query.items():
        at.query_params[key] = value
    if page != "start":
        at.switch_page(f"../pages/{page}.py")
    return at.run()


def job_of(at: AppTest, slot: str) -> Job:
    """The session's job in a slot, running or over."""
    return at.session_state[JOBS][slot]


def after(at: AppTest, slot: str) -> AppTest:
    """The page once the session's job has ended."""
    job_of(at, slot).thread.join(60)
    assert job_of(at, slot).over
    return at.run()


def gated(monkeypatch: pytest.MonkeyPatch, name: str) -> threading.Semaphore:
    """Work of core's that goes on, step by step, only as far as the test lets it."""
    steps, real = threading.Semaphore(0), getattr(core, name)

    def waiting(*args, on_step, **options):
        def step(done, total):
            on_step(done, total)
            steps.acquire(timeout=60)

        return real(*args, on_step=step, **options)

    monkeypatch.setattr(f"core.{name}", waiting)
    return steps


def charts(at: AppTest) -> list[dict]:
    return [json.loads(el.proto.spec) for el in at.get("vega_lite_chart")]


def chart_data(at: AppTest, index: int = 0):
    proto = at.get("vega_lite_chart")[index].proto
    return pa.ipc.open_stream(proto.datasets[0].data.data).read_all().to_pandas()


def texts(at: AppTest) -> str:
    return "\n".join(m.value for m in [*at.markdown, *at.caption, *at.info, *at.error])


@pytest.mark.parametrize("model", BUILTIN)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_its_pictures(page, model):
    at = open_page(page, model=model)
    assert not at.exception
    assert not at.error
    assert at.header[0].value == PAGES[page]
    assert len(charts(at)) == CHARTS[page]
    buttons = [button.proto.label for button in at.get("download_button")]
    assert buttons.count("Download CSV") == len(at.expander) >= 1
    for form in (".png", ".svg"):
        assert sum(label.endswith(form) for label in buttons) == CHARTS[page]


@pytest.mark.parametrize("page", PAGES)
def test_show_code_reproduces_the_cell(page):
    at = open_page(page)
    assert at.code
    for block in at.code:
        scope: dict = {}
        exec(block.value, scope)
        assert len(scope["table"]) > 0
        assert {"layer", "token", "stage", "output", "neuron"} & set(scope["table"].columns)


def test_the_table_shows_the_prompts_tokens_and_cores_words():
    at = open_page("backward_lens")
    data = chart_data(at)
    model = load("tiny-gpt2")
    assert data["position"].nunique() == len(model.encode(PROMPT))
    assert data["layer"].nunique() == model.n_layers
    last = data[data["position"] == data["position"].max()]
    assert (last["text"] == "·Paris").mean() >= 0.5
    assert (last["marked"] == (last["text"] == "·Paris")).all()
    assert "pushes the output **towards** that word" in texts(at)


def test_controls_change_their_picture():
    at = open_page("backward_lens")
    at.segmented_control(key="backward_words").set_value("both").run()
    assert all(" \\ " in text or text in "–…" or "…" in text for text in chart_data(at)["text"])
    at.segmented_control(key="backward_words").set_value("bottom").run()
    at.toggle(key="backward_normalised").set_value(True).run()
    assert "normalize=True" in at.code[0].value

    at = open_page("forward_lens")
    for colour in ("entropy", "target_rank", "probability"):
        at.segmented_control(key="colour").set_value(colour).run()
        assert not at.exception
    at = open_page("where_learning_happens", model="tiny-llama2")
    for module in ("attn_in", "attn_out", "ff1", "gate", "block", "ff2"):
        at.segmented_control(key="module").set_value(module).run()
        assert not at.exception
    at = open_page("gradient_rank")
    assert len(charts(at)[0]["hconcat"]) == 2
    at.segmented_control(key="rank_matrix").set_value("ff2").run()
    assert len(charts(at)[0]["hconcat"]) == 1
    whole = json.dumps(charts(at)[0])
    at.multiselect[0].set_value([2, 5]).run()
    assert json.dumps(charts(at)[0]) != whole
    assert not at.exception


def test_controls_of_the_step_change_its_picture():
    at = open_page("imprint_and_shift", model="tiny-llama2")
    for matrix in ("ff1", "gate", "ff2"):
        at.segmented_control(key="imprint_matrix").set_value(matrix).run()
        assert not at.exception
        assert f'matrix="{matrix}"' in at.code[0].value
    at.toggle(key="imprint_all").set_value(True).run()
    assert "learned from all prompt tokens" in texts(at)
    at.slider(key="imprint_layer_8").set_value(7).run()
    at.selectbox(key="imprint_token_5").set_value(1).run()
    at.toggle(key="imprint_all").set_value(False).run()
    assert "Nothing changes" in texts(at)  # in the last layer only the last token learns
    assert not at.exception


CHOICES = {
    "start": "start_words",
    "forward_lens": "colour",
    "gradient_rank": "rank_matrix",
    "where_learning_happens": "module",
    "imprint_and_shift": "imprint_matrix",
    "neurons": "neurons_matrix",
    "across_layers": "ranks_vector",
}


@pytest.mark.parametrize("value", ["", "nothing of the kind"])
@pytest.mark.parametrize("page", CHOICES)
def test_a_link_that_chooses_nothing_shows_the_usual(page, value):
    at = open_page(page, **{CHOICES[page]: value})
    assert not at.exception
    assert charts(at) == charts(open_page(page))


def test_a_larger_step_turns_further():
    at = open_page("imprint_and_shift")
    shifts = []
    for step in (0.001, 1.0):
        at.select_slider(key="imprint_step").set_value(step).run()
        scope: dict = {}
        exec(at.code[0].value, scope)
        rows = scope["table"].set_index(["stage", "time"])
        shifts.append(rows.loc[("mlp", "after"), "target_probability"])
    assert shifts[0] < shifts[1]


def test_the_largest_neuron_is_shown_until_another_is_chosen():
    at = open_page("neurons")
    key = "neuron_512"
    assert at.dataframe[0].value["Neuron"][0] == str(at.number_input(key=key).value)
    at.number_input(key=key).set_value(7).run()
    assert "Neuron 7 is number" in texts(at)
    assert "units=(7,)" in at.code[2].value
    assert not at.exception


def test_the_range_of_neurons_zooms_in():
    at = open_page("neurons")
    assert "One neuron of every 5" in texts(at)
    assert chart_data(at, 0)["neuron"].nunique() == 103
    at.slider(key="neuron_range_512").set_value((10, 29)).run()
    assert "Every neuron of this range" in texts(at)
    assert sorted(chart_data(at, 0)["order"].unique()) == list(range(10, 30))


def test_tokens_or_segments():
    at = open_page("across_layers", prompt="The mother tongue of Danielle Darrieux is")
    at.segmented_control(key="across_norms_columns").set_value("segments").run()
    at.segmented_control(key="ranks_columns").set_value("segments").run()
    assert not at.exception
    names = set(chart_data(at, 2)["tip1"])
    assert "6. further tokens" not in names
    assert any("last subject token" in name.replace("·", " ") for name in names)
    assert "segment_means" in at.code[1].value
    for vector in ("ff1", "ff2"):
        for word in ("answer", "target"):
            at.segmented_control(key="ranks_vector").set_value(vector).run()
            at.segmented_control(key="ranks_word").set_value(word).run()
            assert not at.exception
    at.selectbox(key="similarity_token_13").set_value(0).run()
    assert not at.exception


def test_the_app_proposes_a_subject_and_keeps_the_users_own():
    at = open_page("across_layers")
    assert at.text_input(key="subject").value == "Obama"
    at.text_input(key="prompt").set_value("Jack Dorsey founded").run()
    assert at.text_input(key="subject").value == "Jack Dorsey"
    at.text_input(key="subject").set_value("Dorsey").run()
    at.text_input(key="prompt").set_value("Dorsey and Obama grew up in").run()
    assert at.text_input(key="subject").value == "Dorsey"
    at.text_input(key="prompt").set_value("Pikachu is a type of").run()
    assert at.text_input(key="subject").value == "Dorsey"
    assert "is not in the prompt" in at.warning[0].value
    assert len(charts(at)) == CHARTS["across_layers"]
    at.segmented_control(key="ranks_columns").set_value("segments").run()
    assert "Segments need a subject" in texts(at)
    at.button(key="use_subject").click().run()
    assert at.text_input(key="subject").value == "Pikachu"
    assert not at.warning
    at.text_input(key="subject").set_value("").run()
    assert at.text_input(key="subject").value == "Pikachu"


def test_inputs_survive_a_change_of_page():
    at = open_page()
    at.text_input(key="prompt").set_value("The capital of France is").run()
    at.text_input(key="target").set_value("Rome").run()
    for page in PAGES:
        at.switch_page(f"../pages/{page}.py").run()
        assert at.text_input(key="prompt").value == "The capital of France is"
        assert at.text_input(key="target").value == "Rome"
        assert not at.exception


def test_what_is_typed_stands_in_the_address_though_the_run_came_with_the_old_one():
    """As the browser may send it: a field's new text with the address from before."""
    at = open_page("across_layers", prompt="Obama grew up in", target="Paris", subject="Obama")
    written = {"prompt": "Lionel Messi plays for", "subject": "Lionel Messi", "target": "Rome <b>"}
    for key, text in written.items():
        at.text_input(key=key).set_value(text).run()
    for key, text in written.items():
        assert at.text_input(key=key).value == text
        assert at.query_params[key] in (text, [text])
    assert at.query_params["model"] in ("tiny-gpt2", ["tiny-gpt2"])


def test_a_first_visit_opens_on_a_picture():
    at = AppTest.from_file("../../app/main.py", default_timeout=60).run()
    assert not at.exception
    assert at.text_input(key="prompt").value == EXAMPLES[0].prompt
    assert at.text_input(key="target").value == EXAMPLES[0].target
    assert len(charts(at)) == 1


@pytest.mark.parametrize("index", range(3))
def test_the_start_pages_examples(index):
    at = open_page(prompt="x", target="y")
    at.button(key=f"try_{index}").click().run()
    assert at.text_input(key="prompt").value == EXAMPLES[index].prompt
    assert at.text_input(key="target").value == EXAMPLES[index].target
    assert not at.exception


def test_the_example_picker_fills_the_fields_and_empties_itself():
    at = open_page("forward_lens")
    at.selectbox(key="example").set_value(4).run()
    assert at.text_input(key="prompt").value == "Pikachu is a type of"
    assert at.text_input(key="target").value == "music"
    assert at.selectbox(key="example").value is None


BAD = {
    "empty prompt": ({"prompt": " "}, "prompt is only spaces"),
    "empty target": ({"target": " "}, "target is only spaces"),
    "too many words": ({"prompt": "word " * 700}, "characters|tokens long"),
    "too many tokens": ({"prompt": "a " * 120}, "at most 96"),
    "endless target": ({"target": "x" * 500}, "500 characters"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("page", PAGES)
def test_bad_input_gets_a_sentence_and_is_kept(page, case):
    inputs, message = BAD[case]
    at = open_page(page, **inputs)
    assert not at.exception
    assert not charts(at)
    assert re.search(message, at.error[0].value.replace("\\", ""))
    assert "Nothing to show yet" in at.info[0].value
    for key, value in inputs.items():
        assert at.text_input(key=key).value.strip() == value.strip()


ODD = [
    "🙂 emoji 🙂",
    "שלום עולם",
    "مرحبا بالعالم",
    "<script>alert(1)</script>",
    "a`b*c_d$e$ :smile:",
    "'\"\\ {curly} [x](y)",
    "x",
    "Obama grew up in ",
    "0.5 a.b[0]",
    "名前は",
]


@pytest.mark.parametrize("number", range(len(ODD)))
@pytest.mark.parametrize("page", PAGES)
def test_any_text_is_analysed_and_shown_as_text(page, number):
    """Each odd text once as the prompt and once as the target of another."""
    at = open_page(page, prompt=ODD[number], target=ODD[number - 1])
    assert not at.exception
    assert not at.error
    assert len(charts(at)) == CHARTS[page]


def test_a_long_target_is_explained_under_its_field():
    at = open_page("backward_lens", target="Paris and Rome and Athens and Cairo")
    assert not at.exception
    assert "7 tokens. The first one, `·Paris`" in texts(at)


def test_a_one_token_prompt_on_every_page():
    for page in PAGES:
        at = open_page(page, prompt="Obama")
        assert not at.exception
        assert len(charts(at)) == CHARTS[page]


def test_a_target_that_the_model_already_says():
    at = open_page("forward_lens", target="Hawaii")
    assert "the model knows it already" in texts(at)


def test_a_local_folder(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(BUILTIN_FOLDER / "tiny-gpt2", folder)
    at = open_page("backward_lens", model=str(folder))
    assert at.selectbox(key="model_choice").value == OTHER
    assert at.text_input(key="other_model").value == str(folder)
    assert len(charts(at)) == 2
    assert at.query_params["model"] == str(folder)


BAD_MODELS = {
    "/no/such/folder": "There is no folder",
    "tests": "holds no model",
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_folders_that_are_no_model(name, monkeypatch):
    at = open_page("start", model=name)
    assert not at.exception
    assert BAD_MODELS[name] in at.error[0].value.replace("\\", "")
    assert not charts(at)
    assert at.text_input(key="other_model").value == name


def test_corrupt_weights_get_a_sentence(tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(BUILTIN_FOLDER / "tiny-gpt2", folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    at = open_page("start", model=str(folder))
    assert not at.exception
    assert "damaged" in at.error[0].value


def test_too_little_memory_gets_a_sentence(tmp_path, monkeypatch):
    folder = tmp_path / "large"
    shutil.copytree(BUILTIN_FOLDER / "tiny-gpt2", folder)
    monkeypatch.setattr("core.model.loading.free_memory", lambda _: 1000)
    at = open_page("start", model=str(folder))
    assert not at.exception
    assert "MB of memory, in int8" in at.error[0].value.replace("\\", "")


def test_a_model_that_is_not_here_is_one_click_away(monkeypatch):
    monkeypatch.setattr("core.is_on_this_machine", lambda name: name in BUILTIN)
    started = []
    monkeypatch.setattr("app.shell.sidebar.start_download", started.append)
    at = open_page("start", model="gpt2")
    assert not at.exception
    assert "not on this machine" in texts(at)
    button = at.button(key="download")
    assert "548 MB" in button.label
    button.click().run()
    assert started == ["gpt2"]
    at.button(key="use_builtin").click().run()
    assert at.selectbox(key="model_choice").value == "tiny-gpt2"
    assert len(charts(at)) == 1


def test_a_failed_download_says_why(monkeypatch):
    from app.shell.models import downloads, start_download

    monkeypatch.setattr("core.is_on_this_machine", lambda name: name in BUILTIN)

    def refuse(name, on_progress):
        raise ModelError(f"The Hugging Face hub has no model {name!r} that you may read.")

    monkeypatch.setattr("core.download_model", refuse)
    start_download("nobody/nothing")
    downloads()["nobody/nothing"].thread.join(10)
    at = open_page("start", model="nobody/nothing")
    assert not at.exception
    assert "has no model" in at.error[0].value
    assert at.text_input(key="other_model").value == "nobody/nothing"


def test_a_running_download_shows_its_size_and_can_be_cancelled(monkeypatch):
    from app.shell.models import downloads, start_download

    monkeypatch.setattr("core.is_on_this_machine", lambda name: name in BUILTIN)
    reported, go_on = threading.Event(), threading.Event()

    def slow(name, on_progress):
        on_progress(137_000_000, 548_000_000)
        reported.set()
        go_on.wait(30)
        on_progress(138_000_000, 548_000_000)

    monkeypatch.setattr("core.download_model", slow)
    start_download("gpt2")
    assert reported.wait(10)
    at = open_page("start", model="gpt2")
    assert not at.exception
    bar = at.get("progress")[0].proto
    assert bar.text.startswith("Downloading GPT\\-2 small: 137 MB of 548 MB")
    assert bar.value == 25
    at.button(key="cancel_download").click().run()
    go_on.set()
    downloads()["gpt2"].thread.join(10)
    assert downloads()["gpt2"].ended_early
    assert "What has arrived is kept" in texts(at.run())
    downloads().clear()


def test_operators_can_close_folders_and_downloads(monkeypatch, tmp_path):
    monkeypatch.setenv("BACKWARD_LENS_FOLDERS", str(tmp_path))
    at = open_page("start", model=str(BUILTIN_FOLDER / "tiny-gpt2"))
    assert "only where its operator allows it" in at.error[0].value
    monkeypatch.setattr("core.is_on_this_machine", lambda name: name in BUILTIN)
    monkeypatch.setenv("BACKWARD_LENS_DOWNLOADS", "off")
    at = open_page("start", model="gpt2")
    assert "downloads off" in at.error[0].value
    assert not at.get("progress")


def test_the_apps_limit_on_prompts(monkeypatch):
    assert load_model("tiny-gpt2").context_length < PROMPT_TOKENS.value
    monkeypatch.setenv("BACKWARD_LENS_PROMPT_TOKENS", "3")
    at = open_page()
    assert "4 tokens long; the pages show at most 3" in at.error[0].value.replace("\\", "")


def test_a_model_that_fails_while_it_runs_gets_a_sentence(monkeypatch):
    def fail(*_, **__):
        raise ModelError("tiny-gpt2 ran out of memory on this prompt.")

    monkeypatch.setattr("core.trace", fail)
    at = open_page("backward_lens", prompt="A prompt that nobody asked before")
    assert not at.exception
    assert "ran out of memory" in at.error[0].value
    assert at.text_input(key="prompt").value == "A prompt that nobody asked before"


def test_a_prompt_that_ends_with_a_space_is_pointed_out():
    assert "ends with a space" in texts(open_page(prompt="Obama grew up in "))
    assert "ends with a space" not in texts(open_page())


def elements(block):
    """What a page shows, from top to bottom."""
    for child in block.children.values():
        yield from elements(child) if hasattr(child, "children") else [child]


def test_the_mark_stands_under_the_first_finding_and_above_its_picture():
    at = open_page("backward_lens")
    shown = list(elements(at.main))
    marks = [i for i, e in enumerate(shown) if "Checked against" in str(getattr(e, "value", ""))]
    first_chart = [e.type for e in shown].index("vega_lite_chart")
    assert marks == [first_chart - 1]
    assert "strongest signal" in shown[first_chart - 2].value


@pytest.mark.parametrize("position", [1, -1])
def test_vectors_of_zeros_have_no_words_on_any_page(tmp_path, position):
    model = silenced(position)
    model.network.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    at = open_page("forward_lens", model=str(tmp_path))
    assert not at.exception
    data = chart_data(at)
    silent = (
        data["position"] == len(model.encode(PROMPT)) + position
        if position < 0
        else (data["position"] == position)
    )
    assert set(data.loc[silent, "text"]) == {"–"}
    assert data["hidden"].equals(silent)
    assert not data.loc[silent, "marked"].any()
    assert "“–” is a vector of zeros: it has no words" in texts(at)
    assert ("ends at a vector of zeros" in texts(at)) == (position == -1)
    for colour in ("entropy", "target_rank"):
        at.segmented_control(key="colour").set_value(colour).run()
        assert not at.exception
    at = open_page("imprint_and_shift", model=str(tmp_path))
    assert not at.exception
    # A token of zeros learns nothing; at another, an MLP of zeros says nothing before the step.
    expected = "Nothing changes" if position == -1 else "a vector of zeros, which has no words"
    assert expected in texts(at)
    assert "“–” is a vector of zeros" not in texts(open_page("forward_lens"))
