"""CounterFact records from a file: facts to rewrite, each with a prompt, a subject and two targets.

Reads the original schema (Meng et al. 2022), EasyEdit's flat one and the project's own
`data/mini_counterfact.json`, as a JSON list or as JSONL. A file may come from anyone: Python's own
JSON reads it, which refuses depth and endless numbers with an error, where faster readers crash.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from core.errors import PromptError
from core.gradients.segments import find_subject

MINI_COUNTERFACT = Path(__file__).resolve().parents[2] / "data" / "mini_counterfact.json"
LONGEST_TEXT, LONGEST_ID = 2000, 200  # characters: of a prompt, subject or target; of a case_id
MOST_SKIPPED = 10_000  # records that cannot be used; a file with more is something else
MARK = b"\xef\xbb\xbf"  # that some programs put before UTF-8
DECODER = json.JSONDecoder()
SPACE = re.compile(r"[ \t\r\n]*")
BROKEN = "the JSON is broken here; what follows was not read"


@dataclass(frozen=True)
class Record:
    """One fact and its rewrite. `target_true` is what is right, `target_new` what to learn.

    Prompts of one's own (core.studies.prompts) may have no subject and no right answer, and may
    belong to a group; CounterFact's facts have both, and no group.
    """

    case_id: int | str
    prompt: str  # the subject filled in
    subject: str | None
    target_new: str
    target_true: str | None
    paraphrases: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    group: str = ""
    # What only the benchmark needs; not in the repr, by which studies know their records again.
    generation_prompts: tuple[str, ...] = field(default=(), repr=False)
    relation: str = field(default="", repr=False)  # "P103"
    target_id: str = field(default="", repr=False)  # of the new target, "Q1860"


@dataclass(frozen=True)
class Records:
    """The good records of a file in their order, and (index, reason) of each that was skipped."""

    name: str
    records: tuple[Record, ...]
    skipped: tuple[tuple[int, str], ...] = ()
    digest: str = field(default="", repr=False)  # of the records, whatever file they stood in

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, index: int) -> Record:
        return self.records[index]


def load_counterfact(source: str | Path | BinaryIO, *, name: str | None = None) -> Records:
    """Read a CounterFact file, a path or an open binary file.

    A bad record is skipped, and `skipped` says which and why; where a JSON list itself is broken,
    or MOST_SKIPPED is reached, the records before that are kept. Raises PromptError for a file that
    is not there or holds no record at all.
    """
    good: list[Record] = []
    skipped: list[tuple[int, str]] = []
    digest = hashlib.sha256()
    with opened(source) as file:
        for index, item in enumerate(read_items(file)):
            try:
                record = parse_record(item, index)
            except PromptError as error:
                skipped.append((index, str(error)))
                if len(skipped) == MOST_SKIPPED:
                    skipped.append((index + 1, f"{MOST_SKIPPED:,} are bad; no more was read."))
                    break
            else:
                good.append(record)
                digest.update(repr(record).encode())
    title = name or Path(str(getattr(source, "name", source))).name
    if not good:
        reason = f" The first problem: {skipped[0][1]}" if skipped else ""
        raise PromptError(
            f"{title} holds no CounterFact record.{reason} Choose a JSON or JSONL file in "
            "CounterFact's or EasyEdit's form."
        )
    return Records(title, tuple(good), tuple(skipped), digest.hexdigest())


def save_counterfact(records: Records, file: Path) -> None:
    """Write records as JSONL in EasyEdit's schema; read again they are the same, digest and all.

    What EasyEdit's has not, a group or a fact without subject or answer, is written with a "group"
    (see parse_flat).
    """
    with file.open("w", encoding="utf-8") as lines:
        for record in records:
            item = {
                "case_id": record.case_id,
                "prompt": record.prompt,
                "subject": record.subject,
                "target_new": record.target_new,
                "ground_truth": record.target_true,
                "rephrase_prompt": record.paraphrases,
                "locality_prompt": record.neighbours,
            }
            if record.group or record.subject is None or record.target_true is None:
                item["group"] = record.group
            if record.generation_prompts:
                item["generation_prompts"] = record.generation_prompts
            if record.relation or record.target_id:
                item["relation_id"], item["target_new_id"] = record.relation, record.target_id
            lines.write(json.dumps(item) + "\n")


@contextmanager
def opened(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(source, str | Path):
        source.seek(0)
        yield source
        return
    try:
        file = open(source, "rb")  # noqa: SIM115 - closed below
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PromptError(f"The file {str(source)!r} cannot be read: {reason}.") from None
    with file:
        yield file


def read_items(file: BinaryIO) -> Iterator[object]:
    """The items of a JSON list, or of JSONL; an item that is no JSON comes as its ValueError."""
    start = file.tell()
    head = file.read(4096)
    while head and not head.strip(MARK + b" \t\r\n"):
        start, head = file.tell(), file.read(4096)
    as_list = head.lstrip(MARK + b" \t\r\n").startswith(b"[")
    file.seek(start + len(MARK) if head.startswith(MARK) else start)
    if as_list:
        yield from list_items(file.read())
    else:
        yield from map(json_line, filter(bytes.strip, file))


def list_items(data: bytes) -> Iterator[object]:
    """The items of a JSON list; where it is broken, a ValueError comes last."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        text = data[: error.start].decode()
    place = text.index("[") + 1
    while True:
        place = SPACE.match(text, place).end()
        if text[place : place + 1] == "]":
            return
        try:
            item, place = DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            break
        yield item
        place = SPACE.match(text, place).end()
        if text[place : place + 1] not in (",", "]"):
            break
        place += text[place] == ","
    yield ValueError(BROKEN)


