#include "rest/produce.h"

#include "base/format_text.h"
#include "http/rest_error.h"
#include "rest/answer.h"

namespace huntd {
namespace {

constexpr uint64_t ns_per_ms = 1'000'000;

void count(CoreStats& stats, const List<DeliveryReport>& reports) {
  using Fate = DeliveryReport::Fate;
  for (const DeliveryReport& report : reports)
    stats.add(report.fate == Fate::stored    ? Counter::rest_stored
              : report.fate == Fate::unknown ? Counter::rest_unknown
                                             : Counter::rest_not_stored);
}

}  // namespace

Task<Response> produce(ProduceContext& context, ProduceRequest request) {
  if (!context.emitter.enabled()) {
    context.stats.add(Counter::rest_refused);
    co_return no_such_topic(request.topic, "this huntd has no Kafka (kafka.bootstrap is empty)");
  }
  if (request.topic != context.topic) {
    context.stats.add(Counter::rest_refused);
    co_return no_such_topic(request.topic, format_text("here is only {}", context.topic));
  }
  ProduceRecords read = read_produce_body(request.body);
  if (read.error_code != 0) {
    context.stats.add(Counter::rest_refused);
    co_return rest_error(read.error_code, read.message);
  }
  std::shared_ptr<Delivery> const delivery = context.emitter.produce(std::move(read.records));
  co_await delivery->whole.wait(request.received_at_ns + context.deadline_ms * ns_per_ms);
  count(context.stats, delivery->reports);
  co_return produce_answer(delivery->reports, request.topic);
}

}  // namespace huntd
