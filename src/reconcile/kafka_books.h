// Reads a whole Kafka topic for reconcile, from its beginning to where it ended when the reading
// began. Joins no group and commits nothing.
#pragma once
#include <string>

#include "base/result.h"
#include "reconcile/books.h"

namespace huntd {

// Adds every event of the topic; a topic that is not there has none.
Result<void> read_kafka(const std::string& bootstrap, const std::string& topic, Books& books);

}  // namespace huntd
