"""The ledger in the sidebar: edits on and off, undo, rename, download, upload, export."""

from __future__ import annotations

import streamlit as st

import core
from app.settings import EDIT_BYTES, EXPORTS
from app.shell import ledger
from app.shell.health_field import health_field, visible_name
from app.words import count, file_name, plain, shortened


def ledger_field(model: core.LanguageModel, model_key: str) -> None:
    """This session's edits, how well the model is with them, and a place to add one from a file.

    `model_key` is what caches know the model by.
    """
    known = ledger.entries()
    on = len(ledger.active(model))
    title = f"Your edits: {on} of {len(known)} on" if known else "Your edits: none"
    with st.container(key="ledger"):
        st.markdown(f"**{title}**")
        health_field(model, model_key)
        if off := ledger.off_together():
            label = f"Switch {count(len(off), 'edit')} on again"
            st.button(label, on_click=ledger.switch_on_again, key="switch_on_again")
        for entry in known:
            entry_row(entry, model)
        row = st.container(horizontal=True)
        if known:
            row.button("Undo the last", on_click=ledger.undo, key="undo_edit")
        with row.popover("Add from a file"):
            upload()
        problem = st.session_state.get("edit_file_problem")
        if problem:
            st.error(plain(problem))
        if on and EXPORTS.value is not None:
            export(model)


def entry_row(entry: ledger.Entry, model: core.LanguageModel) -> None:
    fits = ledger.fits(entry, model)
    left, right = st.columns([4, 1], vertical_alignment="center", gap="small")
    key = f"edit_on_{entry.id}"
    st.session_state[key] = entry.on and fits
    left.checkbox(
        plain(shortened(visible_name(entry.name), 40)),
        key=key,
        on_change=ledger.switch,
        args=(entry.id, key),
        disabled=not fits,
        help=None if fits else plain(f"Made on {entry.edit.model_name}: choose that model."),
    )
    with right.popover("⋯", type="tertiary"):
        details(entry)


def details(entry: ledger.Entry) -> None:
    edit = entry.edit
    key = f"edit_name_{entry.id}"
    st.text_input(
        "Name", entry.name, key=key, on_change=ledger.rename, args=(entry.id, key), max_chars=200
    )
    layers = ", ".join(map(str, edit.layers))
    st.caption(
        plain(
            f"{core.METHODS[edit.method].title if edit.method in core.METHODS else edit.method}, "
            f"layer {layers}, rank {edit.rank}, {edit.size / 1e6:.2f} MB, {edit.seconds:.2f} s"
        )
    )
    st.download_button(
        "Download",
        data=lambda: core.edit_bytes(edit),
        file_name=f"{file_name(entry.name)}.safetensors",
        mime="application/octet-stream",
        on_click="ignore",
        key=f"edit_download_{entry.id}",
    )
    st.button("Remove", on_click=ledger.remove, args=(entry.id,), key=f"edit_remove_{entry.id}")


def upload() -> None:
    st.file_uploader(
        "An edit that was downloaded here",
        type=["safetensors"],
        key="edit_file",
        on_change=add_uploaded,
    )


def add_uploaded() -> None:
    """Read an uploaded edit for the chosen model; for callbacks."""
    st.session_state["edit_file_problem"] = ""
    file = st.session_state.get("edit_file")
    model = st.session_state.get("ledger_model")
    if file is None or model is None:
        return
    try:
        ledger.add(core.edit_from_bytes(file.getvalue(), model, max_bytes=EDIT_BYTES))
    except core.BackwardLensError as error:
        st.session_state["edit_file_problem"] = str(error)


def export(model: core.LanguageModel) -> None:
    """Write the edited model where the operator allows it."""
    if not st.button("Save as a model folder", key="export_model"):
        return
    active = ledger.active(model)
    folder = EXPORTS.value / f"{file_name(model.name)}-{'-'.join(e.id[:6] for e in active)}"
    try:
        with st.spinner("Writing the model …"):
            core.export_model(model, [entry.edit for entry in active], folder)
    except core.EditError as error:
        st.error(plain(str(error)))
    else:
        st.success(plain(f"Written to {folder}"))
