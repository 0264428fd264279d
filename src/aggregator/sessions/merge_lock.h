// SPDX-License-Identifier: Apache-2.0
// The lock between the merges and those who change what a merge reads at its start: the tables
// hunt_retention, hunt_floor and hunter_floor (docs/formats/hunt-session.md). In PostgreSQL, an
// advisory lock of a transaction.
#pragma once

namespace huntd::aggregator {

// Each merge holds the lock shared until its commit, and reads those tables in a statement after
// the one that takes it. A transaction that raises a value there takes the lock exclusively, in an
// earlier statement. So every merge either is committed before the value is raised (and what it
// counted is visible to the next statement of that transaction), or respects it.
//
// While a transaction waits for the exclusive lock or holds it, no merge starts. No other program
// uses the number. It is that of the first release, whose merges hold it too.
inline constexpr long long merge_lock = 0x68756e74'666f7267;  // "huntforg"
// With the number as the {} of fmt::format.
inline constexpr const char* lock_merges_shared = "SELECT pg_advisory_xact_lock_shared({})";
inline constexpr const char* lock_merges_exclusively = "SELECT pg_advisory_xact_lock({})";

// hunter_floor.hunter_hash of the hunter_id in the column or parameter that is the {}.
inline constexpr const char* hunter_hash_expression =
    "encode(sha256(convert_to({}, 'UTF8')), 'hex')";

}  // namespace huntd::aggregator
