// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/record_fingerprint.h"

#include <doctest/doctest.h>

using huntd::aggregator::fingerprint_of;
using huntd::aggregator::fingerprint_text;
using huntd::aggregator::parse_fingerprint;
using huntd::aggregator::RecordFingerprint;

TEST_CASE("a fingerprint is read back from its text") {
  for (const RecordFingerprint& made :
       {fingerprint_of(0, 0, "", ""), fingerprint_of(41, 1'764'000'000'000, "eve", "{}"),
        fingerprint_of(INT64_MAX, -1, "k", "v")})
    CHECK(parse_fingerprint(fingerprint_text(made)) == made);
}

TEST_CASE("two records with any difference have different fingerprints") {
  RecordFingerprint const one = fingerprint_of(7, 1000, "eve", "abc");
  CHECK(one != fingerprint_of(8, 1000, "eve", "abc"));
  CHECK(one != fingerprint_of(7, 1001, "eve", "abc"));
  CHECK(one != fingerprint_of(7, 1000, "evf", "abc"));
  CHECK(one != fingerprint_of(7, 1000, "eve", "abd"));
  CHECK(one != fingerprint_of(7, 1000, "evea", "bc"));
  CHECK(one != fingerprint_of(7, 1000, "abc", "eve"));
}

TEST_CASE("the text is what the document says, so that a later version reads it") {
  CHECK(fingerprint_text({41, 1'764'000'000'000, 0xabc}) ==
        "huntd1 41 1764000000000 0000000000000abc");
}

TEST_CASE("metadata of other programs is not a fingerprint") {
  for (const char* text :
       {"", "huntd1", "huntd1 ", "huntd1 4 5", "huntd1 4 5 6", "huntd2 4 5 0000000000000006",
        "huntd1 -4 5 0000000000000006", "huntd1 4 5 000000000000000g",
        "huntd1 4 5 00000000000000006", "huntd1 4  0000000000000006",
        "huntd1 99999999999999999999 5 0000000000000006"})
    CHECK_MESSAGE(!parse_fingerprint(text), text);
}
