"""The prompts that the paper shows, one click away."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    prompt: str
    target: str
    answer: str  # what a model that knows the fact says
    source: str

    @property
    def label(self) -> str:
        return f"{self.prompt} … {self.answer} → {self.target}"


EXAMPLES = (
    Example("Obama grew up in", "Paris", "Hawaii", "Figure 4a"),
    Example("Jack Dorsey founded", "IBM", "Twitter", "Figure 4b"),
    Example("Lionel Messi plays for", "Paris", "Barcelona", "Figures 1 and 10"),
    Example("Ipod Nano, developed by", "BMW", "Apple", "Figures 11-15"),
    Example("Pikachu is a type of", "music", "Pokémon", "Figures 11-15"),
    Example("Eddy Cue is employed by", "BBC", "Apple", "Figures 11-15"),
    Example("Ferrari Mondial, created by", "Nintendo", "Ferrari", "Figures 11-15"),
)
