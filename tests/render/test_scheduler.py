"""The scheduler keeps the order within shots, fills batches with lanes, and loses no segment."""

from __future__ import annotations

import random

import pytest

from reactive.render.plan import Segment
from reactive.render.workers.scheduler import SegmentScheduler
from reactive.render.workers.segment_renderer import SegmentTask
from reactive.render.workers.segment_writer import Piece

LONG = 12


def segment_tasks(shots: list[tuple[bool, int]]) -> list[SegmentTask]:
    """Return the segments of shots, each given as (is it feedback, number of frames)."""
    made: list[SegmentTask] = []
    start = 0
    for fed_back, frames in shots:
        for begin in range(start, start + frames, LONG):
            stop = min(begin + LONG, start + frames)
            segment = Segment(begin, stop, begin, (start, start + frames) if fed_back else None)
            made.append(SegmentTask(len(made), segment, Piece(begin, stop, ())))
        start += frames
    return made


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_segment_is_scheduled_once_in_the_order_of_its_shot(workers: int) -> None:
    draw = random.Random(workers)
    missing = segment_tasks([(draw.random() < 0.6, draw.randrange(5, 60)) for _ in range(20)])
    scheduler = SegmentScheduler(missing, batch=4, longest=LONG)
    hands: list[list[int]] = []
    done: list[int] = []
    while True:
        while len(hands) < workers and (numbers := scheduler.take()):
            hands.append(numbers)
        if not hands:
            break
        for number in hands.pop(draw.randrange(len(hands))):
            scheduler.finished(number)
            done.append(number)
    assert sorted(done) == [task.number for task in missing]
    for before, after in zip(missing, missing[1:], strict=False):
        if before.segment.shot is not None and before.segment.shot == after.segment.shot:
            assert done.index(before.number) < done.index(after.number)


def test_lanes_share_a_batch_and_wait_while_there_is_other_work() -> None:
    missing = segment_tasks([(True, 24), (True, 36), (True, 12), (False, 30)])
    scheduler = SegmentScheduler(missing, batch=2, longest=LONG)
    # the two longest shots first
    assert scheduler.take() == [0, 2]
    # the third shot's single lane would leave half a batch empty
    assert scheduler.take() == [6]
    scheduler.finished(0)
    assert scheduler.take() == [1, 5]
    assert scheduler.take() == [7]
    assert scheduler.take() == [8]
    # nothing else remains, so one lane alone is scheduled
    scheduler.finished(2)
    assert scheduler.take() == [3]
    assert scheduler.take() == []


def test_a_worker_gets_at_most_one_segment_of_independent_frames() -> None:
    missing = segment_tasks([(False, 4), (False, 5), (False, 6), (False, 30)])
    scheduler = SegmentScheduler(missing, batch=4, longest=LONG)
    assert scheduler.take() == [0, 1]
    assert scheduler.take() == [2]
    assert scheduler.take() == [3]


def test_lost_segments_are_scheduled_again() -> None:
    missing = segment_tasks([(True, 24), (False, 12)])
    scheduler = SegmentScheduler(missing, batch=4, longest=LONG)
    taken = scheduler.take()
    assert taken == [0]
    scheduler.put_back(0)
    assert scheduler.take() == [0]
    assert scheduler.take() == [2]
    scheduler.put_back(2)
    assert scheduler.take() == [2]
    assert scheduler.take() == []
    scheduler.finished(0)
    assert scheduler.take() == [1]
