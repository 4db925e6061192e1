"""The pictures of one study, and of several side by side."""

from __future__ import annotations

import pandas as pd
import streamlit as st

import core
from app.cells.controls import SEGMENT_TITLES, SEGMENT_WIDTH
from app.cells.norms import MODULE_TITLES
from app.cells.tooltips import is_dark, short_number
from app.charts.curves import MATRIX_TITLES
from app.charts.grid import cosine_table
from app.charts.studies import relative_rank_by_layer, share_by_layer
from app.charts.token_table import Quantity, token_table
from app.findings import lenses as findings
from app.notebook.cell import cell, literal
from app.words import plain
from app.work.job import session_job
from core.studies.counterfact import MINI_COUNTERFACT
from core.studies.header import Header

STUDIES = "studies"  # in the session: token or upload id -> Study, the newest last
MOST_STUDIES = 6
ANSWERED = {"all": "All", "correctly": "Answered correctly", "wrongly": "Answered wrongly"}
VECTORS = {"ff2": "Signal δ of FF2", "ff1": "Input x of FF1"}
WORDS = {"target": "The target", "answer": "The model's answer"}


def known_studies() -> dict[str, core.Study]:
    """This session's studies, the one that has just ended included."""
    studies = st.session_state.setdefault(STUDIES, {})
    job = session_job()
    if job is not None and not job.running and job.result is not None and job.result.header.counted:
        studies[job.token] = job.result
    while len(studies) > MOST_STUDIES:
        studies.pop(next(iter(studies)))
    return studies


def add_uploaded_study() -> None:
    """Read a study that was downloaded earlier; for the uploader's callback."""
    file = st.session_state.get("study_file")
    st.session_state["study_file_problem"] = ""
    if file is None:
        return
    try:
        st.session_state[STUDIES][file.file_id] = core.Study.load(file.getvalue())
    except core.PromptError as error:
        st.session_state["study_file_problem"] = str(error)


def compare(studies: dict[str, core.Study]) -> tuple[list[core.Study], core.Study]:
    """Which studies the line pictures hold, and which one the others are about."""
    names = dict(zip(studies, core.study_names(list(studies.values())), strict=True))
    row = st.columns([3, 3, 2], vertical_alignment="bottom", gap="medium")
    keys = list(studies)
    shown = row[0].multiselect(
        "Studies side by side",
        keys,
        default=keys,
        format_func=names.get,
        key=f"compared_{len(keys)}_{keys[-1]}",
        placeholder="Choose at least one study",
    )
    main = row[1].selectbox(
        "Study in the heatmaps",
        keys,
        index=len(keys) - 1,
        format_func=lambda key: described(names[key], studies[key].header),
        key=f"main_study_{len(keys)}_{keys[-1]}",
    )
    answered = row[2].selectbox(
        "Prompts", list(ANSWERED), format_func=ANSWERED.get, key="study_answered"
    )
    st.session_state["answered"] = answered
    return [studies[key] for key in shown or [main]], studies[main]


def described(name: str, header: Header) -> str:
    part = "" if header.finished else ", cancelled"
    return f"{name}: {header.counted} records{part}"


def summary(study: core.Study) -> None:
    header = study.header
    ended = "" if header.finished else f" It was cancelled after {header.done} of {header.total}."
    left_out = f" {len(header.skipped)} did not fit the model." if header.skipped else ""
    st.markdown(
        plain(
            f"{header.model}: {header.counted} records of {header.records}, seed {header.seed}, in "
            f"{header.seconds:.1f} s. The model answered {header.correct} of them correctly before "
            f"any change.{ended}{left_out}"
        )
    )
    if header.skipped:
        with st.expander(f"{len(header.skipped)} records that did not fit"):
            st.dataframe(pd.DataFrame(header.skipped, columns=["case_id", "reason"]))


