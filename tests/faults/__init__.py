# SPDX-License-Identifier: Apache-2.0
"""Fault injection: `./dev test faults [NAME]` and `./dev test chaos` (docs/faults.md)."""
