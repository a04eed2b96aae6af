"""What goes over the WebSocket: every message that a page sends or gets, as a model of pydantic, and pictures as binary data.

A JSON message has a type `t`. What a page sends is one of `PAGE_MESSAGES` and arrives as its model; what a page gets is one of
`SERVER_MESSAGES`. The page checks both against `page/protocol.js`, which this file writes:

    python -m reactive.live.web.protocol
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Union, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

# little-endian: version, three spare bytes, epoch, frame, four spare bytes, song time in seconds; the JPEG follows
HEAD = struct.Struct("<B3xIIxxxxd")
VERSION = 1
MAX_MESSAGE = 16_384
MAX_CREDIT = 240
PAGE_SCRIPT = Path(__file__).resolve().parent / "page" / "protocol.js"


def _within(low: int, high: int) -> AfterValidator:
    return AfterValidator(lambda value: min(max(value, low), high))


Credit = Annotated[int, _within(0, MAX_CREDIT)]
Count = Annotated[int, _within(0, 2**31)]


class PageMessage(BaseModel):
    """What a page sends; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)
    t: str


class TakeCredit(PageMessage):
    """The page can take `n` more pictures."""

    t: Literal["credit"]
    n: Credit


class TellClock(PageMessage):
    """The page's song is at `time`; only the page that holds the transport counts."""

    t: Literal["clock"]
    time: float
    playing: bool = False


class Seek(PageMessage):
    """Go to `time`: the page's `n`-th jump, after which it can take `credit` pictures."""

    t: Literal["seek"]
    time: float
    n: Count
    credit: Credit
    playing: bool = False


class SetLoop(PageMessage):
    """Repeat the song from `a` to `b`; without them, none of it."""

    t: Literal["loop"]
    a: float | None = None
    b: float | None = None


class Act(PageMessage):
    """An action by its name, of those that MIDI and keys have too (`reactive.live.control.remote.target`), at the playhead."""

    t: Literal["act"]
    name: str


class NameMark(PageMessage):
    """Rename a cue point or a snapshot, by its number from 1, or delete it if there is no name."""

    t: Literal["mark"]
    what: Literal["cue", "snapshot"]
    number: Count
    name: str | None = None


class TakeOver(PageMessage):
    """This page takes the transport."""

    t: Literal["take over"]


class MakeChange(PageMessage):
    """A live change from song time `time` on; `reactive.render.take.check_change` checks it."""

    t: Literal["change"]
    kind: str
    time: float | None = None
    name: str | None = None
    value: float | None = None
    text: str | None = None


class Undo(PageMessage):
    """Take back the last change."""

    t: Literal["undo"]


class Forget(PageMessage):
    """Take back all changes."""

    t: Literal["forget"]


class Prepare(PageMessage):
    """Imagine the feedback shot at `time` before it plays."""

    t: Literal["prepare"]
    time: float


class SaveTake(PageMessage):
    """Write the changes so far as a take; the page can't choose the path."""

    t: Literal["save take"]


class CorrectGrid(PageMessage):
    """Correct the grid by an action of `reactive.live.grid.ACTIONS`."""

    t: Literal["grid"]
    action: str
    ms: float | None = None
    time: float | None = None
    taps: list[float] | None = None
    meter: str | None = None
    section: str | None = None
    name: str | None = None


class AskSavePlan(PageMessage):
    """What would saving into the preset do?"""

    t: Literal["keep?"]


class SavePreset(PageMessage):
    """Save changes into the preset, or into a copy called `name`."""

    t: Literal["keep"]
    name: str | None = None


class NextPhase(PageMessage):
    """Begin the next phase of what is played live."""

    t: Literal["next"]


class Tap(PageMessage):
    """A tap on the beat of what is played live."""

    t: Literal["tap"]


class One(PageMessage):
    """The nearest beat of what is played live is the first of its bar."""

    t: Literal["one"]


class ChooseSong(PageMessage):
    """Go to song `number` of the set list, from 0, or by `step` songs."""

    t: Literal["song"]
    number: int | None = None
    step: Literal[-1, 1] | None = None


class SongEnded(PageMessage):
    """The song is over; only the page that holds the transport counts."""

    t: Literal["ended"]


