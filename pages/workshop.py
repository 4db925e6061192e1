"""Workshop: the facilitator's page, in the menu of those who came by the facilitator's link."""

import streamlit as st

from app.cells.class_answers import class_answers_cell
from app.cells.facilitator import clock_cell, link_cell, message_cell, overview, work_cell
from app.notebook.cell import page_title
from app.words import plain
from app.workshop.room import room
from app.workshop.visit import visit

here = visit()
if here is None or not here.lead:
    st.stop()
page_title("Who is here, and what are they doing?", plain(here.workshop.title))
board = room().board(here.workshop.id)
overview(here)
left, right = st.columns([3, 2])
with left:
    work_cell(here)
    link_cell(here)
with right:
    message_cell(board)
    clock_cell(board)
class_answers_cell(here)
