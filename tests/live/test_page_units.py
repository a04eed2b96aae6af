"""Unit tests of the page's scripts with node's test runner (`tests/live/page`)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reactive.live.web.protocol import PAGE_SCRIPT

NODE = shutil.which("node")
UNITS = Path(__file__).resolve().parent / "page"
# the first version with mocked timers
OLDEST = 20


def _version() -> int:
    if NODE is None:
        return 0
    told = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=False).stdout
    return int(found[1]) if (found := re.match(r"v(\d+)\.", told)) else 0


@pytest.mark.skipif(_version() < OLDEST, reason=f"needs node {OLDEST} or newer")
def test_the_pages_scripts_pass_their_units(tmp_path: Path) -> None:
    assert NODE is not None
    for script in (*PAGE_SCRIPT.parent.glob("*.js"), *UNITS.glob("*.test.js")):
        shutil.copy(script, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    units = sorted(path.name for path in UNITS.glob("*.test.js"))
    assert len(units) >= 6
    done = subprocess.run(
        [NODE, "--test", "--test-reporter=tap", *units],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) >= 20
