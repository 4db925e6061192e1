"""Prompts one click away: those that the paper shows, and three for the real model.

The real model's were chosen by measuring (scripts/choose_examples.py): of 38 facts it knows 19 with
a probability above 0.5 for which the target is one token. These three are among those whose target
is the very last token of FF2's VJP in most layers, and read well.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.workshop.visit import starter


@dataclass(frozen=True)
class Example:
    prompt: str
    target: str
    answer: str  # what a model that knows the fact says; empty where that is not known
    source: str

    @property
    def label(self) -> str:
        answer = f"{self.answer} → " if self.answer else ""
        return f"{self.prompt} … {answer}{self.target}"


EXAMPLES = (
    Example("Obama grew up in", "Paris", "Hawaii", "Figure 4a"),
    Example("Jack Dorsey founded", "IBM", "Twitter", "Figure 4b"),
    Example("Lionel Messi plays for", "Paris", "Barcelona", "Figures 1 and 10"),
    Example("Ipod Nano, developed by", "BMW", "Apple", "Figures 11-15"),
    Example("Pikachu is a type of", "music", "Pokémon", "Figures 11-15"),
    Example("Eddy Cue is employed by", "BBC", "Apple", "Figures 11-15"),
    Example("Ferrari Mondial, created by", "Nintendo", "Ferrari", "Figures 11-15"),
)

REAL = "smollm2-135m"
REAL_EXAMPLES = (
    Example("The capital of France is", "Rome", "Paris", "p 0.77; the target is last in 7 layers"),
    Example("The Colosseum is in", "London", "Rome", "p 0.74; the target is last in 8 layers"),
    Example(
        "Water freezes at a temperature of 0 degrees",
        "Fahrenheit",
        "Celsius",
        "p 0.88; the target is last in 8 layers",
    ),
)


def examples_for(model: str) -> tuple[Example, ...]:
    """The examples that suit a model, by its name; first of all the workshop's own."""
    examples = REAL_EXAMPLES if model == REAL else EXAMPLES
    first = starter()
    if first is None:
        return examples
    others = (e for e in examples if (e.prompt, e.target) != first)
    return Example(*first, "", "the workshop's"), *others