def json_line(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return ValueError("this line is not JSON")


def parse_record(item: object, index: int) -> Record:
    """A record of either schema; raises PromptError with the reason if it cannot be used."""
    if isinstance(item, ValueError):
        raise PromptError(f"{item}.")
    if not isinstance(item, dict):
        raise PromptError(f"it is a {type(item).__name__}, not an object with fields.")
    rewrite = item.get("requested_rewrite")
    record = parse_flat(item, index) if rewrite is None else parse_original(item, rewrite, index)
    if record.subject is not None:
        find_subject(record.prompt, record.subject)
    return record


def parse_original(item: dict, rewrite: object, index: int) -> Record:
    """CounterFact's own schema, with the prompt as a template and targets as {"str": …}."""
    if not isinstance(rewrite, dict):
        raise PromptError("its requested_rewrite is not an object.")
    subject, template = text_of(rewrite, "subject"), text_of(rewrite, "prompt")
    if template.count("{}") != 1:
        raise PromptError("its prompt does not have one {} for the subject.")
    return Record(
        case_id=case_id_of(item, index),
        prompt=template.replace("{}", subject),
        subject=subject,
        target_new=target_of(rewrite, "target_new"),
        target_true=target_of(rewrite, "target_true"),
        paraphrases=texts_of(item, "paraphrase_prompts"),
        neighbours=texts_of(item, "neighborhood_prompts"),
        generation_prompts=texts_of(item, "generation_prompts"),
        relation=name_in(rewrite, "relation_id"),
        target_id=name_in(rewrite.get("target_new"), "id"),
    )


def parse_flat(item: dict, index: int) -> Record:
    """EasyEdit's schema: flat strings, the subject filled into the prompt.

    One with a "group", which EasyEdit's has not, is a prompt of somebody's own: its subject and
    its ground_truth may be null, but not missing.
    """
    group = item.get("group")
    own = isinstance(group, str) and len(group) <= LONGEST_ID and is_whole(group)
    return Record(
        case_id=case_id_of(item, index),
        prompt=text_of(item, "prompt"),
        subject=text_of(item, "subject", may_be_null=own),
        target_new=text_of(item, "target_new"),
        target_true=text_of(item, "ground_truth", may_be_null=own),
        paraphrases=texts_of(item, "rephrase_prompt"),
        neighbours=texts_of(item, "locality_prompt"),
        group=group if own else "",
        generation_prompts=texts_of(item, "generation_prompts"),
        relation=name_in(item, "relation_id"),
        target_id=name_in(item, "target_new_id"),
    )


def text_of(item: dict, name: str, *, may_be_null: bool = False) -> str | None:
    value = item.get(name)
    if value is None and may_be_null and name in item:
        return None
    if not isinstance(value, str) or not value.strip():
        found = "missing" if value is None else "not a text" if value != "" else "empty"
        raise PromptError(f"its {name} is {found}.")
    if len(value) > LONGEST_TEXT:
        raise PromptError(f"its {name} has {len(value):,} characters; at most {LONGEST_TEXT:,}.")
    if not is_whole(value):
        raise PromptError(f"its {name} holds half of a character.")
    return value


def is_whole(text: str) -> bool:
    """Whether a text holds no half of a character: JSON can say one, and nothing can show it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def target_of(rewrite: dict, name: str) -> str:
    target = rewrite.get(name)
    if not isinstance(target, dict):
        raise PromptError(f"its {name} is not an object with a str.")
    return text_of({name: target.get("str")}, name)


def texts_of(item: dict, name: str) -> tuple[str, ...]:
    """The texts of an optional field, one or a list of them; what is no text is left out."""
    value = item.get(name)
    values = value if isinstance(value, list) else [value]
    return tuple(v for v in values if isinstance(v, str) and v.strip() and is_whole(v))


def name_in(item: object, name: str) -> str:
    """A short name in an object; empty where it is missing or none."""
    value = item.get(name) if isinstance(item, dict) else None
    short = isinstance(value, str) and len(value) <= LONGEST_ID and is_whole(value)
    return value if short else ""


def case_id_of(item: dict, index: int) -> int | str:
    """The record's own number or name; its place in the file, where that is none or endless."""
    value = item.get("case_id", index)
    if not isinstance(value, int | str) or not is_whole(str(value)):
        return index
    return value if len(str(value)) <= LONGEST_ID else index
