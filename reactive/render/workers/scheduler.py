"""Hand missing segments out to workers: which can be rendered now, and which side by side.

Independent segments are handed out one piece of work at a time. Feedback segments of a shot follow one another, each growing out of the
state that the one before it left in the job folder; the next ones of many shots are lanes of one batch, so they are handed
out together.
"""

from __future__ import annotations

from collections.abc import Sequence

from reactive.render.workers.segment_renderer import SegmentTask, chains


class SegmentScheduler:
    """Segments of a plan, by number, that no worker has yet.

    Parameters
    ----------
    tasks
        What is missing, in the plan's order.
    batch
        Pictures of a batch: as many lanes cost no more than one.
    longest
        Frames of the plan's longest segment: at most so many independent ones are handed out at once.
    """

    def __init__(self, tasks: Sequence[SegmentTask], *, batch: int, longest: int) -> None:
        self.batch = batch
        self.longest = longest
        self.frames = {task.number: task.segment.stop - task.segment.start for task in tasks}
        self.single = [task.number for task in tasks if task.segment.shot is None]
        self.chains = [[task.number for _, task in chain] for _, chain in chains(tasks)]
        # chains whose next segment a worker has, by that segment
        self.in_progress: dict[int, list[int]] = {}

    def take(self) -> list[int]:
        """Return numbers of segments that can be rendered now by one worker, in order; none if it has to wait."""
        # the shots with most segments left first: they take longest
        ready = sorted(self.chains, key=lambda chain: (-sum(self.frames[n] for n in chain), chain[0]))
        # half a batch of lanes costs as much as a whole one, so lanes wait for others while there is other work
        if ready and (len(ready) >= self.batch or not self.in_progress or not self.single):
            chosen = ready[: self.batch]
            for chain in chosen:
                self.chains.remove(chain)
                self.in_progress[chain[0]] = chain
            return sorted(chain[0] for chain in chosen)
        taken: list[int] = []
        frames = 0
        while self.single and (not taken or frames + self.frames[self.single[0]] <= self.longest):
            taken.append(self.single.pop(0))
            frames += self.frames[taken[-1]]
        return taken

    def finished(self, number: int) -> None:
        """Mark a segment as done: the one that continues it can be taken."""
        rest = self.in_progress.pop(number, [number])[1:]
        if rest:
            self.chains.append(rest)

    def put_back(self, number: int) -> None:
        """Take back a segment that was taken and could not be rendered."""
        if number in self.in_progress:
            self.chains.append(self.in_progress.pop(number))
        else:
            self.single.insert(0, number)
