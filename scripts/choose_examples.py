"""Which facts show the backward lens best on a model: python -m scripts.choose_examples

Facts that people know, each with a target that is not true. A good example is one that the model
knows (answer's probability above 0.5) and whose picture says something: the target is the bottom
token, or close to it, of FF2's VJP at the last prompt token in many layers. Prints a table, best
first; app/shell/examples.py holds what was chosen.
"""

from __future__ import annotations

import argparse

import pandas as pd
import torch

from core import backward_lens, load_model, trace

# prompt, what a model that knows it says, target
CANDIDATES = (
    ("The capital of France is", "Paris", "Rome"),
    ("The capital of Italy is", "Rome", "London"),
    ("The capital of Japan is", "Tokyo", "Paris"),
    ("The capital of Germany is", "Berlin", "Madrid"),
    ("The capital of Russia is", "Moscow", "Berlin"),
    ("The Eiffel Tower is in", "Paris", "Rome"),
    ("The Eiffel Tower is located in the city of", "Paris", "London"),
    ("The largest planet in the solar system is", "Jupiter", "Mars"),
    ("The planet closest to the Sun is", "Mercury", "Venus"),
    ("The author of Romeo and Juliet is William", "Shakespeare", "Wordsworth"),
    ("Romeo and Juliet was written by William", "Shakespeare", "Blake"),
    ("The theory of relativity was developed by Albert", "Einstein", "Newton"),
    ("The first president of the United States was George", "Washington", "Bush"),
    ("The opposite of hot is", "cold", "warm"),
    ("Two plus two equals", "four", "five"),
    ("The Mona Lisa was painted by Leonardo da", "Vinci", "Silva"),
    ("The currency of Japan is the", "yen", "dollar"),
    ("The language spoken in Brazil is", "Portuguese", "Spanish"),
    ("People in Brazil speak", "Portuguese", "English"),
    ("The Great Wall is in", "China", "India"),
    ("The Great Wall of", "China", "India"),
    ("Mount Fuji is a mountain in", "Japan", "Italy"),
    ("Water freezes at a temperature of 0 degrees", "Celsius", "Fahrenheit"),
    ("The Statue of Liberty is in New", "York", "Zealand"),
    ("The Colosseum is in", "Rome", "London"),
    ("Bees make", "honey", "milk"),
    ("A baby cat is called a", "kitten", "puppy"),
    ("The Beatles were a rock band from", "Liverpool", "Boston"),
    ("The Beatles came from Liverpool,", "England", "Spain"),
    ("The Amazon River is in South", "America", "Africa"),
    ("Neil Armstrong was the first man to walk on the", "moon", "ocean"),
    ("The chemical symbol for water is", "H", "O"),
    ("Once upon a", "time", "day"),
    ("The Pope lives in Vatican", "City", "Hill"),
    ("Sherlock Holmes and Doctor", "Watson", "Jones"),
    ("Barack", "Obama", "Clinton"),
    ("Frogs begin their lives as", "tad", "fish"),
    ("The sun rises in the", "east", "west"),
)


def measure(name: str) -> pd.DataFrame:
    """A row a candidate: probability of the answer, and where the target stands in the lens."""
    model, rows = load_model(name), []
    for prompt, answer, target in CANDIDATES:
        run = trace(model, prompt, target)
        lens = backward_lens(run)
        last = lens[lens.position == lens.position.max()]
        from_bottom = model.vocabulary_size - 1 - last.target_rank.dropna()
        middle = last[last.layer < model.n_layers - 1]
        probability = torch.softmax(run.logits.float(), -1).max().item()
        words = middle.iloc[len(middle) * 2 // 3].bottom_tokens
        rows.append(
            {
                "prompt": prompt,
                "answer": run.answer,
                "known": run.answer.strip() == answer,
                "p": round(probability, 3),
                "target": run.target.token,
                "whole": len(run.target.ids) == 1,
                "layers_last": int((from_bottom == 0).sum()),
                "layers_bottom_10": int((from_bottom < 10).sum()),
                "bottom_tokens": " ".join(repr(word) for word in words),
            }
        )
    return pd.DataFrame(rows).sort_values("layers_last", ascending=False, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="smollm2-135m")
    table = measure(parser.parse_args().model)
    good = table[table.known & table.whole & (table.p > 0.5)]
    print(good.to_string(index=False))
    print(f"{len(good)} of {len(table)} candidates are known with p > 0.5 and have a whole target.")


if __name__ == "__main__":
    main()
