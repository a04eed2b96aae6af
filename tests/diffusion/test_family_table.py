"""The docs' table of families and features is what the tests check."""

from __future__ import annotations

from tests.diffusion.family_table import PAGE, written


def test_the_docs_have_the_table_that_the_tests_give() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "run `python -m tests.diffusion.family_table`"
