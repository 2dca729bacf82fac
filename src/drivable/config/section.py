"""What all parts of a recipe have in common."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Folders and files are named by it, with something added; a file system takes 255 bytes.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=200)]


class Section(BaseModel):
    """Frozen; an unknown key is an error, and so is a number that is none, ``true`` and ``false`` among them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        # To Python it is 1, and pydantic goes by that.
        for key, value in values.items() if isinstance(values, dict) else ():
            if key not in cls.model_fields or not _holds_bool(value):
                continue
            if not {bool, Any} & set(_plain_types(cls.model_fields[key].annotation)):
                raise ValueError(f"{key} cannot be true or false, got {value}")
        return values


def _holds_bool(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_holds_bool, value)))


def _plain_types(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        yield from _plain_types(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType, tuple):
        for part in typing.get_args(annotation):
            yield from _plain_types(part)
    else:
        yield annotation
