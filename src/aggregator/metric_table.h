// SPDX-License-Identifier: Apache-2.0
// Every metric of hunt-aggregator, in the order of /metrics. docs/metrics.md lists this table.
#pragma once
#include <array>

#include "base/metric.h"

namespace huntd::aggregator {

inline constexpr std::array metric_table = {
    Metric{"hunt_aggregator_events_total", "counter", "",
           "Records read from the source and merged, including duplicates and dead letters."},
    Metric{"hunt_aggregator_bytes_total", "counter", "", "Payload bytes of those records."},
    Metric{"hunt_aggregator_new_total", "counter", "",
           "Events that hunt_session counted for the first time."},
    Metric{"hunt_aggregator_duplicates_total", "counter", "",
           "Events that hunt_session had already counted."},
    Metric{"hunt_aggregator_waiting_total", "counter", "",
           "Events written to hunt_session_waiting, because their row has too many holes."},
    Metric{"hunt_aggregator_events_purged_total", "counter", "",
           "Events of a purged season of their hunt, or of a hunter whose data was deleted: read, "
           "and not counted."},
    Metric{"hunt_aggregator_dead_letters_total", "counter", "",
           "Records that cannot be counted, stored as dead letters."},
    Metric{"hunt_aggregator_rows_merged_total", "counter", "",
           "Rows of hunt_session inserted or updated."},
    Metric{"hunt_aggregator_merge_restarts_total", "counter", "",
           "Merges restarted because another aggregator inserted one of their rows."},
    Metric{"hunt_aggregator_expired_rows_total", "counter", "",
           "Rows of hunt_session deleted by aggregator.retention_days."},
    Metric{"hunt_aggregator_failures_total", "counter",
           R"(peer="source|postgres|dead_letter_topic")",
           "Times that a peer did not reply, or replied with an error."},
    Metric{"hunt_aggregator_log_lines_dropped_total", "counter", "",
           "Log lines that were dropped because the log was not read, or its disk was full."},
    Metric{"hunt_aggregator_topic_recreated_total", "counter", "",
           "Partitions that were read again from the beginning, because the topic was deleted and "
           "made again."},
    Metric{"hunt_aggregator_events_missed_total", "counter", "",
           "Events that the topic's retention deleted before they were read: they are not in "
           "hunt_session."},
    Metric{"hunt_aggregator_lag_seconds", "gauge", "",
           "Age of the oldest event that was read and is not in hunt_session. If there is none: "
           "how long the source, or the outbox, has had unread events. Otherwise 0."},
    Metric{"hunt_aggregator_lag_events", "gauge", "",
           "Events that are awarded and not in hunt_session: those in the outbox, and with Kafka "
           "those of the topic that the whole group has not acknowledged. Every member reports the "
           "same: take the maximum, not the sum."},
    Metric{"hunt_aggregator_lag_known", "gauge", R"(part="topic|outbox")",
           "1 if this part of lag_events could be counted in the last 20 s. If 0, more events may "
           "be waiting than lag_events says."},
    Metric{"hunt_aggregator_newest_event_timestamp_seconds", "gauge", "",
           "Timestamp of the newest event merged since the start; 0 if there is none."},
    Metric{"hunt_aggregator_up", "gauge", R"(peer="source|postgres|dead_letter_topic")",
           "1 if the last request to the peer succeeded."},
    Metric{"hunt_aggregator_outbox_watched", "gauge", "",
           "0 if Redis does not report which outboxes change, so that all are read every "
           "aggregator.interval_s; the log names the command. Otherwise 1, also with Kafka."},
    Metric{"hunt_aggregator_merge_duration_seconds", "histogram", "",
           "Duration of a merge, from BEGIN to COMMIT."},
    Metric{"hunt_aggregator_merged_age_seconds", "histogram", "",
           "Age of each merge's oldest event at its COMMIT: the lag that readers of the table "
           "see."},
};

}  // namespace huntd::aggregator
