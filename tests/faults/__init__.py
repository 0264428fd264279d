"""Fault injection: `./dev test faults [NAME]` and `./dev test chaos` (docs/faults.md)."""
