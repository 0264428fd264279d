// SPDX-License-Identifier: Apache-2.0
// Everything that a core's logic needs from the world. linux/ implements these interfaces on
// io_uring, processes and librdkafka; tests/sim implements them in virtual time.
//
// A core has one thread, and every call and callback below runs on it. Callbacks run while a tick
// collects completions: they may record what happened and mark coroutines ready, and must not
// resume a coroutine.
#pragma once
#include "environment/clock.h"
#include "environment/event_log.h"
#include "environment/message_link.h"
#include "environment/network.h"
#include "environment/resolver.h"
#include "environment/secret_files.h"
#include "environment/worker_host.h"

namespace huntd::server {

// One core's environment. Every reference outlives the core.
struct Environment {
  Clock& clock;
  Network& network;
  Resolver& resolver;
  SecretFiles& secrets;
  WorkerHost& workers;
  EventLog* events;  // null if Kafka is not configured
};

}  // namespace huntd::server
