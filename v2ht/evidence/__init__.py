"""What train posts say for a hashtag of a post, counted and not learned: sparse, NumPy and SciPy only.

One file for each source. A source is a function of past posts and of posts to judge; it returns a few columns, each a
sparse matrix [N, H] of numbers of at least 0. A post that is itself among the past ones is left out of all that is
counted for it: what it gets is what it would have got, had it not been there.
"""
