"""Batches of a dataset's rows, for training and ranking."""

from __future__ import annotations

import numpy as np

from data.dataset import SPLITS, Dataset, Ragged
from v2ht.evidence.evidence import Evidence
from v2ht.evidence.memory import Memory
from v2ht.evidence_tensors import EvidenceTensors
from v2ht.inputs import Batch, Inputs, visual_means


class DatasetInputs:
    """Batches of a dataset's rows. In train, a user's history and the evidence leave the current video out."""

    def __init__(self, dataset: Dataset, inputs: Inputs) -> None:
        self.inputs = inputs
        self.dataset = dataset
        self.users = dataset.videos["user_id"].to_numpy().astype(np.int64)
        self.truth = dataset.hashtag_ids()
        self._texts = Ragged.from_lists([inputs.word_ids(text) for text in dataset.videos["text"].to_list()])
        self._is_train = dataset.videos["split"].to_numpy() == "train"
        self._visual_means = visual_means(dataset, inputs.scaling)
        self._splits = dataset.videos["split"].to_numpy()
        self._place = np.zeros(len(self._splits), np.int64)  # of a video among those of its split
        for split in SPLITS:
            rows = dataset.rows(split)
            self._place[rows] = np.arange(len(rows))
        self._evidence: dict[str, Evidence] = {}

    def batch(self, rows: np.ndarray) -> Batch:
        """Return the videos in these rows."""
        features = {
            name: [scaling(self.dataset.features[name][row]) for row in rows]
            for name, scaling in self.inputs.scaling.items()
        }
        texts = [self._texts[row] for row in rows]
        users = self.users[rows]
        truth = self.truth.take(rows)
        batch = self.inputs.assemble(texts, features, users, self._without_current(rows, users, truth), truth)
        if self.inputs.memory is not None:
            batch.evidence = EvidenceTensors.of(self._evidence_of(np.asarray(rows), self.inputs.memory).pairs())
        return batch

    def _evidence_of(self, rows: np.ndarray, memory: Memory) -> Evidence:
        """Return the evidence of these rows; that of a whole split is gathered when it is first asked for."""
        parts, order = [], []
        for split in sorted(set(self._splits[rows])):
            if split not in self._evidence:
                self._evidence[split] = (
                    memory.of_train(self.dataset)
                    if split == "train"
                    else memory.of_rows(self.dataset, self.dataset.rows(split))
                )
            own = np.flatnonzero(self._splits[rows] == split)
            parts.append(self._evidence[split].take(self._place[rows[own]]))
            order.append(own)
        return Evidence.stack(parts).take(np.argsort(np.concatenate(order)))

    def _without_current(
        self, rows: np.ndarray, users: np.ndarray, truth: Ragged
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        tag_sum, uses, visual_sum, videos = self.inputs.histories(users)
        train = self._is_train[rows]
        own_sum = np.zeros_like(tag_sum)
        np.add.at(own_sum, np.repeat(np.arange(len(rows)), truth.lengths), self.inputs.hashtag_vectors_HW[truth.values])
        tag_sum[train] -= own_sum[train]
        uses[train] -= truth.lengths[train]
        own_visual = self._visual_means[rows]
        seen = train & ~np.isnan(own_visual).any(1) if own_visual.shape[1] else np.zeros(len(rows), bool)
        visual_sum[seen] -= own_visual[seen]
        videos[seen] -= 1
        tag_sum[uses == 0] = 0  # what rounding leaves of a history that is empty
        visual_sum[videos == 0] = 0
        return tag_sum, uses, visual_sum, videos