class ChooseEnding(PageMessage):
    """What follows when a song is over: a key of `reactive.live.setlist.ENDINGS`."""

    t: Literal["ending"]
    ending: str


_PageMessage: TypeAlias = Union[  # noqa: UP007 a union of this many is easier to read this way
    TakeCredit,
    TellClock,
    Seek,
    SetLoop,
    Act,
    NameMark,
    TakeOver,
    MakeChange,
    Undo,
    Forget,
    Prepare,
    SaveTake,
    CorrectGrid,
    AskSavePlan,
    SavePreset,
    NextPhase,
    Tap,
    One,
    ChooseSong,
    SongEnded,
    ChooseEnding,
]
PAGE_MESSAGES: tuple[type[BaseModel], ...] = get_args(_PageMessage)


class ServerMessage(BaseModel):
    """What a page gets."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Control(ServerMessage):
    """A slider of the page; `rest` is its value when untouched."""

    label: str
    rest: float
    low: float
    high: float
    step: float
    meaning: str


class Hello(ServerMessage):
    """The first message about a song."""

    t: Literal["hello"]
    title: str
    duration: float
    fps: Annotated[list[int], Field(min_length=2, max_length=2)]
    size: list[int]
    imagined: list[int]
    model: str
    steps: int
    draft: bool
    controls: dict[str, Control]
    song: int
    keys: dict[str, str]
    # the port of the page that may show this one in a frame, and share its playhead
    framed_by: int | None


class LiveHello(ServerMessage):
    """The first message about a live input."""

    t: Literal["hello"]
    live: Literal[True]
    title: str
    size: list[int]
    imagined: list[int]
    model: str
    steps: int
    draft: bool
    controls: dict[str, Control]
    presets: list[str]
    keys: dict[str, str]


class Problem(ServerMessage):
    """An error; `text` is the line for a person, `about` says that a file is wrong."""

    t: Literal["error"]
    what: str
    where: str
    remedy: str
    text: str
    about: str | None = None


class Part(ServerMessage):
    """A part of the song: its start in seconds, its section's letter and its name."""

    start: float
    label: str
    name: str


class Grid(ServerMessage):
    """What the page shows of the grid."""

    tempo: float
    meter: str
    metres: list[str]
    offset: float
    half: bool
    double: bool
    corrected: bool
    beats: int
    other: str
    parts: list[Part]


class Coming(ServerMessage):
    """A change that is not heard yet: `time` is its song time, None for the next jump of the playhead (or beat of a live input)."""

    kind: str
    name: str
    value: float
    time: float | None


class CuePoint(ServerMessage):
    """A cue point, at `time` in seconds."""

    name: str
    time: float


class State(ServerMessage):
    """The state of a song.

    `quantise` is a unit of `reactive.live.quantise.QUANTISE`, `loop_start` of a loop without an end yet, `jump` at which time the
    playhead jumps and where to, `snapshots` the name in each slot, `glide` the beats over which one is recalled.
    """

    t: Literal["state"]
    revision: int
    presets: list[str]
    preset: str
    problem: Problem | None
    grid: Grid | None
    phases: list[str]
    controls: dict[str, float]
    macros: dict[str, str]
    freeze: bool
    hold: bool
    black: bool
    changes: int
    saved: bool
    songs: list[str]
    song: int
    ready: int | None
    ending: str
    endings: dict[str, str]
    quantise: str
    loop: list[float] | None
    loop_start: float | None
    waiting: list[Coming]
    jump: list[float] | None
    cues: list[CuePoint]
    snapshots: list[str | None]
    glide: int


class LiveState(ServerMessage):
    """The state of a live input."""

    t: Literal["state"]
    revision: int
    preset: str
    phases: list[str]
    controls: dict[str, float]
    macros: dict[str, str]
    freeze: bool
    hold: bool
    black: bool
    quantise: str
    snapshots: list[str | None]
    waiting: list[Coming]


class OutputStatus(ServerMessage):
    """The state of an output: its kind, size, the frames that it got, and its error."""

    kind: str
    size: list[int]
    sent: int
    failed: str | None


