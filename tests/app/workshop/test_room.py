"""Who is here, what runs for whom, who waits; and what all are told."""

import gc
import threading
import weakref
from dataclasses import dataclass

from app.workshop.notice import SOON, TIME_IS_UP, notice
from app.workshop.room import Board, Person, Room, start_clock, stop_clock
from core.model.locks import FairLock

NOW, LATER = 1000.0, 1000.0 + 8 * 3600


@dataclass(eq=False)
class Work:
    running: bool = True


def came(room: Room, workshop: str = "one", **known) -> Person:
    person = Person(room, workshop, **known)
    room.add(person)
    return person


def test_people_are_counted_by_workshop_and_without_those_who_lead():
    room = Room()
    ana, boris = came(room, name="Ana"), came(room)
    came(room, lead=True)
    came(room, "two")
    came(room, "")
    assert room.people("one") == [ana, boris]
    assert room.others("one") == 2
    room.add(ana)
    assert len(room.people("one")) == 2, "a run of a page brings nobody twice"
    ana.leave()
    ana.leave()
    assert room.people("one") == [boris]


def test_running_work_is_its_workshops_alone():
    room, ours, over, theirs = Room(), Work(), Work(False), Work()
    came(room, name="Ana", jobs={"edit": ours, "study": over})
    came(room, "two", jobs={"edit": theirs})
    assert room.running("one") == [("Ana", ours)]
    assert room.running("two") == [("", theirs)]


def test_work_that_two_watch_is_there_once_with_the_name_that_was_given():
    room, study = Room(), Work()
    came(room, jobs={"study": study})
    came(room, name="Ana", jobs={"study": study})
    assert room.running("one") == [("Ana", study)]


def test_work_goes_on_after_its_session_and_is_then_forgotten():
    room, study = Room(), Work()
    ana = came(room, name="Ana", jobs={"study": study, "edit": Work(False)})
    ana.leave()
    assert room.running("one") == [("Ana", study)]
    study.running = False
    assert room.running("one") == []
    kept = weakref.ref(study)
    del study, ana
    came(room).leave()
    gc.collect()
    assert kept() is None


def test_a_session_that_left_is_freed():
    room = Room()
    lost = weakref.ref(ana := came(room))
    ana.leave()
    del ana
    gc.collect()
    assert lost() is None


def test_queues_are_those_of_the_models_in_use():
    room, busy, free = Room(), FairLock(), FairLock()
    came(room, model="SmolLM2", lock=weakref.ref(busy))
    came(room, model="SmolLM2", lock=weakref.ref(busy))
    came(room, model="Tiny GPT-2", lock=weakref.ref(free))
    came(room)
    came(room, model="gone", lock=weakref.ref(FairLock()))

    def wait():
        with busy:
            pass

    threads = [threading.Thread(target=wait) for _ in range(3)]
    with busy:
        for thread in threads:
            thread.start()
        while busy.waiting < len(threads):
            pass
        assert room.queues() == [("SmolLM2", 3), ("Tiny GPT-2", 0)]
    for thread in threads:
        thread.join()


def test_a_board_is_its_workshops_own():
    room = Room()
    room.board("one").message = "hello"
    assert room.board("one").message == "hello"
    assert room.board("two").message == ""


def test_nothing_is_drawn_where_nothing_is_said():
    assert notice(Board(), LATER, NOW) == ""


def test_a_message_stands_there_as_text():
    attack = '<script>x</script> & "y" **z** $x$ :red[w]\nline'
    shown = notice(Board(attack), LATER, NOW)
    assert "<script>" not in shown
    assert "&lt;script&gt;x&lt;/script&gt; &amp; &quot;y&quot; **z** $x$ :red[w]\nline" in shown


def test_the_exercises_clock_runs_and_stops():
    board = Board()
    start_clock(board, 10, lambda: NOW)
    assert "<b>10:00</b> left" in notice(board, LATER, NOW)
    assert "<b>0:04</b> left" in notice(board, LATER, NOW + 596)
    assert "Time is up" in notice(board, LATER, NOW + 600)
    assert "Time is up" in notice(board, LATER, NOW + 600 + TIME_IS_UP)
    assert notice(board, LATER, NOW + 601 + TIME_IS_UP) == ""
    stop_clock(board)
    assert notice(board, LATER, NOW + 596) == ""


def test_the_end_of_the_workshop_is_announced():
    assert notice(Board(), NOW + SOON, NOW) == ""
    assert "closes in 9 minutes" in notice(Board(), NOW + SOON - 1, NOW)
    assert "closes in 5 seconds" in notice(Board(), NOW + 5, NOW)
    assert notice(Board(), NOW, NOW) == ""
