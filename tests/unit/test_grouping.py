"""Groups of consecutive items: bounded in number and size, nothing lost, nothing read too early."""

from collections.abc import Iterator

import pytest

from megatron_speech.grouping import grouped, grouped_by_padded_size, grouped_by_size


def test_a_list_is_read_when_it_is_asked_for() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for item in range(5):
            read.append(item)
            yield item

    lists = grouped(items(), 2)
    assert next(lists) == [0, 1] and read == [0, 1]
    assert list(lists) == [[2, 3], [4]]
    assert list(grouped([], 2)) == []


@pytest.mark.parametrize(
    ("sizes", "max_items", "groups"),
    [
        ([], None, []),
        ([5, 5, 1], None, [[5, 5], [1]]),
        ([11, 1, 11], None, [[11], [1], [11]]),
        ([1, 2, 3, 4, 5], None, [[1, 2, 3, 4], [5]]),
        ([1, 1, 1, 9, 1], 2, [[1, 1], [1, 9], [1]]),
        ([0, 0, 0], 2, [[0, 0], [0]]),
    ],
)
def test_groups_of_bounded_number_and_size(sizes: list[int], max_items: int | None, groups: list[list[int]]) -> None:
    assert list(grouped_by_size(sizes, size=lambda size: size, max_size=10, max_items=max_items)) == groups


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ([], []),
        ([1, 2, 3, 4, 11], [[1, 2, 3], [4], [11]]),
        ([11, 4, 3, 2, 1], [[11], [4, 3], [2, 1]]),
        ([1, 5, 1], [[1, 5], [1]]),
    ],
)
def test_groups_of_bounded_padded_size(lengths: list[int], groups: list[list[int]]) -> None:
    assert list(grouped_by_padded_size(lengths, length=lambda length: length, max_size=10)) == groups
