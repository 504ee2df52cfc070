"""What is known of users besides their posts: gender, age and country (UHMAN 2.1), as text and as codes.

Shapes: U users, A attributes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from data.dataset import Dataset
from data.files import InputError
from data.posts import numbers, plain

FIRST_BAND = "under 18"
AGE_BANDS = {18: "18-24", 25: "25-34", 35: "35-44", 45: "45-54", 55: "55+"}  # first year of each
MAX_AGE = 150  # years; more is a year of birth or a slip


def attribute_values(column: pl.Series, name: str) -> pl.Series:
    """Return a column of gender, age or country as text, null where empty; ages in years become bands.

    An age column with anything but numbers in it is taken as it is. Raises `InputError` that names column and row.
    """
    years = numbers(column) if name == "age" else None
    if years is None:
        return plain(column).str.strip_chars().replace("", None)
    wrong = (~years.is_between(0, MAX_AGE)).fill_null(False).arg_true()
    if len(wrong):
        raise InputError(
            f"column {column.name!r}, row {wrong[0] + 1}: {years[wrong[0]]:g} is no age; expected years from 0 to "
            f"{MAX_AGE}, empty where unknown"
        )
    return _bands(years)


def _bands(years: pl.Series) -> pl.Series:
    places = pl.Series(list(AGE_BANDS)).search_sorted(years.fill_null(0), side="right")
    bands = pl.Series([FIRST_BAND, *AGE_BANDS.values()]).gather(places)
    return pl.select(pl.when(years.is_not_null()).then(bands)).to_series()


class UserAttributes:
    """Attributes of users as codes: 0 is unknown, 1, 2, ... stand for the values in sorted order.

    Args:
        table: a text column for each attribute, none for a dataset without; row = user id. Its values are the
            vocabulary.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table
        self.values = {name: table[name].drop_nulls().unique().sort().to_list() for name in table.columns}
        self._codes = {name: {value: n for n, value in enumerate(own, 1)} for name, own in self.values.items()}
        columns = [[self._codes[name].get(value, 0) for value in table[name]] for name in table.columns]
        self._codes_UA = np.array(columns, np.int64).reshape(len(columns), table.height).T

    @staticmethod
    def of(dataset: Dataset) -> UserAttributes:
        """Return those of a dataset's users; a value that no user of the train split has is unknown."""
        train = dataset.videos["user_id"].to_numpy()[dataset.rows("train")]
        in_train = pl.Series(np.isin(np.arange(dataset.num_users), train))
        table = dataset.users.drop("user")
        kept = [
            pl.when(pl.col(name).is_in(table[name].filter(in_train).drop_nulls().unique().implode())).then(pl.col(name))
            for name in table.columns
        ]
        return UserAttributes(table.select(kept))

    @property
    def sizes(self) -> list[int]:
        """Return how many codes each attribute has, the unknown one included."""
        return [1 + len(own) for own in self.values.values()]

    def codes(self, users: np.ndarray) -> np.ndarray:
        """Return the codes int64 [N, A] of users by id, 0 for user -1."""
        known_N1 = (users >= 0)[:, None]
        if not self.table.height:
            return np.zeros((len(users), len(self.values)), np.int64)
        codes_NA: np.ndarray = np.where(known_N1, self._codes_UA[users], 0)
        return codes_NA

    def given(self, attributes: Mapping[str, str]) -> dict[int, int]:
        """Return place -> code of attributes given for one post; a value that no user has is unknown, 0.

        Raises `InputError` on an attribute that these users do not have.
        """
        names = list(self.values)
        for name in attributes:
            if name not in names:
                known = f"it knows {', '.join(names)}" if names else "it knows none"
                raise InputError(f"attribute {name!r}: this run was trained without it ({known}); leave it out")
        return {names.index(name): self._code(name, str(value).strip()) for name, value in attributes.items()}

    def _code(self, name: str, value: str) -> int:
        """Return the code of a value; an age in years has that of its band."""
        years = numbers(pl.Series([value])) if name == "age" and value not in self._codes[name] else None
        if years is not None:
            value = _bands(years)[0]
        return self._codes[name].get(value, 0)


def most_frequent(posts: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return user and `name`: the value that most of the user's posts have, the first in sort order of several."""
    counted = posts.drop_nulls(["user", name]).group_by("user", name).len()
    ranked = counted.sort("user", "len", name, descending=[False, True, False])
    return ranked.unique(subset="user", keep="first", maintain_order=True).select("user", name)
