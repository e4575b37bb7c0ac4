"""One file for each group of claims: sentences, quantities, rules."""
