// SPDX-License-Identifier: Apache-2.0
// The main of every unit test program, compiled once: doctest's own part is most of what a small
// test takes to compile.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
