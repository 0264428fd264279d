// What systemd wants to hear from a service (sd_notify(3)), without its library: one datagram to
// the socket named by NOTIFY_SOCKET. Where there is no systemd every call does nothing.
#pragma once
#include <cstdint>
#include <string_view>

namespace huntd::systemd {

// Sends `state`, such as "READY=1" or "WATCHDOG=1", several separated by newlines. A service
// manager that can't be reached is no reason to stop serving, so a failure is passed over; false
// then, and where there is no service manager.
bool notify(std::string_view state);

// How often WATCHDOG=1 must be sent, in microseconds: half of WATCHDOG_USEC, as
// sd_watchdog_enabled(3) advises. 0 where nobody watches this process.
uint64_t watchdog_interval_us();

}  // namespace huntd::systemd
