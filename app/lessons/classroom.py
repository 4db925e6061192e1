"""What a workshop's facilitator gets of the lessons: checked answers and what was written."""

from __future__ import annotations

from app.lessons.progress import ANSWER_LETTERS, THOUGHT_LETTERS, progress
from app.lessons.unit import Unit
from app.shell.models import CARDS, short_name, split_key
from app.shell.state import Request
from app.workshop.answers import CHECK, Answer, answers_of
from app.workshop.gate import now
from app.workshop.room import person
from app.workshop.visit import visit

PROMPT_LETTERS = 400
SEEN = (
    "The facilitator of this workshop sees what you answer and write here, with your name if you "
    "gave one on the left."
)


def in_class() -> bool:
    """Whether what this session answers goes to a facilitator."""
    here = visit()
    return here is not None and not here.lead


def tell(
    kind: str, unit: Unit | None, text: str, request: Request | None, right: bool | None = None
) -> None:
    """Send an answer to the facilitator of the session's workshop, if it has one."""
    if not in_class():
        return
    name = split_key(request.model_name)[0] if request else ""
    answers_of(visit().workshop.id).add(
        Answer(
            time=now(),
            who=progress().who,
            name=person().name,
            unit=unit.id if unit else "",
            kind=kind,
            answer=text[: ANSWER_LETTERS if kind == CHECK else THOUGHT_LETTERS],
            right=right,
            model=name if name in CARDS else short_name(name)[:200],  # not a folder's path
            prompt=request.prompt[:PROMPT_LETTERS] if request else "",
            target=request.target if request else "",
        )
    )
