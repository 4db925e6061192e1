"""What is compared: a method by its name, with settings of its own where they are written down."""

from __future__ import annotations

import json

from core.editing.methods import METHODS, method_of
from core.errors import EditError

ORIGINAL = "original"
ORIGINAL_TITLE = "Unedited model"


def parse_spec(spec: str) -> tuple[str, dict[str, object]]:
    """The method and the settings of "forward-shift" or of "forward-shift:eta=fixed,layer=3".

    A value is a number, true, false or null as JSON has them, else text; several layers are written
    with + between them. Raises EditError for a method that there is not, and for settings that
    cannot be read.
    """
    method, _, rest = spec.partition(":")
    method_of(method)
    settings: dict[str, object] = {}
    for part in filter(None, rest.split(",")):
        name, equals, value = part.partition("=")
        if not name or not equals or not value:
            raise EditError(
                f"{part!r} in {spec!r} is no setting. Write name=value, for instance "
                "forward-shift:eta=fixed."
            )
        if "+" in value:
            settings[name] = tuple(plain_value(piece) for piece in value.split("+"))
        else:
            settings[name] = plain_value(value)
    return method, settings


def plain_value(text: str) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or isinstance(value, str | int | float) else text


def title_of(spec: str) -> str:
    """A method's name in the table: "ROME", "Forward pass shift (eta fixed)"."""
    if spec == ORIGINAL:
        return ORIGINAL_TITLE
    method, _, rest = spec.partition(":")
    title = METHODS[method].title if method in METHODS else method
    return f"{title} ({rest.replace('=', ' ').replace(',', ', ')})" if rest else title
