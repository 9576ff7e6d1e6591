"""Ego4D's boundary rule: where the clip of a narration begins and ends."""

from collections import Counter

import pytest

from vipl.data.sources.ego4d.files import Part
from vipl.data.sources.ego4d.rule import Moment, Rule, Span, moments, span
from vipl.data.sources.spans import frames_between, stride_for
from vipl.errors import UserError

WHOLE = Part("full_scale/a.mp4", 0.0, 600.0, 30.0, 18000, 1920, 1080)
FEW = "narrations with fewer than 10 frames around them"


def place(time_s, neighbours=(None, None), redacted=(), parts=(WHOLE,), rule=None):
    return span(
        Moment(time_s, round(time_s * 30), ""),
        neighbours,
        redacted,
        parts=parts,
        rule=rule or Rule(),
    )


def test_a_window_around_a_lone_narration():
    """From 1 s before to 14 s after: 15 s at 10 Hz are 150 frames."""
    placed = place(100.0)
    assert placed == Span(WHOLE, 99 * 30, 99 * 30 + 149 * 3 + 1, 3)


@pytest.mark.parametrize(
    ("neighbours", "first", "last"),
    [
        ((99.5, None), 99.5, None),  # begins at the narration before
        ((50.0, None), 99.0, None),  # which is farther away than the window
        ((None, 102.0), 99.0, 102.0),  # ends at the narration after
        ((99.9, 101.0), 99.9, 101.0),
    ],
)
def test_it_stops_at_its_neighbours(neighbours, first, last):
    placed = place(100.0, neighbours)
    assert placed.start == round(first * 30)
    if last is not None:
        shown_at = [frame / 30 for frame in range(placed.start, placed.end, placed.stride)]
        assert first <= shown_at[0]
        assert last - placed.stride / 30 <= shown_at[-1] < last


def test_it_stays_in_the_video():
    assert place(0.2).start == 0
    assert place(595.0).end <= 18000
    assert place(599.9) == Span(WHOLE, 17967, 17998, 3)  # 1.1 s: 11 frames
    assert place(600.0) == "narrations outside the video's files"


def test_fewer_frames_than_allowed_make_no_clip_and_more_are_cut_off():
    assert place(100.0, (99.9, 100.8)) == FEW  # 0.9 s: 9 frames
    assert place(100.0, (99.9, 100.9)).end == 2997 + 9 * 3 + 1  # 1.0 s: 10
    short = place(100.0, rule=Rule(max_frames=20))
    assert (short.end - short.start - 1) // short.stride + 1 == 20


def test_redacted_intervals_are_never_inside():
    redacted = ((90.0, 99.5), (103.0, 105.0), (400.0, 401.0))
    placed = place(100.0, redacted=redacted)
    assert placed.start == 2985
    assert placed.end <= 103 * 30
    assert placed.end > 103 * 30 - placed.stride
    assert place(104.0, redacted=redacted) == "narrations inside a redacted interval"


def test_the_sampling_rate_is_a_whole_stride():
    assert [stride_for(fps, 10.0) for fps in (30.0, 29.97, 59.94, 25.0, 5.0)] == [3, 3, 6, 2, 1]
    assert place(100.0, rule=Rule(rate_hz=30.0, max_frames=1000)).stride == 1


def test_times_that_are_rounded_hit_their_frame():
    assert frames_between(0.1, 0.3, 30.0) == (3, 9)
    assert frames_between(1.5, 1.8, 30.0) == (45, 54)
    assert frames_between(0.0, 1.0001, 30.0) == (0, 31)


def test_a_chunk_bounds_a_clip_and_frames_count_from_its_beginning():
    chunks = [
        Part(f"v/a.mp4/{start}.mp4", start, start + 300.0, 30.0, 9000, 512, 288)
        for start in (0.0, 300.0)
    ]
    before, after = place(299.0, parts=chunks), place(300.5, parts=chunks)
    assert (before.part, before.start, before.end) == (chunks[0], 8940, 8998)
    assert (after.part, after.start) == (chunks[1], 0)
    assert place(299.0, parts=chunks[1:]) == "narrations outside the video's files"


def test_of_overlapping_clips_the_last_to_begin_is_taken():
    outer = Part("clips/outer.mp4", 0.0, 300.0, 30.0, 9000, 512, 288)
    inner = Part("clips/inner.mp4", 100.0, 110.0, 30.0, 300, 512, 288)
    assert place(105.0, parts=(outer, inner)).part == inner
    assert place(120.0, parts=(outer, inner)).part == outer


def test_narrations_are_put_in_order_and_those_on_one_frame_are_one_moment():
    left_out = Counter()
    narrations = [
        {"timestamp_sec": 4.0, "narration_text": "#C C stirs food in the pan #unsure"},
        {"timestamp_sec": 1.0, "narration_text": "#O The man X talks"},
        {"timestamp_sec": 4.01, "narration_text": "#C C looks around"},
        {"timestamp_sec": None, "narration_text": "#C C waits"},
        {"timestamp_sec": -1.0, "narration_text": "#C C waits"},
        {"timestamp_sec": 2.0, "narration_text": None},
    ]
    for order in (narrations, narrations[::-1]):
        left_out.clear()
        assert moments(order, 30.0, left_out=left_out) == [
            Moment(1.0, 30, "The man X talks"),
            Moment(2.0, 60, ""),
            Moment(4.01, 120, "C looks around"),
        ]
    assert left_out == {"narrations without a time": 2, "narrations on the frame of another": 1}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"before_s": -1.0}, "window is -1.0 s before and 14.0 s after"),
        ({"after_s": 0.0}, "expected 0 or more before and more than 0 after"),
        ({"rate_hz": 0.0}, "sampling rate is 0.0 Hz, expected more than 0"),
        ({"min_frames": 2}, "2 to 150 frames, expected 3 or more"),
        ({"min_frames": 200}, "200 to 150 frames"),
    ],
)
def test_numbers_that_make_no_sense(numbers, message):
    with pytest.raises(UserError, match=message):
        Rule(**numbers)
