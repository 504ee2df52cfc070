"""`key=value` words to checked, frozen settings. Unknown keys and wrong types stop the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from data.files import InputError

Settings = TypeVar("Settings")


def apply(words: Sequence[str], defaults: Sequence[Any]) -> list[Any]:
    """Return the settings objects with each `key=value` set on the one that has this field.

    Lists are written with commas (`hidden=128,64`), an empty list as `relations=`.
    Raises `InputError` naming the word, and all keys when the key is unknown.
    """
    settings = list(defaults)
    for word in words:
        key, equals, text = word.partition("=")
        owner = next((n for n, item in enumerate(settings) if key in {f.name for f in fields(item)}), None)
        if not equals or owner is None:
            keys = ", ".join(field.name for item in settings for field in fields(item))
            raise InputError(f"--set {word!r} is not KEY=VALUE with a known key; the keys are {keys}")
        settings[owner] = _with(settings[owner], key, text)
    return settings


def _with(settings: Settings, key: str, text: str) -> Settings:
    kind = get_type_hints(type(settings))[key]
    value: Any = [part for part in text.split(",") if part] if "tuple" in str(kind) else text
    try:
        return replace(settings, **{key: TypeAdapter(kind).validate_python(value)})  # type: ignore[type-var]
    except ValidationError as error:
        raise InputError(f"--set {key}={text}: {error.errors()[0]['msg'].lower()}") from None
    except ValueError as error:
        raise InputError(f"--set {key}={text}: {error}") from None


def restore(kind: type[Settings], content: Mapping[str, Any], *, where: str) -> Settings:
    """Return settings read back from JSON. Raises `InputError` naming `where` on unknown keys or wrong values."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(content) - names)
    if unknown:
        raise InputError(
            f"{where}: unknown setting {unknown[0]!r}; this run was made by another version, train it again"
        )
    hints = get_type_hints(kind)
    try:
        return kind(**{key: TypeAdapter(hints[key]).validate_python(value) for key, value in content.items()})
    except ValueError as error:
        raise InputError(f"{where}: {str(error).splitlines()[0]}") from None


def as_json(settings: Any) -> dict[str, Any]:
    """Return settings as a JSON object."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()}
