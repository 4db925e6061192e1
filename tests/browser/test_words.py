"""What app.words makes of any text, as a browser shows it: letter by letter, and nothing else."""

import re

import pytest

from app.words import JOINER, visible
from tests.browser.conftest import opened
from tests.browser.serving import serving
from tests.browser.test_browser import idle

TEXTS = (
    ":smile: :+1: :streamlit: :material/home: :material_home:",
    ":red[a] :blue-background[b] :small[c] :help[d] :::note",
    "$x^2$ $$y$$ \\(z\\)",
    "**a** _b_ ~~c~~ `d` ``` e",
    "<b>a</b><script>window.hacked = true</script><img src=x onerror=window.hacked=true>",
    "[a](http://elsewhere.invalid) ![b](http://elsewhere.invalid/b.png) <http://elsewhere.invalid>",
    "http://elsewhere.invalid www.elsewhere.com me@elsewhere.com",
    "a -> b <- c <-> d -- e >= f <= g ~= h",
    "# a",
    "- a",
    "1. a",
    "> a",
    "    a",
    "| a | b |",
    "[^1] [ ] a",
    "&lt;b&gt; &#58;",
    "---",
    "a\\",
)
# All texts in the places where the app shows texts: a sentence, a message, a button, a box.
SCRIPT = """
import sys
import streamlit as st
sys.path.insert(0, ROOT)
from app.words import code_span, plain
for i, text in enumerate(TEXTS):
    for kind, shown in (("plain", plain(text)), ("code", code_span(text))):
        with st.container(key=f"{kind}_{i}"):
            st.markdown(shown)
            st.error(f"It is {shown} indeed.")
            st.button(shown, key=f"button_{kind}_{i}")
            st.checkbox(shown, key=f"box_{kind}_{i}")
"""
MARKUP = "a, img, b, em, strong, del, h1, ul, ol, blockquote, table, pre, hr, .katex, [role=img]"


@pytest.fixture(scope="module")
def shown(windows, tmp_path_factory, request):
    """A page of their own with all texts, each shown in both ways."""
    page_file = tmp_path_factory.mktemp("words") / "page.py"
    script = SCRIPT.replace("ROOT", repr(str(request.config.rootpath)))
    page_file.write_text(script.replace("TEXTS", repr(TEXTS)), encoding="utf-8")
    start = f"import sys; sys.argv = ['streamlit', 'run', {str(page_file)!r}]; "
    with (
        serving(start + "from streamlit.web.cli import main; main()") as url,
        opened(windows["light"]) as page,
    ):
        page.goto(url)
        idle(page)
        page.locator(f".st-key-code_{len(TEXTS) - 1} input").wait_for(state="attached")
        yield page


@pytest.mark.parametrize("kind", ["plain", "code"])
@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_a_text_is_shown_letter_by_letter(shown, number, kind):
    parts = shown.locator(f".st-key-{kind}_{number} [data-testid=stMarkdownContainer]")
    text = visible(TEXTS[number]) if kind == "code" else TEXTS[number]
    assert parts.count() == 4
    for seen in parts.all_text_contents():
        seen = seen.replace(JOINER, "").replace("\u00a0", " ")
        assert re.sub(r"^It is | indeed\.$", "", seen.strip()).strip() == text.strip()
    assert shown.locator(f".st-key-{kind}_{number}").locator(MARKUP).count() == 0
    assert shown.evaluate("window.hacked") is None
