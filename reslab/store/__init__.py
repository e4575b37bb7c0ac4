"""Files and folders: publish by rename, SHA-256 manifests, whole-line JSONL, one lock per folder."""
