"""The protocol between server and page: every message has a model, and the page checks against what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import reactive.live
from reactive.live.web.commands import SongCommands
from reactive.live.web.live_preview import LivePreview
from reactive.live.web.protocol import (
    MAX_CREDIT,
    PAGE_MESSAGES,
    PAGE_SCRIPT,
    SERVER_MESSAGES,
    MakeChange,
    SavePreset,
    Seek,
    TakeCredit,
    page_script,
    read_message,
    write_message,
)

pytestmark = pytest.mark.fast
LIVE = Path(reactive.live.__file__).parent


def names(models: tuple[Any, ...]) -> set[str]:
    return {name for model in models for name in get_args(model.model_fields["t"].annotation)}


def test_the_page_checks_against_what_the_models_say() -> None:
    # written by `python -m reactive.live.web.protocol`
    assert PAGE_SCRIPT.read_text(encoding="utf-8") == page_script()


def test_all_that_a_page_sends_has_a_model_and_a_command() -> None:
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in PAGE_SCRIPT.parent.glob("*.js"))
    sent = set(re.findall(r'\{t: "([^"]+)"', scripts))
    assert len(sent) > 10
    # tap, one and next are sent by the name of their button
    assert names(PAGE_MESSAGES) - sent <= {"tap", "one", "next"}
    assert sent <= names(PAGE_MESSAGES)
    song = SongCommands(None, None, Path())  # type: ignore[arg-type]

    class Whose:
        clients = None

    live = LivePreview(Whose(), None)  # type: ignore[arg-type]
    # the set list is the preview's own
    assert {*song.known, *live.known, "song", "ended", "ending"} == names(PAGE_MESSAGES)


def test_all_that_the_server_sends_has_a_model_and_a_listener() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in LIVE.rglob("*.py") if path.name != "protocol.py")
    known = names(SERVER_MESSAGES)
    assert set(re.findall(r'"t": "([^"]+)"', code)) <= known
    # the studio has a server of its own, and messages of its own
    pages = (path for path in PAGE_SCRIPT.parent.glob("*.js") if not path.name.startswith("studio"))
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    listened = set(re.findall(r'connection\.on\("([^"]+)"', scripts)) - {"picture", "closed"}
    assert len(listened) > 10
    assert listened <= known


def test_what_a_page_sends_is_read_as_its_model() -> None:
    assert read_message('{"t": "seek", "time": 2, "n": 1, "credit": 8, "more": 1}') == Seek(
        t="seek", time=2.0, n=1, credit=8
    )
    assert read_message('{"t": "keep"}') == SavePreset(t="keep")
    change = read_message('{"t": "change", "kind": "black", "value": 1}')
    assert isinstance(change, MakeChange)
    assert change.model_dump(exclude_none=True) == {"t": "change", "kind": "black", "value": 1.0}
    # a page may not ask for more than can be sent
    for asked, taken in ((10**9, MAX_CREDIT), (-5, 0)):
        credit = read_message(json.dumps({"t": "credit", "n": asked}))
        assert isinstance(credit, TakeCredit)
        assert credit.n == taken


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"t": 3}',
        '{"t": "nothing"}',
        '{"t": "seek", "time": 1}',
        '{"t": "credit", "n": true}',
        '{"t": "clock", "time": NaN}',
        '{"t": "clock", "time": 1e999}',
        f'{{"t": "clock", "time": 1{"0" * 400}}}',
        '{"t": "grid", "action": "tap", "taps": [null]}',
        '{"t": "keep", "name": 3}',
        "[" * 100_000,
    ],
)
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="valid"):
        read_message(text)


def test_the_server_sends_nothing_that_the_protocol_does_not_have() -> None:
    assert json.loads(write_message({"t": "back", "time": 1.5})) == {"t": "back", "time": 1.5}
    for wrong in ({"t": "back"}, {"t": "back", "time": 1, "more": 2}, {"t": "bakc", "time": 1}, {"time": 1}):
        with pytest.raises(ValueError, match=r"back|protocol|Back"):
            write_message(wrong)
