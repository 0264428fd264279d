// SPDX-License-Identifier: Apache-2.0
// The response to a produce call, in the format of the Kafka REST proxy (v2).
#pragma once
#include "environment/event_log.h"
#include "http/response.h"

namespace huntd::server {

// Lists for each record, in order, its partition and offset; or an error_code (retriable or not)
// and an error that states whether the record may be stored. If the topic does not exist, the whole
// response is no_such_topic(). REQUIRES: `reports` is not empty.
Response produce_response(const PoolVector<DeliveryReport>& reports, std::string_view topic);

Response no_such_topic(std::string_view topic, std::string_view reason);

}  // namespace huntd::server
