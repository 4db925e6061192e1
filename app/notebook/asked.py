"""What a cell asks, read from its code: the model, the prompt, the target, the subject, the edits.

The code below a picture is the one place that always says it truly, on every page. It is parsed,
never run; what is no Python asks nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

# How app.notebook.code opens an edit's file.
EDIT_LOADED = re.compile(r'Edit\.load\(("(?:[^"\\]|\\.)*")')
TEXTS = ("prompt", "target", "subject")


@dataclass(frozen=True)
class Asked:
    """Empty where the cell names none, as a study names no prompt."""

    model: str = ""
    precision: str = ""  # where it was chosen by hand
    prompt: str = ""
    target: str = ""
    subject: str = ""
    edit_files: tuple[str, ...] = ()  # the stems of their names


def asked_in(code: str) -> Asked:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Asked()
    texts: dict[str, str] = {}
    for name, value in assigned(tree):
        if name in TEXTS and (text := text_of(value)):
            texts.setdefault(name, text)
    stems = [ast.literal_eval(name) for name in EDIT_LOADED.findall(code)]
    stems = [name.removesuffix(".safetensors") for name in stems]
    return Asked(*model_in(tree), **texts, edit_files=tuple(stems))


def assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Each name that the program itself gives a value, several at once too."""
    for line in tree.body:
        if not isinstance(line, ast.Assign) or len(line.targets) != 1:
            continue
        (target,), value = line.targets, line.value
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for part, given in zip(target.elts, value.elts, strict=False):
                if isinstance(part, ast.Name):
                    yield part.id, given


def model_in(tree: ast.Module) -> tuple[str, str]:
    """The model's name and precision in the first load_model(...)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_model":
            kinds = {given.arg: text_of(given.value) for given in node.keywords}
            return text_of(node.args[0]) if node.args else "", kinds.get("dtype", "")
    return "", ""


def text_of(value: ast.expr) -> str:
    is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return value.value if is_text else ""
