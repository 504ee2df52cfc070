"""A trained run at work: recommendations for posts that are in no dataset."""

from v2ht.serving.recommender import Recommendation, Recommender

__all__ = ["Recommendation", "Recommender"]