class Status(ServerMessage):
    """The state of the engine.

    `stride` is a fraction (numerator, denominator), `kept` the number of pictures in memory; the others are as in
    `reactive.live.engine.Status`.
    """

    t: Literal["status"]
    rate: float
    ahead: float
    stride: Annotated[list[int] | tuple[int, ...], Field(min_length=2, max_length=2)]
    behind: float
    late: bool
    prepared: float | None
    quality: int
    shot: list[float] | None
    failed: str | None
    note: str | None
    kept: int
    outputs: list[OutputStatus] = []


class LiveStatus(ServerMessage):
    """The state of the live input, and what is heard now."""

    t: Literal["status"]
    rate: float
    latency: dict[str, float]
    tempo: float | None
    levels: dict[str, float]
    phase: int
    prompt: str
    ended: bool
    failed: str | None
    outputs: list[OutputStatus] = []


class Role(ServerMessage):
    """Whether this page holds the transport or can only look, and how many pages there are."""

    t: Literal["role"]
    role: Literal["holder", "viewer", "looker"]
    pages: int


class Epoch(ServerMessage):
    """A new epoch, which each jump or change begins: pictures of other epochs are dropped, except those before song time `since`.

    `n` is the jump of the page that this answers, -1 for none.
    """

    t: Literal["epoch"]
    epoch: int
    n: int
    time: float | None = None
    since: float | None = None


class Clock(ServerMessage):
    """Where the song is in the page that plays it; with `epoch` it has jumped."""

    t: Literal["clock"]
    time: float
    playing: bool
    epoch: int | None = None


class Back(ServerMessage):
    """The loop's end at `edge` is reached, or a jump is due: go to `time`, later by as much as the sound has passed the edge."""

    t: Literal["back"]
    time: float
    edge: float
    once: bool = False


class Play(ServerMessage):
    """Play or pause, by a controller."""

    t: Literal["play"]
    playing: bool


class Begin(ServerMessage):
    """A song begins: play it from its start, or stop there."""

    t: Literal["begin"]
    playing: bool


class GoOn(ServerMessage):
    """The song is over: the picture goes on from `a` to `b` again and again, without sound."""

    t: Literal["go on"]
    a: float
    b: float


class Marked(ServerMessage):
    """A controller tapped the beat, or marked the first beat of a bar, at song time `time`."""

    t: Literal["tap", "one"]
    time: float


class Reloaded(ServerMessage):
    """The preset's file was saved and is loaded now."""

    t: Literal["reloaded"]


class SavePlanAnswer(ServerMessage):
    """What saving into the preset would do."""

    t: Literal["keep?"]
    preset: str
    own: bool
    path: str | None
    says: list[str]
    leaves: list[str]
    warning: str
    name: str


class PresetSaved(ServerMessage):
    """The preset was saved in `path`."""

    t: Literal["kept"]
    path: str


class TakeSaved(ServerMessage):
    """The take was saved in `path`."""

    t: Literal["saved"]
    path: str
    changes: int


class Starting(ServerMessage):
    """The preview is still starting: what it is doing, for how many seconds, and what went wrong."""

    t: Literal["starting"]
    doing: str
    passed: float
    failed: str | None


def _kind(message: Mapping[str, Any]) -> str:
    """Return the name of a message's model: those of a live input have their own."""
    kind = str(message.get("t"))
    is_live = (kind == "hello" and "live" in message) or (kind == "state" and "presets" not in message)
    return f"live {kind}" if is_live or (kind == "status" and "latency" in message) else kind


_LIVE: dict[str, type[BaseModel]] = {"live hello": LiveHello, "live state": LiveState, "live status": LiveStatus}
_SONG: tuple[type[BaseModel], ...] = (
    Hello,
    State,
    Status,
    Problem,
    Role,
    Epoch,
    Clock,
    Back,
    Play,
    Begin,
    GoOn,
    Marked,
    Reloaded,
    SavePlanAnswer,
    PresetSaved,
    TakeSaved,
    Starting,
)
SERVER_MESSAGES: tuple[type[BaseModel], ...] = (*_SONG, *_LIVE.values())
_BY_KIND = {name: model for model in _SONG for name in get_args(model.model_fields["t"].annotation)} | _LIVE
_READ: TypeAdapter[PageMessage] = TypeAdapter(Annotated[_PageMessage, Field(discriminator="t")])


