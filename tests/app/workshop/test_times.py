"""Times, read and told."""

import pytest

from app.workshop.times import DAY, HOUR, MINUTE, clock_face, hours_and_minutes, seconds_of, told


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("8h", 8 * HOUR), ("2d", 2 * DAY), (" 8H ", 8 * HOUR), ("366d", 366 * DAY)],
)
def test_a_workshops_length(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "0h", "-1h", "1.5h", "8 hours", "8s", "٨h", "1e3h"])
def test_what_is_no_length_is_a_sentence(text):
    with pytest.raises(ValueError, match="30m, 8h or 2d"):
        seconds_of(text)


@pytest.mark.parametrize("text", ["367d", "99999h", "9000000m"])
def test_a_length_beyond_a_year(text):
    with pytest.raises(ValueError, match="366 days|30m, 8h or 2d"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 seconds"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (MINUTE, "1 minute"),
        (90 * MINUTE, "90 minutes"),
        (8 * HOUR, "8 hours"),
        (2 * DAY - 1, "47 hours"),
        (2 * DAY, "2 days"),
    ],
)
def test_as_people_say_it(seconds, words):
    assert told(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (59, "59 s"),
        (61, "1 min"),
        (8 * HOUR - 1, "7 h 59 min"),
        (DAY + HOUR, "1 d 1 h"),
    ],
)
def test_in_few_letters(seconds, words):
    assert hours_and_minutes(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "face"), [(-3, "0:00"), (9, "0:09"), (596, "9:56"), (HOUR + 61, "1:01:01")]
)
def test_a_clocks_face(seconds, face):
    assert clock_face(seconds) == face
