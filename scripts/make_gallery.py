"""The gallery of findings: python -m scripts.make_gallery [name ...]

Reads data/gallery/*.toml, checks each claim on the model itself, and writes the table of each
picture beside it, as JSON. Nothing is written for a finding one of whose claims does not hold. The
models must be on this machine: make real-model fetches SmolLM2.
"""

from __future__ import annotations

import argparse
from functools import cache

from app.gallery.finding import GALLERY, read_finding
from core import load_model
from scripts.gallery_claims import failing
from scripts.gallery_measures import Measures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these, as in 01-NAME.toml")
    chosen = parser.parse_args().names
    load, wrong = cache(load_model), 0
    for path in sorted(GALLERY.glob("*.toml")):
        finding = read_finding(path)
        if chosen and finding.name not in chosen:
            continue
        measures = Measures(finding, load)
        problems = failing(measures)
        if problems:
            wrong += 1
            print(f"{path.name} is not what the model says:", *problems, sep="\n  ")
            continue
        text = measures.stored().text()
        path.with_suffix(".json").write_text(text, encoding="utf-8")
        print(f"{path.name}: {len(finding.claims)} claims hold, {len(text) / 1000:.0f} kB")
    if wrong:
        raise SystemExit(f"{wrong} findings do not hold.")


if __name__ == "__main__":
    main()
