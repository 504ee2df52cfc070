"""What train posts say for a hashtag of a post, counted and not learned: NumPy, SciPy and a compiled loop.

One file for each source. A source is a function of past posts and of a block of posts to judge; it returns a few
columns, each a dense matrix [N, H] of numbers of at least 0 (`Votes`), or the past posts that vote (`Speakers`). Only
pairs of a post and a hashtag with a vote are kept (`Pairs`, packed as `Evidence`). A post that is itself among the past
ones is left out of all that is counted for it: what it gets is what it would have got, had it not been there.
"""
