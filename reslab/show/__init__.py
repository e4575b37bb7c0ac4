"""What a person sees. Reads plans and records only."""
