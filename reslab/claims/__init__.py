"""One file per experiment: the claim, its runs, its measure, its verdict."""
