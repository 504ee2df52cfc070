"""Evidence of a batch as tensors. Shapes: B videos, N pairs of a video and a hashtag, J columns, X context."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from v2ht.evidence.evidence import COLUMN_NAMES, COLUMNS, STATISTICS, TEXT_CONTEXT, USER_CONTEXT, Pairs

_OF_USER = torch.tensor([column.user for column in COLUMNS] + [False] * len(STATISTICS))
_OF_TEXT = torch.tensor([column.text for column in COLUMNS] + [False] * len(STATISTICS))
_OF_SOURCE = {
    name: torch.tensor([column.source == source for column in COLUMNS] + [False] * len(STATISTICS))
    for name, source in (("graph", "relatives"), ("sound", "sound"), ("moment", "moment"))
}
_SHARE = COLUMN_NAMES.index("history.share")


@dataclass(kw_only=True)  # not frozen: mixed precision casts its tensors in a copy
class EvidenceTensors:
    """What is known of the pairs that have evidence; all other pairs have none."""

    videos_N: Tensor  # int64, ascending
    hashtags_N: Tensor  # int64
    values_NJ: Tensor  # columns and statistics of `v2ht.evidence.evidence`
    context_BX: Tensor

    @staticmethod
    def of(pairs: Pairs) -> EvidenceTensors:
        """Convert the evidence of a batch."""
        return EvidenceTensors(
            videos_N=torch.from_numpy(pairs.rows_E),
            hashtags_N=torch.from_numpy(pairs.hashtags_E),
            values_NJ=torch.from_numpy(pairs.values_EJ),
            context_BX=torch.from_numpy(pairs.context_NX),
        )

    def to(self, device: torch.device) -> EvidenceTensors:
        """Return the evidence on `device`."""
        return EvidenceTensors(
            videos_N=self.videos_N.to(device),
            hashtags_N=self.hashtags_N.to(device),
            values_NJ=self.values_NJ.to(device),
            context_BX=self.context_BX.to(device),
        )

    def used_before(self, num_hashtags: int) -> Tensor:
        """Return where the user has used the hashtag in another post, [B, H]."""
        used_BH = torch.zeros(len(self.context_BX), num_hashtags, dtype=torch.bool, device=self.context_BX.device)
        return used_BH.index_put((self.videos_N, self.hashtags_N), self.values_NJ[:, _SHARE] > 0)

    def showing_users(self, shown_B: Tensor) -> EvidenceTensors:
        """Return the evidence as it is for somebody unknown, but where the user is shown."""
        return self._keeping(shown_B, _OF_USER, torch.from_numpy(USER_CONTEXT))

    def without_texts(self) -> EvidenceTensors:
        """Return the evidence as it is for posts without text."""
        none_B = torch.zeros(len(self.context_BX), dtype=torch.bool, device=self.context_BX.device)
        return self._keeping(none_B, _OF_TEXT, torch.from_numpy(TEXT_CONTEXT))

    def without(self, source: str) -> EvidenceTensors:
        """Return the evidence without the votes of "graph" (relatives), "sound" or "moment"."""
        return replace(self, values_NJ=self.values_NJ.masked_fill(_OF_SOURCE[source].to(self.values_NJ.device), 0))

    def _keeping(self, shown_B: Tensor, columns_J: Tensor, context_X: Tensor) -> EvidenceTensors:
        if bool(shown_B.all()):
            return self
        columns_J, context_X = columns_J.to(shown_B.device), context_X.to(shown_B.device)
        hidden = (~shown_B)[self.videos_N].nonzero()[:, 0]
        values_NJ = self.values_NJ.index_copy(0, hidden, self.values_NJ[hidden].masked_fill(columns_J, 0))
        return replace(
            self,
            values_NJ=values_NJ,
            context_BX=self.context_BX.masked_fill(~shown_B[:, None] & context_X, 0),
        )
