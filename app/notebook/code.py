"""The Python code below a picture: it makes the same table through core, as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import core
from app.shell.models import split_key
from app.shell.state import Request
from app.words import file_name

# Calls whose result depends on the active edits.
EDITABLE_CALL = re.compile(r"(\b(?:trace|forward_lens|rank_curve|edit_strength)\([^()]*)\)")
GIVEN_EDITS = re.compile(r"\bedits\b")  # in a line that says itself which edits it is about


def code_lines(request: Request, *lines: str) -> str:
    """Python that reproduces a cell, with the current inputs filled in.

    Lines use `model`, `prompt` and `target`, and `subject` if they name it; the last one is the
    table. With active edits, what depends on them is given them.
    """
    given = [f"prompt, target = {literal(request.prompt)}, {literal(request.target)}"]
    names = [entry.name for entry in request.entries]
    if names:
        lines = tuple(
            line if GIVEN_EDITS.search(line) else EDITABLE_CALL.sub(r"\1, edits=edits)", line)
            for line in lines
        )
    if any("subject" in line for line in lines):
        given.append(f"subject = {literal(request.subject)}")
    return program(request.model_name, lines, given=given, edit_names=names)


def program(
    model_name: str,
    lines: Sequence[str],
    *,
    given: Sequence[str] = (),
    edit_names: Sequence[str] = (),
) -> str:
    """A whole program: imports, the model, what is given, the edits from their files, the lines."""
    text = "\n".join(lines)
    called = {name for name in core.__all__ if re.search(rf"\b{name}\(", text)} | {"load_model"}
    if edit_names or "Edit.load(" in text:
        called.add("Edit")
    head = ["import pandas as pd"] if re.search(r"\bpd\.", text) else []
    head += [f"from core import {', '.join(sorted(called))}", ""]
    name, precision = split_key(model_name)
    kind = f", dtype={literal(precision)}" if precision else ""
    head += [f"model = load_model({literal(name)}{kind})", *given]
    if edit_names:
        files = [literal(f"{file_name(name)}.safetensors") for name in edit_names]
        loads = ", ".join(f"Edit.load({file}, model)" for file in files)
        head.append(f"edits = [{loads}]  # downloaded from “Your edits”")
    return "\n".join([*head, *lines])


def literal(text: str | None) -> str:
    """A Python string literal with double quotes; JSON's escapes mean the same in Python."""
    return json.dumps(text, ensure_ascii=False)
