"""Charts of measurements, in Altair."""
