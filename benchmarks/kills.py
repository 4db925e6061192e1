"""What is left when the server is killed under load: python -m benchmarks.kills [--times 20]

A server with folders of its own, six visitors who open pages and make edits, and one study that
was told to go on. The server is killed (SIGKILL) after 2 to 8 s, and started anew; after each start
the study must have as many records as before, or more. At the end it must be the study that is
made without any kill, and no folder of a killed server may be left.

Prints, for each kill: the seconds until the server answers again, and how far the study is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import psutil
from websockets.asyncio.client import connect

import core
from app.shell.study_jobs import PREFIX, SO_FAR
from benchmarks.visitor import Server, Session, new_prompt, server
from core.model.workplace import LOCK
from core.studies.counterfact import MINI_COUNTERFACT

MODEL, RECORDS, SEED = "tiny-gpt2", 559, 0
PAGES = ("", "backward_lens", "edit", "gradient_rank", "ask")


async def start_study(address: str) -> str:
    """Ask for all records, tick "Go on", press Start; the study's token from the page's link."""
    query = urlencode({"model": MODEL, "target": "Paris"})
    async with connect(address, subprotocols=["streamlit"], max_size=None) as socket:
        session = Session(socket, "many_prompts", query)
        await session.run()
        await session.send(
            ("number_input", "How many", {"double_value": RECORDS}),
            ("checkbox", "Go on", {"bool_value": True}),
            ("button", "Start", {"trigger_value": True}),
        )
        while "study" not in parse_qs(session.query):
            await session.whole()
        return parse_qs(session.query)["study"][0]


async def visitor(address: str) -> None:
    """Opens page after page until the server is gone."""
    rng = random.Random()
    with suppress(Exception):
        while True:
            async with connect(address, subprotocols=["streamlit"], max_size=None) as socket:
                query = urlencode({"model": MODEL, "prompt": new_prompt(), "target": "Paris"})
                page = rng.choice(PAGES)
                session = Session(socket, page, query)
                await session.run()
                await (
                    session.press("Make it say") if page == "edit" else session.run(new_prompt())
                )


def study_folder(cache: Path, token: str) -> Path | None:
    found = list((cache / "studies").glob(f"{PREFIX}*/{token}"))
    assert len(found) <= 1, f"the study is in two places: {found}"
    return found[0] if found else None


def done(cache: Path, token: str) -> int:
    """The records that the study has on disk."""
    folder = study_folder(cache, token)
    if folder is None or not (folder / SO_FAR).exists():
        return 0
    while True:
        with suppress(core.PromptError):  # it was being written
            return core.Study.load(folder / SO_FAR).header.done


async def one_life(place: Server, seconds: float) -> None:
    people = [asyncio.create_task(visitor(place.address)) for _ in range(6)]
    await asyncio.sleep(seconds)
    place.process.kill()
    place.process.wait()
    for person in people:
        person.cancel()
    await asyncio.gather(*people, return_exceptions=True)


async def watch(address: str, cache: Path, token: str) -> None:
    """Until the study is whole, as one who opens its link."""
    query = urlencode({"study": token, "target": "Paris"})
    async with connect(address, subprotocols=["streamlit"], max_size=None) as socket:
        session = Session(socket, "many_prompts", query)
        await session.run()
        assert any("Study of" in text or f"{RECORDS} records" in text for text in session.texts)
    while done(cache, token) < RECORDS:
        await asyncio.sleep(0.2)


def left(cache: Path, temporary: Path) -> list[str]:
    """What killed servers left behind: folders beside the living server's."""
    studies = [path.name for path in (cache / "studies").iterdir()]
    own = {name.removesuffix(LOCK) for name in studies}
    extra = sorted(own)[1:] if len(own) > 1 else []
    return [*extra, *(path.name for path in temporary.iterdir())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        cache, temporary = Path(folder, "cache"), Path(folder, "tmp")
        temporary.mkdir()
        os.environ |= {"BACKWARD_LENS_CACHE": str(cache), "TMPDIR": str(temporary)}
        token, starts, before = "", [], 0
        for number in range(times):
            begun = time.monotonic()
            with server(None) as place:
                starts.append(time.monotonic() - begun)
                token = token or asyncio.run(start_study(place.address))
                now = done(cache, token)
                assert now >= before, f"records were lost: {before} before, {now} now"
                with suppress(psutil.NoSuchProcess):
                    asyncio.run(one_life(place, random.uniform(2, 8)))
                before = done(cache, token)
                print(
                    f"kill {number + 1:2d}: up in {starts[-1]:.1f} s, {before} records", flush=True
                )
        with server(None) as place:
            asyncio.run(watch(place.address, cache, token))
            made = core.Study.load(study_folder(cache, token) / SO_FAR)
            remains = left(cache, temporary)
        whole = core.study(
            core.load_model(MODEL),
            core.load_counterfact(MINI_COUNTERFACT),
            limit=RECORDS,
            seed=SEED,
            batch_size=1,
        )
        same = all(
            json.loads(getattr(made, t).to_json()) == json.loads(getattr(whole, t).to_json())
            for t in ("norms", "token_ranks", "gradient_ranks")
        )
        print(f"started in {statistics.median(starts):.1f} s (at most {max(starts):.1f})")
        print(f"the study equals one without kills: {same}; left behind: {remains or 'nothing'}")


if __name__ == "__main__":
    main()
