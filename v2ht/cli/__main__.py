"""`python -m v2ht.cli` is `v2ht`."""

from v2ht.cli import main

main()
