// SPDX-License-Identifier: Apache-2.0
// Reports a service's state to systemd (sd_notify(3)) without libsystemd: one datagram to the
// socket in NOTIFY_SOCKET. Without systemd, every call does nothing.
#pragma once
#include <cstdint>
#include <string_view>

namespace huntd::systemd {

// Sends `state`, such as "READY=1" or "WATCHDOG=1"; several are separated by newlines. Returns
// false if there is no service manager or it cannot be reached: the caller continues to serve.
bool notify(std::string_view state);

// The interval of WATCHDOG=1 in microseconds: half of WATCHDOG_USEC, as sd_watchdog_enabled(3)
// advises. 0 if the watchdog is off for this process.
uint64_t watchdog_interval_us();

}  // namespace huntd::systemd
