"""The hashtag knowledge graph: one file per relation, WordNet behind one door, `HashtagGraph`."""
