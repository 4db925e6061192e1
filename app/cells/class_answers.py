"""What a workshop's participants answered in the lessons, for their facilitator."""

from __future__ import annotations

import streamlit as st

from app.lessons.reader import lessons
from app.notebook.csv import as_csv
from app.words import count, file_name, plain
from app.workshop.answers import AFTER, BEFORE, CHECK, answers_of, as_table, progress_table
from app.workshop.visit import Visit

EVERY = 4.0  # seconds from one look at the answers to the next
ROW = 35  # pixels
MOST_ROWS = 12  # in sight; more can be scrolled to


def class_answers_cell(here: Visit) -> None:
    """Who has done which lesson, drawn anew by itself, and all answers as one file."""

    @st.fragment(run_every=EVERY)
    def look() -> None:
        answers = answers_of(here.workshop.id).all()
        if not answers:
            st.markdown("Nobody has answered anything yet.")
            return
        known = lessons()
        titles = {unit.id: f"{known.number(unit)}" for unit in known.units}
        table = progress_table(answers, titles)
        checked = sum(answer.kind == CHECK for answer in answers)
        written = sum(bool(a.answer) for a in answers if a.kind != CHECK)
        both = {a.who for a in answers if a.kind == BEFORE and a.answer}
        both &= {a.who for a in answers if a.kind == AFTER and a.answer}
        st.markdown(
            f"{count(len(table), 'participant')}, {count(checked, 'checked answer')}, "
            f"{count(written, 'text')}; before and after: {len(both)}."
        )
        st.dataframe(
            table,
            hide_index=True,
            column_config={
                titles[unit.id]: st.column_config.TextColumn(help=plain(unit.title), width="small")
                for unit in known.units
            },
            row_height=ROW,
            height=ROW * (1 + min(len(table), MOST_ROWS)) + 3,
            key="class_progress",
        )
        st.caption("A column is a lesson. ✓ right · … tried · empty: not yet begun")

    with st.container(border=True, key="cell_answers"):
        st.markdown(
            "**5 · What was answered in the lessons**  \nWho has done which lesson. The file has "
            "every checked answer and every text, the question before and after the lessons too."
        )
        look()
        st.download_button(
            "Download CSV",
            data=lambda: as_csv(as_table(answers_of(here.workshop.id).all())),
            file_name=f"{file_name(here.workshop.title)}-answers.csv",
            mime="text/csv",
            on_click="ignore",
            key="class_answers_csv",
        )