def study_code(study: core.Study, table: str) -> str:
    """Python that makes this study and its table anew."""
    header = study.header
    own = header.records == MINI_COUNTERFACT.name
    path = f"data/{header.records}" if own else header.records
    return "\n".join(
        [
            "from core import load_counterfact, load_model, study",
            "",
            f"model = load_model({literal(header.model)})",
            f"records = load_counterfact({literal(path)})",
            f"result = study(model, records, limit={header.limit}, seed={header.seed})",
            f"table = result.{table}",
        ]
    )


def picture_cells(studies: list[core.Study], main: core.Study) -> None:
    answered = st.session_state["answered"]
    full_rank_cell(1, studies, main, answered)
    norms_cell(2, main, answered)
    ranks_cell(3, studies, main, answered)
    cosine_cell(4, main, answered)


def nothing(place: object, answered: str) -> None:
    place.picture.info(f"No prompt of this study was {ANSWERED[answered].lower()}.")


def full_rank_cell(number: int, studies: list[core.Study], main: core.Study, answered: str) -> None:
    place = cell(
        number,
        "Does every token add a direction?",
        "How many prompts' gradients have as many independent directions as the prompt has tokens, "
        "layer by layer. In the last layer only the last token learns: the rank is 1. (Figure 3)",
        key="study_rank",
        original=True,
    )
    matrix = place.controls.segmented_control(
        "Matrix",
        list(main.header.mlp_matrices),
        format_func=MATRIX_TITLES.get,
        default="ff1",
        required=True,
        key="study_rank_matrix",
    )
    table = core.side_by_side(studies, "gradient_ranks")
    table = table[(table["answered"] == answered) & (table["matrix"] == matrix) & (table["n"] > 0)]
    if table.empty:
        nothing(place, answered)
        return
    place.show(
        findings.full_rank_finding(main, matrix, answered),
        share_by_layer(table, dark=is_dark()),
        "Line chart of the share of prompts with full gradient rank by layer",
        fit=True,
    )
    exceptions = main.exceptions
    with place.controls.expander(f"{len(exceptions)} exceptions"):
        st.dataframe(exceptions, hide_index=True)
    place.finish(study_code(main, "gradient_ranks"), main.gradient_ranks)


def segment_table(table: pd.DataFrame, column: str, quantity: Quantity, title: str) -> object:
    """A heatmap of one study's means, layer by segment."""
    written = "{:,.0f}".format if quantity.palette == "rank" else short_number
    empty = table["n"] == 0
    data = table.assign(
        position=[core.SEGMENTS.index(name) for name in table["segment"]],
        token=table["segment"],
        word=table[column].map(written),
        empty=empty,
    )
    data = data[data.groupby("segment")["n"].transform("sum") > 0]
    places = {p: i for i, p in enumerate(sorted(data["position"].unique()))}
    data["position"] = data["position"].map(places)
    tooltips = {
        "Layer": data["layer"].astype(str),
        "Segment": data["segment"],
        title: data[column].map("{:.5g}".format),
        "Standard error": data[f"{column}_error"].map("{:.2g}".format),
        "Prompts": data["n"].astype(str),
    }
    return token_table(
        data,
        "word",
        quantity,
        tooltips,
        dark=is_dark(),
        blank="empty",
        least_width=SEGMENT_WIDTH,
        x_title="Segment of the prompt",
        names=SEGMENT_TITLES,
    )


def norms_cell(number: int, main: core.Study, answered: str) -> None:
    place = cell(
        number,
        "Where the signal is strong",
        "The mean strength of the learning signal δ, and of the input x, by layer and by place in "
        "the prompt as seen from its subject. (Figures 5, 16, 17)",
        key="study_norms",
        original=True,
    )
    module = place.controls.segmented_control(
        "Part of the model",
        [name for name in MODULE_TITLES if name in main.header.modules],
        format_func=MODULE_TITLES.get,
        default="ff2",
        required=True,
        key="study_module",
    )
    column = place.controls.segmented_control(
        "Quantity",
        ["norm", "input_norm"],
        format_func={"norm": "Signal ‖δ‖", "input_norm": "Input ‖x‖"}.get,
        default="norm",
        required=True,
        key="study_quantity",
    )
    norms = main.norms
    table = norms[(norms["answered"] == answered) & (norms["module"] == module)]
    if not table["n"].any():
        nothing(place, answered)
        return
    title = "‖δ‖, L2" if column == "norm" else "‖x‖, L2"
    place.show(
        findings.study_norm_finding(table, column, MODULE_TITLES[module]),
        segment_table(table, column, Quantity(column, column, f"Mean {title}"), title),
        f"Heatmap of the mean {title} by layer and segment of the prompt",
        fit=False,
    )
    place.finish(study_code(main, "norms"), norms)


