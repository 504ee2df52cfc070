"""What can be set of GGM and of the baselines of its table 2, which are the same parts put together otherwise."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from graph_builders.hashtag_graph import RELATIONS
from v2ht.models.contract import RankerSettings

OWN_LOSS = "own"
FRAMES = ("patches", "visual", "regions")  # where a dataset has several kinds of frames or of sound, the first is read
SOUND = ("sound_patches", "acoustic")
RETRIEVER = "vlm"
CLASSIFIERS = {"bert": ("text",), "vit": ("visual",), "vit_bert": ("visual", "text")}
RANKERS = (RETRIEVER, *CLASSIFIERS)


@dataclass(frozen=True, kw_only=True)
class Writes:
    """What a generator reads of a post; the sound stands with the frames, in which it is fused."""

    text: bool
    video: bool
    guided: bool


GENERATORS = {
    "ggm": Writes(text=True, video=True, guided=True),
    "vg_bart": Writes(text=True, video=True, guided=False),
    "bart": Writes(text=True, video=False, guided=False),
    "trocr_fid": Writes(text=False, video=True, guided=False),
}
KINDS = (*GENERATORS, *RANKERS)


@dataclass(frozen=True, kw_only=True)
class GGMSettings(RankerSettings):
    """What the paper names, with its values where they suit training from scratch, and the baselines of table 2."""

    kind: str = "ggm"  # ggm, vg_bart, bart, trocr_fid; or a ranker alone: vlm (the retriever), bert, vit, vit_bert
    dim: int = 150  # space in which the retriever compares videos and hashtags
    loss: str = OWN_LOSS  # own: contrastive for the retriever, softmax over all for classifiers; or any other ranker's
    temperature: float = 0.07  # where the contrastive loss starts to learn it
    hashtag_dropout: float = 0.2  # share of hashtags that a training step sees as new: their words alone
    propagation: bool = True  # False: hashtags without the graph
    relations: tuple[str, ...] = RELATIONS  # edges to propagate over
    alpha: float = 0.2  # share of the neighbours
    gcn_layers: int = 1  # propagation steps
    edge_rank: int = 8  # rank of the edge weight function
    user: bool = True  # whether retriever and generator know the author's history (the paper: future work)
    user_dropout: float = 0.1  # share of training videos shown without their user's history
    guidance: str = RETRIEVER  # which ranker guides: vlm, bert, vit, vit_bert
    guidance_k: int = 20  # hashtags of guidance (the paper's best is 50)
    graph_guidance: bool = True  # guidance tokens carry the retriever's vector of their hashtag
    copying: bool = True  # the decoder may copy tokens that the text encoder read; False as in the paper
    guidance_folds: int = 4  # train videos get guidance from rankers that were trained without them
    text_model: str = ""  # local folder of a BART to start from; empty trains a small one from scratch
    vocabulary: int = 3000  # tokens at most, when trained from scratch
    width: int = 128  # of the generator from scratch
    layers: int = 2  # of its encoder and of its decoder
    heads: int = 4  # of every attention of the generator
    dropout: float = 0.1  # inside the generator
    text_tokens: int = 64  # tokens kept of a description
    max_length: int = 64  # tokens written at most (the paper's for short videos is 32, for longer ones 64)
    beams: int = 5
    generator_epochs: int = 20  # at most
    generator_batch: int = 32
    generator_rate: float = 0.001  # highest learning rate: it rises for up to two epochs, then falls linearly
    generator_patience: int = 6  # epochs without a better validation F1 before it stops

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in (("kind", KINDS), ("guidance", RANKERS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        wrong = [name for name in self.relations if name not in RELATIONS]
        if wrong:
            raise ValueError(f"relations names {wrong[0]!r}; choose among {', '.join(RELATIONS)}")
        _at_least(self, 1, "gcn_layers", "edge_rank", "width", "layers", "heads", "text_tokens", "beams")
        _at_least(self, 1, "generator_epochs", "generator_batch", "generator_patience")
        _at_least(self, 0, "guidance_k")
        _at_least(self, 2, "guidance_folds", "max_length")
        _at_least(self, 300, "vocabulary")  # 256 bytes, the special tokens, and a few merges
        for name in ("hashtag_dropout", "user_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; choose a share in [0, 1)")
        for name in ("temperature", "generator_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; choose a positive number")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; choose a share in [0, 1]")
        if self.width % self.heads:
            raise ValueError(f"width is {self.width}; choose a multiple of heads, {self.heads}")

    @property
    def ranker(self) -> str:
        """The ranker of the run: the kind itself, or what guides the generator."""
        return self.kind if self.kind in RANKERS else self.guidance

    @property
    def writes(self) -> Writes | None:
        """What the run's generator reads; None without one."""
        return GENERATORS.get(self.kind)

    @property
    def guides(self) -> int:
        """Hashtags of guidance that the generator gets."""
        return self.guidance_k if self.writes is not None and self.writes.guided else 0

    def reads(self) -> set[str]:
        """Return the modalities that the run reads where a dataset has them."""
        return super().reads() | {
            name
            for kind, names in (("visual", FRAMES), ("acoustic", SOUND))
            if kind in self.modalities
            for name in names
        }

    def chosen(self, present: Collection[str]) -> list[str]:
        """Return which of the feature modalities that a dataset has are read: one kind of frames, one of sound."""
        variants = {"visual": FRAMES, "acoustic": SOUND}
        wanted = [[name for name in variants.get(kind, (kind,)) if name in present][:1] for kind in self.modalities]
        return [name for names in wanted for name in names]

    def check_loss(self) -> None:
        """Raise ValueError on a loss that rankers do not know."""
        if self.loss != OWN_LOSS:
            super().check_loss()


def _at_least(settings: GGMSettings, least: int, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < least:
            raise ValueError(f"{name} is {getattr(settings, name)}; choose at least {least}")
