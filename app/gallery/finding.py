"""A finding: its file in data/gallery/, read strictly.

What a picture and a claim may say stands here; scripts/gallery_measures.py and
scripts/gallery_claims.py compute them.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.gallery.fields import (
    Field,
    FindingError,
    layers,
    number,
    one_of,
    optional,
    read_fields,
    setting,
    text,
    texts,
    whole,
)
from app.settings import PROMPT_CHARACTERS, TARGET_CHARACTERS
from app.shell.models import CARDS
from app.shell.navigation import PAGES

GALLERY = Path(__file__).resolve().parents[2] / "data" / "gallery"
MOST_BYTES = 20_000
FILE_NAME = re.compile(r"\d\d-([a-z][a-z-]{0,38}[a-z])")
SETTING = re.compile(r"[a-z][a-z0-9_-]{0,49}")
OF_THE_REQUEST = {"model", "prompt", "target", "subject", "finding"}
METHODS = ("forward-shift", "sgd", "adam")

PROMPT, TOKEN, MODEL = text(PROMPT_CHARACTERS), text(60), one_of(CARDS)
LAYER, SHARE = whole(0, 999), number(0, 1)
# What each kind of picture takes besides its kind.
PICTURES: dict[str, dict[str, Field]] = {
    "forward_lens": {"keep": optional(layers)},
    "backward_lens": {"keep": optional(layers)},
    "input_lens": {"keep": optional(layers)},
    "norms": {"keep": optional(layers), "of": Field(one_of(("signal", "input")))},
    "target_rank": {},
    "rank_curve": {},
    "step": {"layer": Field(LAYER), "step": Field(number(1e-6, 100))},
    "edited_answers": {
        "method": Field(one_of(METHODS)),
        "eta": optional(one_of(("auto", "fixed"))),
        "prompts": Field(texts(1, 8, 200)),
    },
}
ELSEWHERE = {"prompt": optional(PROMPT), "model": optional(MODEL)}  # else the finding's own
# What each kind of claim says; scripts/gallery_claims.py has a sentence for each.
CLAIMS: dict[str, dict[str, Field]] = {
    "answer": {"token": Field(TOKEN), "at_least": Field(SHARE), **ELSEWHERE},
    "at_most": {"token": Field(TOKEN), "share": Field(SHARE), **ELSEWHERE},
    "leads_from": {"token": Field(TOKEN), "layer": Field(LAYER)},
    "says": {"token": Field(TOKEN), "layers": Field(layers)},
    "target_is_lowest": {"layers": Field(layers)},
    "target_not_in_lowest": {"share": Field(SHARE), "layers": Field(layers)},
    "rank_equals_length": {"layers": Field(layers), **ELSEWHERE},
    "rank_is": {"rank": Field(whole(0, 999)), "layers": Field(layers), **ELSEWHERE},
    "tokens": {"tokens": Field(texts(1, 60, 60)), **ELSEWHERE},
    "parameters": {
        "times": Field(number(1, 1e6)),
        "of_model": Field(MODEL),
        "model": Field(MODEL),
    },
    "signal_strongest_at": {"token": Field(TOKEN), "layers": Field(layers)},
    "input_stands_out": {"token": Field(TOKEN), "times": Field(number(1, 1e6))},
    "reads": {"token": Field(TOKEN), "layers": Field(layers)},
    "target_tokens": {"tokens": Field(texts(1, 20, 60))},
    "step_shifts_to_target": {"from_below": Field(whole(1, 10**7))},
    "step_answer": {"token": Field(TOKEN), "at_least": Field(SHARE)},
    "edited_answer": {"prompt": Field(PROMPT), "token": Field(TOKEN), "at_least": Field(SHARE)},
}
TOP = {
    "title": Field(text(70)),
    "model": Field(MODEL),
    "prompt": Field(PROMPT),
    "target": Field(text(TARGET_CHARACTERS)),
    "subject": optional(PROMPT),
    "page": Field(one_of(tuple(page.path for page in PAGES if page.path))),
    "commentary": Field(texts(2, 2, 230)),
    "settings": optional(lambda value: value),
    "link": optional(texts(1, 10, 50)),
    "picture": Field(lambda value: value),
    "claims": Field(lambda value: value),
}


@dataclass(frozen=True)
class Part:
    """A picture or a claim: its kind, and what it says by name."""

    kind: str
    values: MappingProxyType[str, Any]


@dataclass(frozen=True)
class Finding:
    """One file of the gallery. `settings` are the controls of the page that it opens, by their
    keys; those named in `link` are not the page's defaults, and stand in its link."""

    name: str
    title: str
    model: str
    prompt: str
    target: str
    page: str
    commentary: tuple[str, str]
    picture: Part
    claims: tuple[Part, ...]
    subject: str = ""
    link: tuple[str, ...] = ()
    settings: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def asked(self) -> str:
        """A short name for all that the stored numbers depend on."""
        said = [self.model, self.prompt, self.target, self.picture.kind]
        content = json.dumps([*said, dict(self.picture.values)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def read_finding(path: Path) -> Finding:
    """Raises FindingError, whose sentence names the file and the key, and what may stand there."""
    where = path.name
    match = FILE_NAME.fullmatch(path.stem)
    if match is None:
        raise FindingError(f"{where}: its name must be as in 01-some-words.toml.")
    top = read_fields(parsed(path), TOP, where)
    picture = read_part(top.pop("picture"), PICTURES, f"{where}, picture")
    claims = top.pop("claims")
    if not isinstance(claims, list) or not claims:
        raise FindingError(f"{where}: “claims” must be one [[claims]] or more.")
    top["claims"] = tuple(
        read_part(claim, CLAIMS, f"{where}, claim {i}") for i, claim in enumerate(claims, 1)
    )
    top["settings"] = read_settings(top.get("settings", {}), f"{where}, settings")
    for key in top.get("link", ()):
        if key not in top["settings"]:
            raise FindingError(f"{where}: “link” names “{key}”, which is not in the settings.")
    if top.get("subject", "") not in top["prompt"]:
        raise FindingError(f"{where}: “subject” must be a part of the prompt.")
    return Finding(name=match[1], picture=picture, **top)


def parsed(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FindingError(f"{path.name} is larger than {MOST_BYTES:,} bytes.")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise FindingError(f"{path.name} is no UTF-8 text.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FindingError(f"{path.name} is no TOML: {error}.") from None
    except OSError as error:
        raise FindingError(f"{path.name} cannot be read: {error.strerror}.") from None


def read_part(table: object, kinds: dict[str, dict[str, Field]], where: str) -> Part:
    if not isinstance(table, dict):
        raise FindingError(f"{where} must be a table.")
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise FindingError(f"{where}: “kind” must be one of: {', '.join(kinds)}.")
    rest = {key: value for key, value in table.items() if key != "kind"}
    return Part(kind, MappingProxyType(read_fields(rest, kinds[kind], where)))


def read_settings(table: object, where: str) -> MappingProxyType[str, Any]:
    fields = {}
    if isinstance(table, dict):
        for key in table:
            if not SETTING.fullmatch(key) or key in OF_THE_REQUEST:
                raise FindingError(f"{where}: “{key[:40]}” is no setting of a page.")
            fields[key] = Field(setting)
    return MappingProxyType(read_fields(table, fields, where))
