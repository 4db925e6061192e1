"""Workshop: what the operator wrote down for one, and whether its link still works."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.workshop.codes import fits, hashed, lead_code, new_code, new_salt

OPEN, EXPIRED, ENDED = "open", "expired", "ended"
DEFAULT_TITLE = "Workshop"


@dataclass(frozen=True)
class Workshop:
    """What a workshop pins. What is empty or None is left to the visitor and the server.

    `pages` are paths of the URL, Start's is empty. `made`, `expires` and `ended` are seconds since
    1970. Of its codes only the hashes are kept.
    """

    id: str
    title: str
    made: float
    expires: float
    salt: str = field(repr=False)
    code_hash: str = field(repr=False)
    lead_hash: str = field(repr=False)
    model: str = ""
    pages: tuple[str, ...] = ()
    prompt: str = ""
    target: str = ""
    prompt_tokens: int | None = None
    study_records: int | None = None
    jobs: int | None = None
    ended: float | None = None

    def state(self, now: float) -> str:
        if self.ended is not None:
            return ENDED
        return OPEN if now < self.expires else EXPIRED

    def has_page(self, path: str) -> bool:
        return not self.pages or path in self.pages

    def is_code(self, code: str) -> bool:
        return fits(code, self.salt, self.code_hash)

    def is_lead(self, code: str) -> bool:
        return fits(code, self.salt, self.lead_hash)


def plan(now: float, seconds: float, title: str = "", **pins: object) -> tuple[Workshop, str, str]:
    """A new workshop, the participants' code and the facilitator's, which are kept nowhere."""
    code, salt = new_code(), new_salt()
    lead = lead_code(code)
    workshop = Workshop(
        id=new_code().replace("-", "")[:6],
        title=title or DEFAULT_TITLE,
        made=now,
        expires=now + seconds,
        salt=salt,
        code_hash=hashed(code, salt),
        lead_hash=hashed(lead, salt),
        **pins,
    )
    return workshop, code, lead
