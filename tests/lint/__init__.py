# SPDX-License-Identifier: Apache-2.0
"""Checks of the sources and documents that need no build: `./dev test lint`, or one alone, `python3 -m lint.words` in tests/."""
