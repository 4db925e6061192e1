"""Where the subject stands in a prompt's tokens."""

from __future__ import annotations

from core.errors import PromptError
from core.model import LanguageModel


def subject_tokens(model: LanguageModel, prompt: str, subject: str) -> range:
    """Positions of the subject's tokens in `model.encode(prompt)`, by character offsets.

    A token belongs to the subject if it shares a character with it that is not a space. The first
    mention counts. Raises PromptError if the subject is empty or not in the prompt.
    """
    subject = subject.strip()
    start = prompt.find(subject)
    if not subject or start < 0:
        raise PromptError(f"The subject {subject!r} is not in the prompt. Copy it from there.")
    end = start + len(subject)
    offsets = model.tokenizer(prompt, return_offsets_mapping=True, verbose=False).offset_mapping
    inside = [
        i for i, (first, last) in enumerate(offsets) if prompt[max(first, start) : min(last, end)]
    ]
    return range(inside[0], inside[-1] + 1)
