"""Peers: what a user would pick instead of our models, behind one contract; libraries do the work.

A peer is a dataclass whose fields are its settings, with `fit(train)` and `scores(posts) -> float32 [N, H]`. It gets
train posts with their hashtags, and posts to rank without theirs, so that it cannot see what is true of them.
"""
