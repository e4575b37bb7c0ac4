"""Many runs: planned, resumed, trained on one machine or many, and their failures told."""
