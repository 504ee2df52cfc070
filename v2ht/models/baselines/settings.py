"""What can be set of every baseline that knows the user."""

from __future__ import annotations

from dataclasses import dataclass

from v2ht.models.contract import RankerSettings


@dataclass(frozen=True, kw_only=True)
class UserBaselineSettings(RankerSettings):
    """One setting beside the shared ones."""

    user_dropout: float = 0.1  # share of training videos shown without their user

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.user_dropout < 1:
            raise ValueError(f"user_dropout is {self.user_dropout}; choose a share in [0, 1)")
