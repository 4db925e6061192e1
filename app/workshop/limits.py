"""The limits that hold for this session: the server's, or its workshop's where that is smaller."""

from __future__ import annotations

from app.settings import JOBS, PROMPT_TOKENS, STUDY_RECORDS
from app.workshop.visit import workshop


def smaller(servers: int, workshops: int | None) -> int:
    return servers if workshops is None else min(servers, workshops)


def prompt_tokens() -> int:
    """The longest prompt, in tokens."""
    here = workshop()
    return smaller(PROMPT_TOKENS.value, here and here.prompt_tokens)


def study_records() -> int:
    """The most prompts of a study."""
    here = workshop()
    return smaller(STUDY_RECORDS.value, here and here.study_records)


def jobs_at_once() -> int:
    """How many pieces of long work this session may have at once."""
    here = workshop()
    return smaller(JOBS.value, here and here.jobs)
