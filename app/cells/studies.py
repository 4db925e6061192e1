"""This session's studies: which there are, which are shown, and a study as a file."""

from __future__ import annotations

import pandas as pd
import streamlit as st

import core
from app.cells.shipped_studies import described_shipped, is_shipped, shipped, shown_at_first
from app.shell.study_jobs import keep_study, known_studies
from app.titles import ANSWERED_TITLES
from app.words import file_name, plain
from core.studies.header import Header


def add_uploaded_study() -> None:
    """Read a study that was downloaded earlier; for the uploader's callback."""
    file = st.session_state.get("study_file")
    st.session_state["study_file_problem"] = ""
    if file is None:
        return
    try:
        keep_study(file.file_id, core.Study.load(file.getvalue()))
    except core.BackwardLensError as error:
        st.session_state["study_file_problem"] = str(error)


def compare(model: str) -> tuple[dict[str, core.Study], core.Study]:
    """Which studies the line pictures hold, by name, and which one the others are about.

    This session's come first; those that are shipped can be added.
    """
    own = known_studies()
    studies = own | shipped()
    names = shown_names(own) | {key: f"{s.header.model} (shipped)" for key, s in shipped().items()}
    first = shown_at_first(own, model)
    opened = f"{len(own)}_{first[-1]}"  # a new study is shown at once
    row = st.columns([3, 3, 2], vertical_alignment="bottom", gap="medium")
    keys = list(studies)
    shown = row[0].multiselect(
        "Studies side by side",
        keys,
        default=first,
        format_func=names.get,
        key=f"compared_{opened}",
        placeholder="Choose at least one study",
    )
    main = row[1].selectbox(
        "Study in the heatmaps",
        keys,
        index=keys.index(first[-1] if own else first[0]),
        format_func=lambda key: described(names[key], studies[key].header),
        key=f"main_study_{opened}",
    )
    answered = row[2].selectbox(
        "Prompts", list(ANSWERED_TITLES), format_func=ANSWERED_TITLES.get, key="study_answered"
    )
    st.session_state["answered"] = answered
    return {names[key]: studies[key] for key in shown or [main]}, studies[main]


def shown_names(own: dict[str, core.Study]) -> dict[str, str]:
    return dict(zip(own, core.study_names(list(own.values())), strict=True))


def described(name: str, header: Header) -> str:
    part = "" if header.finished else ", cancelled"
    return f"{name}: {header.counted} records{part}"


def summary(study: core.Study) -> None:
    header = study.header
    if is_shipped(study):
        st.markdown(plain(described_shipped(study)))
        return
    ended = "" if header.finished else f" It was cancelled after {header.done} of {header.total}."
    left_out = f" {len(header.skipped)} did not fit the model." if header.skipped else ""
    st.markdown(
        plain(
            f"{header.model}: {header.counted} records of {header.records}, seed {header.seed}, in "
            f"{header.seconds:.1f} s. {answers_known(header)}{ended}{left_out}"
        )
    )
    if header.skipped:
        with st.expander(f"{len(header.skipped)} records that did not fit"):
            st.dataframe(pd.DataFrame(header.skipped, columns=["case_id", "reason"]))


def answers_known(header: Header) -> str:
    """How many answers were right before any change, of those of which it is known."""
    if not header.asked:
        return "Whether the model's own answers are right is not known: no prompt says it."
    asked = (
        "them" if header.asked == header.counted else f"the {header.asked} that say what is right"
    )
    return f"The model answered {header.correct} of {asked} correctly before any change."


def downloads(main: core.Study) -> None:
    """The study as one file, to keep and to compare with later."""
    row = st.columns([3, 5], vertical_alignment="bottom")
    row[0].download_button(
        "Download the study (zip)",
        data=main.as_zip,
        file_name=f"study-{file_name(main.header.model)}-{main.header.seed}.zip",
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
