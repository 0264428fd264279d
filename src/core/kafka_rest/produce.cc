// SPDX-License-Identifier: Apache-2.0
#include "core/kafka_rest/produce.h"

#include "base/clock.h"
#include "base/format_text.h"
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
  std::shared_ptr<Delivery> const delivery = context.emitter.produce(std::move(read.records));
  co_await delivery->complete.wait(request.received_at_ns + context.deadline_ms * ns_per_ms);
  count(context.metrics, delivery->reports);
  co_return produce_response(delivery->reports, request.topic);
}

}  // namespace huntd::server