def ranks_cell(number: int, studies: list[core.Study], main: core.Study, answered: str) -> None:
    place = cell(
        number,
        "Where the target and the answer stand",
        "Above: mean rank by layer and place in the prompt. Below: the last prompt token, as a "
        "part of the vocabulary. The update subtracts δ: the bottom of δ is what it pushes "
        "towards. (Figures 6, 18-21)",
        key="study_ranks",
        original=True,
    )
    row = place.controls.columns(2, vertical_alignment="bottom")
    matrix = row[0].segmented_control(
        "Vector",
        list(VECTORS),
        format_func=VECTORS.get,
        default="ff2",
        required=True,
        key="study_vector",
    )
    word = row[1].segmented_control(
        "Word",
        list(WORDS),
        format_func=WORDS.get,
        default="target",
        required=True,
        key="study_word",
    )
    everything = main.token_ranks
    table = everything[(everything["answered"] == answered) & (everything["matrix"] == matrix)]
    if not table["n"].any():
        nothing(place, answered)
        return
    symbol = "δ of FF2" if matrix == "ff2" else "x of FF1"
    title = f"Rank of the {word} in {symbol}"
    quantity = Quantity(
        f"{word}_rank",
        "rank",
        f"Mean {title[0].lower()}{title[1:]}: 0 = most probable",
        domain=(0, main.header.vocabulary_size - 1),
    )
    place.show(
        findings.study_rank_finding(table, word, symbol, main.header.vocabulary_size),
        segment_table(table, f"{word}_rank", quantity, title),
        f"Heatmap of the mean rank of the {word} by layer and segment",
        fit=False,
    )
    lines = core.side_by_side(studies, "token_ranks")
    lines = lines[
        (lines["answered"] == answered)
        & (lines["matrix"] == matrix)
        & (lines["segment"] == core.SEGMENTS[-1])
    ]
    place.draw(
        relative_rank_by_layer(lines, word, f"{title}, last token", dark=is_dark()),
        f"Line chart of the {word}'s mean rank at the last token by layer, a line a study",
        name="last_token",
        fit=True,
    )
    place.finish(study_code(main, "token_ranks"), everything)


def cosine_cell(number: int, main: core.Study, answered: str) -> None:
    place = cell(
        number,
        "Do the layers learn the same?",
        "The mean cosine between layers of FF2's signal δ at the last prompt token: 1 is the same "
        "direction, 0 nothing in common. (Figure 23)",
        key="study_cosine",
        original=True,
    )
    everything = main.cosines
    table = everything[everything["answered"] == answered]
    if not table["n"].any():
        nothing(place, answered)
        return
    place.show(
        findings.similarity_finding(table, "the last token"),
        cosine_table(table, dark=is_dark()),
        "Heatmap of the mean cosine between layers",
        fit=False,
    )
    place.finish(study_code(main, "cosines"), everything)


def downloads(main: core.Study) -> None:
    """The study as one file, to keep and to compare with later."""
    row = st.columns([3, 5], vertical_alignment="bottom")
    row[0].download_button(
        "Download the study (zip)",
        data=main.as_zip,
        file_name=f"study-{main.header.model.replace('/', '-')}-{main.header.seed}.zip",
        mime="application/zip",
        on_click="ignore",
        key="study_zip",
    )
    row[1].file_uploader(
        "Compare with an earlier study: its zip file",
        type=["zip"],
        key="study_file",
        on_change=add_uploaded_study,
    )
    problem = st.session_state.get("study_file_problem")
    if problem:
        st.error(plain(problem))
