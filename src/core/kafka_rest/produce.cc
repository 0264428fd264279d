// SPDX-License-Identifier: Apache-2.0
#include "core/kafka_rest/produce.h"

#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/format_text.h"
#include "base/limits.h"
#include "core/kafka_rest/error.h"
#include "core/kafka_rest/response.h"

namespace huntd::server {
namespace {

void count(CoreMetrics& metrics, const PoolVector<DeliveryReport>& reports) {
  using Fate = DeliveryReport::Fate;
  for (const DeliveryReport& report : reports)
    metrics.add(report.fate == Fate::stored    ? Counter::rest_stored
                : report.fate == Fate::unknown ? Counter::rest_unknown
                                               : Counter::rest_not_stored);
}

// Why a caller may not produce an event of this hunt; empty: it may.
PoolString reason_against(const ProduceContext& context, const PoolString& hunt_id,
                          bool states_known) {
  if (context.bundle.find(hunt_id) != nullptr)
    return format_text(
        "hunt {} has a script: its loot comes from POST /v1/hunts/{}/hunters/HUNTER_ID; use a "
        "hunt_id that no script has",
        hunt_id, hunt_id);
  HuntState const state = states_known ? context.ledger.hunt_states().of(hunt_id) : HuntState();
  if (state.closed) return format_text("hunt {} is closed", hunt_id);
  if (state.floor != 0)
    return format_text(
        "hunt {} was purged: events without a generation are not counted; use another hunt_id",
        hunt_id);
  return PoolString();
}

// Which hunts are closed or purged is only known while Redis can be read. Without it the call goes
// on: hunt-aggregator does not count an event of a purged season, also if a caller produced it.
Task<bool> know_states(ProduceContext& context) {
  if (!context.ledger.up()) co_return false;
  co_return co_await context.ledger.hunt_states().refresh(context.scheduler.now_ns() +
                                                          limits::kafka_rest_states_wait_ns);
}

// The response that rejects a call because of the hunt of one of its records.
std::optional<Response> reject(const ProduceContext& context, const ProduceRecords& read,
                               bool states_known) {
  for (size_t i = 0; i < read.hunt_ids.size(); ++i)
    if (PoolString const why = reason_against(context, read.hunt_ids[i], states_known);
        !why.empty())
      return rest_error(rest_code::unprocessable, format_text("record {}: {}", i, why));
  return std::nullopt;
}

}  // namespace

Task<Response> produce(ProduceContext& context, ProduceRequest request) {
  if (!context.emitter.enabled()) {
    context.metrics.add(Counter::rest_rejected);
    co_return no_such_topic(request.topic, "Kafka is not configured (kafka.bootstrap is empty)");
  }
  if (request.topic != context.topic) {
    context.metrics.add(Counter::rest_rejected);
    co_return no_such_topic(request.topic, format_text("the only topic is {}", context.topic));
  }
  ProduceRecords read = read_produce_body(request.body);
  if (read.error_code != 0) {
    context.metrics.add(Counter::rest_rejected);
    co_return rest_error(read.error_code, read.message);
  }
  bool const states_known = co_await know_states(context);
  // From here to the batch there is no wait, so that a reload cannot come between.
  if (std::optional<Response> rejected = reject(context, read, states_known)) {
    context.metrics.add(Counter::rest_rejected);
    co_return std::move(*rejected);
  }
  std::shared_ptr<Delivery> const delivery = context.emitter.produce(std::move(read.records));
  co_await delivery->complete.wait(request.received_at_ns + context.deadline_ms * ns_per_ms);
  count(context.metrics, delivery->reports);
  co_return produce_response(delivery->reports, request.topic);
}

}  // namespace huntd::server
