"""The version, said once: the package, `run.json` and the build read it here."""

VERSION = "0.1.0"
