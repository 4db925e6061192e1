"""The labels of an axis, read back from Vega's expression for them."""

import json
import re


def labels_in(expression: str) -> list[str]:
    match = re.fullmatch(r'split\((".*"), "\\n"\)\[datum\.value \+ \d\]', expression)
    assert match, expression
    empty, *labels = json.loads(match[1]).split("\n")
    assert not empty
    return labels
