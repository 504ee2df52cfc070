"""GGM: a retriever of known hashtags guides a generator that writes hashtags, known or new (ACL 2023)."""
