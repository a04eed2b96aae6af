"""MIDI: mappings, the commands of messages, and errors without a port."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mido", reason="the extra [midi] is not installed")
import mido

from reactive.errors import MediaError, ReactiveError
from reactive.live.control.midi import chosen_port, open_port, read_mapping
from reactive.live.control.remote import Action, placed

MAPPING = """
port = "nano"
[cc]
1 = "macro.storm"
2 = "walk"
64 = "hold"
[note]
36 = "next"
37 = "phase.2"
"""


def test_a_mapping_file_and_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    file.write_text(MAPPING)
    mapped = read_mapping([str(file), "cc2=strength", "note 38 = blackout"])
    assert mapped.port == "nano"

    def asked(kind: str, **values: int) -> Action | None:
        return mapped.action(mido.Message(kind, channel=5, **values))

    assert asked("control_change", control=1, value=127) == Action("control", "macro.storm", 1.0, share=True)
    assert asked("control_change", control=2, value=0) == Action("control", "strength", 0.0, share=True)
    assert asked("control_change", control=64, value=127) == Action("hold", value=-1.0)
    assert asked("control_change", control=64, value=0) is None
    assert asked("control_change", control=99, value=5) is None
    assert asked("note_on", note=36, velocity=90) == Action("next")
    assert asked("note_on", note=36, velocity=0) is None
    assert asked("note_off", note=36, velocity=0) is None
    assert asked("note_on", note=37, velocity=1) == Action("phase", value=2.0)
    assert asked("note_on", note=38, velocity=1) == Action("black", value=-1.0)
    assert mapped.action(mido.Message("pitchwheel", pitch=3)) is None
    assert mapped.action(mido.Message("sysex", data=[1, 2])) is None


def test_a_knob_covers_the_full_range_of_its_control() -> None:
    assert placed(Action("control", "strength", 0.0, share=True)).value == -0.5
    assert placed(Action("control", "strength", 1.0, share=True)).value == 0.5
    assert placed(Action("control", "macro.storm", 0.3, share=True)) == Action("control", "macro.storm", 0.3)


@pytest.mark.parametrize(
    "wrong", ["cc128=walk", "cc=walk", "knob1=walk", "cc1=door", "cc1=", "cc1=macro.", "note36=/etc/passwd"]
)
def test_invalid_mappings_are_reported(wrong: str) -> None:
    with pytest.raises(ReactiveError) as caught:
        read_mapping([wrong])
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text", ["[cc]\n1 = 'door'", "[cc]\n999 = 'walk'", "[keys]\n1 = 'walk'", "cc = 3", "[cc", "x = 1"]
)
def test_invalid_mapping_files_are_reported(tmp_path: Path, text: str) -> None:
    file = tmp_path / "map.toml"
    file.write_text(text)
    with pytest.raises(ReactiveError) as caught:
        read_mapping([str(file)])
    assert str(file) in caught.value.where or caught.value.where == "--midi-map"
    with pytest.raises(ReactiveError):
        read_mapping([str(tmp_path / "missing.toml")])


def test_ports() -> None:
    assert chosen_port(["Through", "nanoKONTROL2 1"], "NANO") == "nanoKONTROL2 1"
    assert chosen_port(["Through"], "") == "Through"
    with pytest.raises(MediaError, match="no MIDI input"):
        chosen_port([], "")
    with pytest.raises(MediaError, match='no MIDI input "x"') as caught:
        chosen_port(["Through"], "x")
    assert "Through" in caught.value.remedy


def test_a_port_queues_received_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "rtmidi", object())
    monkeypatch.setattr(mido, "get_input_names", lambda: ["fake"])
    monkeypatch.setattr(
        mido, "open_input", lambda name, callback: opened.update(name=name, callback=callback) or opened
    )
    done: list[Action] = []
    assert open_port("fa", read_mapping(["cc1=walk"]), done.append) is opened
    opened["callback"](mido.Message("control_change", control=1, value=64))
    opened["callback"](mido.Message("control_change", control=2, value=64))
    assert [action.name for action in done] == ["walk"]


def test_no_driver_and_no_library_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmidi", object())

    def broken() -> list[str]:
        raise SystemError("MidiInAlsa::initialize: error creating\nALSA sequencer client object.")

    monkeypatch.setattr(mido, "get_input_names", broken)
    with pytest.raises(MediaError, match="has no MIDI") as caught:
        open_port("", read_mapping([]), lambda action: None)
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "rtmidi", None)
    with pytest.raises(MediaError, match="python-rtmidi"):
        open_port("", read_mapping([]), lambda action: None)


def test_a_mapping_is_printed_as_a_file_that_reads_the_same(tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    file.write_text(MAPPING)
    mapped = read_mapping([str(file), "cc2=strength", "note 38 = blackout"])
    shared = tmp_path / "shared.toml"
    shared.write_text(mapped.text())
    again = read_mapping([str(shared)])
    assert (again.entries, again.port) == (mapped.entries, "nano")
    assert len(again.entries) == 6


def test_without_a_mapping_a_file_to_begin_with_is_printed(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from reactive.cli import main

    done = CliRunner().invoke(main, ["preview", "--print-midi-map"])
    assert done.exit_code == 0
    file = tmp_path / "map.toml"
    file.write_text(done.output)
    assert read_mapping([str(file)]).entries == {}
    # its comments are lines that work
    file.write_text(done.output.replace('# port = "', 'port = "').replace("\n# 3", "\n3").replace("\n# 1 ", "\n1 "))
    begun = read_mapping([str(file)])
    assert begun.port
    assert {way for way, _ in begun.entries} == {"cc", "note"}
    wrong = CliRunner().invoke(main, ["preview", "--midi-map", "cc1=door", "--print-midi-map"])
    assert wrong.exit_code == 2
    assert "nothing that can be moved" in wrong.stderr
