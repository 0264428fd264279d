// The answer to a produce call, as clients of the Kafka REST proxy (v2) know it.
#pragma once
#include "http/response.h"
#include "io/outside.h"

namespace huntd {

// By record, in their order: partition and offset, or an error_code that says whether to try again
// and an error that says whether the record may be in the log. Where the broker has no such topic
// the whole answer says so (40401).
Response produce_answer(const List<DeliveryReport>& reports, std::string_view topic);

Response no_such_topic(std::string_view topic, std::string_view why);

}  // namespace huntd
