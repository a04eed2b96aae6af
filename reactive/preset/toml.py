"""Parse untrusted TOML: input that would take the parser very long is refused first."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from reactive.errors import PresetError

MAX_DOTS = 16
# tomllib's time and memory grow with the square of a key's length: 200,000 dots take all the memory of a machine
_CHAIN = re.compile(r"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){" + str(MAX_DOTS) + "}")
# an unclosed string ends with its line or the text, as in tomllib, so each letter is scanned once
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"""|\\?\Z)|\'\'\'.*?(?:\'\'\'|\Z)|"(?:\\.|[^"\\\n])*+"?|\'[^\'\n]*+\'?|#[^\n]*+', re.DOTALL
)


def parse_toml(text: str, *, where: str) -> dict[str, Any]:
    """Return the contents of a TOML text; `where` names it in errors.

    Raises
    ------
    PresetError
        If it is not TOML, is nested too deeply, or has keys of too many parts.
    """
    # a string counts as one part of a key, whatever is in it
    if _CHAIN.search(_STRING.sub(lambda found: "" if found[0].startswith("#") else "s", text)):
        raise PresetError(f"has a key of more than {MAX_DOTS} parts", where=where, remedy="write it more simply")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise PresetError("is nested too deeply", where=where, remedy="write it more simply") from None
    except ValueError as problem:
        told = str(problem)
        backslash = "hex value" in told or "Unescaped" in told or "Unicode" in told
        remedy = "write paths of Windows in '...', or with / for each \\" if backslash else "mend that line"
        raise PresetError(f"is not valid TOML: {told}", where=where, remedy=remedy) from None
