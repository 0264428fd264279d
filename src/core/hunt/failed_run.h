// SPDX-License-Identifier: Apache-2.0
// What the admin port shows of runs (decision 65): an example of each kind of error, with all that
// repeats it, and the lines of a hunt for those who follow it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/hunt/run_worker.h"
#include "core/ledger/ledger.h"
#include "metrics/script_failures.h"

namespace huntd::server {

// The JSON object of ErrorRow::sample. `body` is that of the request; `at_ms` when it failed. What
// does not fit into error_sample_bytes_max is left out, and named in "lacks". It has the seed of
// this run, from which neither the ledger's secret nor another seed can be computed, and no
// Idempotency-Key, with which the hunter's request could be sent again.
std::string failed_run_json(const RequestName& name, std::string_view body, const RunResult& run,
                            int64_t at_ms);

// The JSON object of a line of HuntLines. `kind` is "log" or "error"; `text` is cut.
std::string hunt_line_json(const RequestName& name, std::string_view kind, std::string_view text,
                           int64_t at_ms);

}  // namespace huntd::server
