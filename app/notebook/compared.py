"""The Python code below a comparison: both sides, and what differs, through core as it stands."""

from __future__ import annotations

from app.notebook.code import literal, program
from app.shell.models import split_key
from app.shell.state import Request
from app.words import file_name

SEGMENTS = (
    "parts = (segments({0.model}, {0.prompt}, {0.subject}), "
    "segments({1.model}, {1.prompt}, {1.subject}))"
)


class Names:
    """What a side's model, prompt, target, subject and edits are called in the code."""

    def __init__(self, **names: str) -> None:
        self.model, self.prompt, self.target = names["model"], names["prompt"], names["target"]
        self.subject = names["subject"]
        self.edits = f", edits={names['edits']}" if names["edits"] else ""
        self.trace = f"trace({self.model}, {self.prompt}, {self.target}{self.edits})"

    @property
    def asked(self) -> str:
        """The first arguments of forward_lens."""
        return f"{self.model}, {self.prompt}, {self.target}"


def comparison_code(left: Request, right: Request, *lines: str, by_segment: bool = False) -> str:
    """A program whose lines use {0.trace}, {1.trace} and the other names of either side.

    What both sides share is written once. With `by_segment` the lines can use `parts`.
    """
    given = [f"prompt, target = {literal(left.prompt)}, {literal(left.target)}"]
    names = {name: name for name in ("model", "prompt", "target", "subject")}
    names["edits"] = "edits" if left.entries else ""
    other, more = dict(names), []
    if right.model_name != left.model_name:
        name, precision = split_key(right.model_name)
        kind = f", dtype={literal(precision)}" if precision else ""
        more.append(f"other_model = load_model({literal(name)}{kind})")
        other["model"] = "other_model"
    for field in ("prompt", "target", "subject"):
        here, there = getattr(left, field), getattr(right, field)
        if field == "subject" and not by_segment:
            continue
        if field == "subject":
            more.append(f"subject = {literal(here)}")
        if there != here:
            more.append(f"other_{field} = {literal(there)}")
            other[field] = f"other_{field}"
    if right.edit_ids != left.edit_ids:
        other["edits"] = "other_edits" if right.entries else ""
        if right.entries:
            more.append(edits_line(right, other["model"]))
    if by_segment:
        lines = (SEGMENTS, *lines)
    sides = Names(**names), Names(**other)
    written = [line.format(*sides) for line in lines]
    edit_names = [entry.name for entry in left.entries]
    return program(left.model_name, [*more, *written], given=given, edit_names=edit_names)


def edits_line(request: Request, model: str) -> str:
    files = (literal(f"{file_name(entry.name)}.safetensors") for entry in request.entries)
    loads = ", ".join(f"Edit.load({file}, {model})" for file in files)
    return f"other_edits = [{loads}]"
