from __future__ import annotations

from pathlib import Path

import pytest

from stbench.errors import DataError
from stbench.execution.outside.card import read_card


def test_a_card_is_read(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text("title: A method\nauthors: [Ann, Bob]\npaper: 10.1000/1\nn_parameters: 7\ntrain_seconds: 1.5\n")

    card = read_card(path)

    assert (card.title, card.authors, card.paper) == ("A method", ["Ann", "Bob"], "10.1000/1")
    assert (card.n_parameters, card.train_seconds, card.notes) == (7, 1.5, None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("authors: Ann\n", "title: Field required; a card's fields are title, authors"),
        ("title: A\nlicense: MIT\n", "license: Extra inputs are not permitted"),
        ("title: A\nn_parameters: many\n", "n_parameters: Input should be a valid integer"),
        ("title: A\ntrain_seconds: -1\n", "train_seconds: Input should be greater"),
        ("", "holds no fields"),
        ("- title\n", "holds no fields"),
        ("title: [A\n", "cannot be read as YAML"),
        ("title: !!python/object/apply:os.getcwd []\n", "cannot be read as YAML"),
    ],
)
def test_a_wrong_card_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(text)

    with pytest.raises(DataError, match=sentence) as refused:
        read_card(path)
    assert "\n" not in str(refused.value)


def test_an_absent_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.yaml cannot be read"):
        read_card(tmp_path / "nowhere.yaml")