def pack_picture(epoch: int, frame: int, seconds: float, jpeg: bytes) -> bytes:
    """Return a picture's message."""
    return HEAD.pack(VERSION, epoch & 0xFFFFFFFF, frame, seconds) + jpeg


def unpack_picture(message: bytes) -> tuple[int, int, float, bytes]:
    """Return a message's epoch, frame, song time and JPEG."""
    version, epoch, frame, seconds = HEAD.unpack_from(message)
    if version != VERSION:
        raise ValueError(f"version {version}")
    return epoch, frame, seconds, message[HEAD.size :]


def read_message(text: str) -> PageMessage:
    """Return a page's message.

    Raises
    ------
    ValueError
        If it is not one.
    """
    return _READ.validate_json(text)


def write_message(data: Mapping[str, Any]) -> str:
    """Return a message for a page as JSON.

    Raises
    ------
    ValueError
        If the protocol has no such message, which is a bug.
    """
    model = _BY_KIND.get(_kind(data))
    if model is None:
        raise ValueError(f"the protocol has no message {data.get('t')!r}")
    model.model_validate(data)
    return json.dumps(data)


def number(data: Mapping[str, Any], key: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a number from a message, kept within a range.

    Raises
    ------
    ValueError
        If it is not a finite number.
    """
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{key} is no number")
    return min(max(float(value), low), high)


def page_script() -> str:
    """Return `page/protocol.js`: the kinds of value that each field of each message has, and the positions in a picture's header."""
    places = {"version": 0, "epoch": 4, "frame": 8, "time": 16, "size": HEAD.size}
    return f"""\
// What goes over the WebSocket, as the server's models say it. Written by `python -m reactive.live.web.protocol`: change it there.

// Of each message, one or more forms; of each field, the kinds of value that it may have, "?" if it may be left out.
export const FROM_SERVER = {_forms(SERVER_MESSAGES)};

export const FROM_PAGE = {_forms(PAGE_MESSAGES)};

// Places of the numbers in a picture's head, and its length.
export const HEAD = {json.dumps(places)};
export const VERSION = {VERSION};

function kindOf(value) {{
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}}

function faultOf(form, message) {{
  for (const [name, kinds] of Object.entries(form)) {{
    if (message[name] === undefined) {{
      if (!kinds.includes("?")) return `${{name}} is missing`;
    }} else if (!kinds.includes(kindOf(message[name]))) return `${{name}} is no ${{kinds[0]}}`;
  }}
  return null;
}}

// What is wrong with a message, or null.
export function fault(messages, message) {{
  const forms = Object.hasOwn(messages, message?.t) ? messages[message.t] : null;
  if (!forms) return `no message ${{message?.t}} is known`;
  const faults = forms.map((form) => faultOf(form, message));
  return faults.includes(null) ? null : `${{message.t}}: ${{faults[0]}}`;
}}
"""


def _forms(models: Sequence[type[BaseModel]]) -> str:
    """Return the forms of messages as JavaScript, one a line."""
    forms: dict[str, list[str]] = {}
    for model in models:
        schema = model.model_json_schema()
        required, fields = schema.get("required", []), schema["properties"]
        form = {
            name: _kinds(field) + ([] if name in required else ["?"]) for name, field in fields.items() if name != "t"
        }
        for name in get_args(model.model_fields["t"].annotation):
            forms.setdefault(name, []).append(json.dumps(form))
    between = ",\n    "
    lines = [f"  {json.dumps(name)}: [\n    {between.join(told)},\n  ]," for name, told in forms.items()]
    return "{\n" + "\n".join(lines) + "\n}"


def _kinds(field: Mapping[str, Any]) -> list[str]:
    """Return what JavaScript calls the kinds of value that a field of a JSON Schema may have."""
    if "anyOf" in field:
        return list(dict.fromkeys(kind for part in field["anyOf"] for kind in _kinds(part)))
    if "$ref" in field:
        return ["object"]
    return ["number" if field["type"] == "integer" else cast(str, field["type"])]


if __name__ == "__main__":
    PAGE_SCRIPT.write_text(page_script(), encoding="utf-8", newline="\n")
