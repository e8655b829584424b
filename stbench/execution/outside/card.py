"""Reading a model card."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from stbench.errors import DataError
from stbench.store.card import ModelCard


def read_card(path: Path) -> ModelCard:
    """Read ``card.yaml``.

    Raises
    ------
    DataError
        A file that is no YAML, or has other fields than a card's.
    """
    try:
        stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"the card {path} cannot be read as YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(stated, dict):
        raise DataError(f"the card {path} holds no fields; write at least `title: …`")
    try:
        return ModelCard.model_validate(stated)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        fields = ", ".join(ModelCard.model_fields)
        raise DataError(f"the card {path}: {where}: {first['msg']}; a card's fields are {fields}") from error
