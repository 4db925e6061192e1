"""Workshops on disk: whole, private, without their codes; open, over or ended."""

import json
import os
import stat

import pytest

from app.settings import CACHE, WORKSHOPS
from app.workshop import store
from app.workshop.codes import bare
from app.workshop.plan import ENDED, EXPIRED, OPEN, plan

NOW = 1_800_000_000.0
PINS = {
    "model": "tiny-gpt2",
    "pages": ("", "edit"),
    "prompt": "Обама “grew” up in",
    "target": "Paris",
    "prompt_tokens": 20,
}


def made(now: float = NOW, **pins):
    workshop, code, lead = plan(now, 3600, "Lens", **(PINS | pins))
    store.save(workshop)
    return workshop, code, lead


def test_what_was_written_is_read(workshops):
    workshop, _, _ = made()
    assert store.read(workshop.id) == workshop
    assert store.every() == [workshop]
    assert [path.name for path in workshops.iterdir()] == [f"{workshop.id}.json"]


def test_only_the_operator_reads_it_and_no_code_is_in_it(workshops):
    workshop, code, lead = made()
    path = workshops / f"{workshop.id}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(workshops.stat().st_mode) == 0o700
    text = path.read_text(encoding="utf-8")
    for secret in (code, lead, bare(code), bare(lead)):
        assert secret not in text
        assert secret not in repr(workshop)
    assert workshop.code_hash not in repr(workshop)


def test_a_code_finds_its_workshop_and_its_role():
    (one, code, lead), (two, other, _) = made(), made()
    assert store.find(code) == (one, False)
    assert store.find(lead.upper()) == (one, True)
    assert store.find(other) == (two, False)
    for wrong in ("", "wrong", code[:-1], lead[:-1], one.id, one.code_hash):
        assert store.find(wrong) is None


def test_its_state_follows_the_clock():
    workshop, _, _ = made()
    assert workshop.state(NOW) == OPEN
    assert workshop.state(NOW + 3599) == OPEN
    assert workshop.state(NOW + 3600) == EXPIRED
    assert store.end(workshop.id, NOW + 5).state(NOW + 6) == ENDED
    assert store.read(workshop.id).ended == NOW + 5
    assert store.end(workshop.id, NOW + 90).ended == NOW + 5, "once and for good"
    assert store.end("nothing", NOW) is None


def test_an_interrupted_writer_leaves_the_old_one(workshops, monkeypatch):
    workshop, _, _ = made()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.end(workshop.id, NOW)
    assert store.read(workshop.id) == workshop
    assert len(list(workshops.iterdir())) == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"id": "damaged"}', b'{"pages": 3}', b"null"]
)
def test_a_damaged_file_counts_as_none(workshops, content):
    workshop, code, _ = made()
    (workshops / "damaged.json").write_bytes(content)
    assert store.read("damaged") is None
    assert store.every() == [workshop]
    assert store.find(code) == (workshop, False)


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".", "A", "x" * 30, "a\0b"])
def test_a_name_cannot_lead_out_of_the_folder(workshops, name):
    made()
    (workshops.parent / "outside.json").write_text(json.dumps({"id": "outside"}))
    assert store.read(name) is None
    assert store.end(name, NOW) is None


def test_a_change_on_disk_is_seen():
    workshop, _, _ = made()
    assert store.read(workshop.id).ended is None
    store.end(workshop.id, NOW)
    assert store.read(workshop.id).ended == NOW


def test_where_they_are_kept_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv(WORKSHOPS.name)
    monkeypatch.setenv(CACHE.name, str(tmp_path))
    assert store.folder() == tmp_path / "workshops"
    assert store.every() == []


def test_pages_that_are_not_named_are_all():
    workshop, _, _ = made(pages=())
    assert workshop.has_page("neurons")
    workshop, _, _ = made()
    assert workshop.has_page("")
    assert not workshop.has_page("neurons")
