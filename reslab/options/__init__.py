"""The options of each verb: a field is the flag, the TOML key, the Python keyword, the help text and the default."""
