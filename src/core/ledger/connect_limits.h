// SPDX-License-Identifier: Apache-2.0
// Bounds of a connect to Redis; further ones are in base/limits.h.
#pragma once
#include <cstddef>
#include <cstdint>

namespace huntd::limits {

// A connect waits this long for a password file. The read goes on: its result serves the next one.
inline constexpr uint64_t secret_wait_ns = 5'000'000'000;
// The same failure to connect is logged again after this time.
inline constexpr uint64_t redis_log_again_ns = 30'000'000'000;
// One address of a sentinel, or of a node of a cluster, may take this long, from the connect to the reply.
inline constexpr uint64_t server_call_wait_ns = 1'000'000'000;
// A question may take this long, for all sentinels together.
inline constexpr uint64_t sentinels_wait_ns = 3'000'000'000;
inline constexpr size_t sentinel_reply_bytes_max = 64 * 1024;
// Such connects that hang at the same time. The kernel ends each within 5 s; by TLS it takes up
// to 15 s: the files, the connect and the handshake have 5 s each.
inline constexpr size_t server_calls_max = 16;

// Primaries of a Redis Cluster, a connection per core to each.
inline constexpr size_t cluster_nodes_max = 128;
// The reply of a node to CLUSTER SLOTS.
inline constexpr size_t cluster_reply_bytes_max = 4 * 1024 * 1024;
// A core asks for the slots so often, and at once, but not more often than the gap, if something has
// changed; all nodes together may take so long.
inline constexpr uint64_t cluster_map_ns = 5'000'000'000;
inline constexpr uint64_t cluster_map_troubled_ns = 500'000'000;
inline constexpr uint64_t cluster_map_gap_ns = 50'000'000;
inline constexpr uint64_t cluster_map_wait_ns = 3'000'000'000;
// A node without slots, to which a slot may be on its way, stays connected for this time.
inline constexpr uint64_t cluster_node_kept_ns = 30'000'000'000;
// Of one command: MOVED and ASK in a row.
inline constexpr int cluster_redirects_max = 8;
// Before a command is sent again to a slot that moves (TRYAGAIN), twice as long each time; and the time
// that has to be left then, for its reply.
inline constexpr uint64_t cluster_again_ns = 10'000'000;
inline constexpr uint64_t cluster_again_max_ns = 100'000'000;
inline constexpr uint64_t cluster_again_reply_ns = 100'000'000;
// A command waits so long for the connection to the node that it has to go to.
inline constexpr uint64_t cluster_connect_wait_ns = 1'000'000'000;
inline constexpr size_t cluster_replicas_known_max = 1024;  // more are dropped
// Hash tags that are tried for the self-test of a node.
inline constexpr uint32_t cluster_probe_tags_max = 1 << 18;

}  // namespace huntd::limits
