from __future__ import annotations

import pytest

from stbench.cli.sizes import parse_size, show_size
from stbench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [("50GB", 50 * 10**9), ("50GiB", 50 * 2**30), ("500 MB", 5 * 10**8), ("1.5k", 1500), ("0", 0), ("7B", 7)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "50 bananas", "1e3MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write 50GB"):
        parse_size(text)


def test_sizes_are_shown_in_a_fitting_unit() -> None:
    assert [show_size(n) for n in (0, 999, 1000, 999_999, 1_400_000_000, 10**15)] == [
        "0 B", "999 B", "1.0 kB", "1.0 MB", "1.4 GB", "1000.0 TB",
    ]  # fmt: skip
