"""How other libraries name the weights of a residual network, one file for each."""
