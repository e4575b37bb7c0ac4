"""Other people's weights: read, recognised, checked, written."""
