"""The precision in the sidebar: said, chosen, kept in the link, and part of what caches know."""

import pytest
from streamlit.testing.v1 import AppTest

from app.notebook.code import program
from app.shell.models import load, model_key, short_name, split_key
from app.shell.precision_field import PRECISION
from tests.pages.test_pages import charts, open_page, texts


def test_a_key_is_a_name_and_a_precision():
    assert split_key(model_key("gpt2", "int8")) == ("gpt2", "int8")
    assert model_key("gpt2", "") == "gpt2"
    assert split_key("/home/me@work/gpt2") == ("/home/me@work/gpt2", "")
    assert short_name("gpt2@int8") == "GPT-2 small"
    assert 'load_model("gpt2", dtype="int8")' in program("gpt2@int8", ["answers(model)"])


def test_the_precision_is_chosen_and_kept_in_the_link():
    app = AppTest.from_file("../../app/main.py", default_timeout=60).run()
    assert not app.exception
    assert app.session_state["request"].model.precision.name == "float32"
    app.radio(PRECISION).set_value("int8").run()
    assert not app.exception
    request = app.session_state["request"]
    assert request.model.precision.name == "int8"
    assert request.model is not load("tiny-gpt2")
    assert app.query_params["precision"] in ("int8", ["int8"])


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_the_lens_of_a_compact_model_is_drawn_and_checked(precision):
    at = open_page("backward_lens", model="tiny-llama2", precision=precision)
    assert not at.exception
    assert len(charts(at)) == 2
    assert "✓ Checked against autograd" in texts(at)
