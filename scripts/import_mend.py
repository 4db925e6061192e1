"""A published MEND network for a GPT-2: python -m scripts.import_mend FILE.pt --model gpt2-xl

Reads the .pt file without running anything of it, checks it against the model's configuration, and
keeps it as the model's own network, which the Edit page and edit(..., method="mend") use from then
on; or writes it to --output. The .pt file is not needed any more then.

The published code applies the learning rates in another order than that of the training, FF2's to
FF1 and the other way round; so do the published tables. Here they go where they were trained;
--published-order does as the published code.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from core import BackwardLensError, EditError, ModelError, load_model
from core.editing.mend_import import network_for, read_published
from core.editing.mend_network import keep_mend_network
from core.model.loading import find_folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="such as mend-10tok-gpt2-xl.pt")
    parser.add_argument("--model", required=True, help="a name such as gpt2-xl, or a folder")
    parser.add_argument("--output", type=Path, help="write it there, and keep it nowhere else")
    parser.add_argument("--published-order", action="store_true")
    given = parser.parse_args()
    try:
        path = import_mend(given.file, given.model, given.output, given.published_order)
    except BackwardLensError as error:
        sys.exit(str(error))
    print(f"The network is in {path}.")


def import_mend(file: Path, name: str, output: Path | None, published_order: bool) -> Path:
    """Where the network was written. Raises EditError and ModelError."""
    published = read_published(file, *widths(name), published_order=published_order)
    model = load_model(name)  # its weights: a network belongs to exactly these
    made = {"imported": file.name, "published_order": published_order}
    network = network_for(model, published, made)
    if output is None:
        return keep_mend_network(model, network)
    try:
        network.save(output)
    except OSError as error:
        raise EditError(f"{output} cannot be written: {error.strerror}.") from None
    return output


def widths(name: str) -> tuple[int, int]:
    """d_model and d_mlp, from the configuration alone: a file that does not fit is refused before
    gigabytes of weights are read."""
    file = find_folder(name) / "config.json"
    try:
        config = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise ModelError(f"The configuration of {name} is damaged. Download it again.") from None
    if config.get("model_type") != "gpt2" or not isinstance(config.get("n_embd"), int):
        raise ModelError(f"{name} is no GPT-2; MEND was published for GPT-2s. Choose gpt2-xl.")
    return config["n_embd"], config.get("n_inner") or 4 * config["n_embd"]


if __name__ == "__main__":
    main()
