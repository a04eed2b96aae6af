"""JSON as other people's programs write it: UTF-8, UTF-16 or UTF-32, with a byte-order mark or without."""

from __future__ import annotations

import json
from typing import Any


def parse_json(data: bytes | str) -> Any:
    """Return what a JSON text says.

    Raises
    ------
    ValueError
        With one clause in plain words that names the place, for instance ``is not JSON: line 81, column 1``.
    """
    try:
        # given bytes, the library finds out the encoding by the mark or by the zeros in the first four bytes
        return json.loads(data.removeprefix("\ufeff") if isinstance(data, str) else data)
    except json.JSONDecodeError as problem:
        raise ValueError(f"is not JSON: line {problem.lineno}, column {problem.colno}") from None
    except UnicodeDecodeError:
        raise ValueError("is not JSON: its letters are neither UTF-8 nor UTF-16") from None
    except RecursionError:
        raise ValueError("is JSON that is nested too deeply") from None
    except ValueError:
        # Python refuses to read whole numbers of more than 4300 digits
        raise ValueError("is JSON with a number of too many digits") from None
