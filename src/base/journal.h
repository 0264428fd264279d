// SPDX-License-Identifier: Apache-2.0
// The native protocol of systemd's journal: one datagram per line of the log, whose fields can be
// searched for (`journalctl HUNT_ID=campfire`). Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
// and systemd.exec(5), JOURNAL_STREAM.
#pragma once
#include <string>
#include <string_view>

namespace huntd::log {

inline constexpr const char* journal_socket = "/run/systemd/journal/socket";

// Returns true if `descriptor` is the stream that systemd has connected to its journal, of which
// the environment variable JOURNAL_STREAM has the device and the inode ("DEVICE:INODE"). A child
// whose stderr was redirected inherits the variable, but not the stream. `journal_stream` may be
// null.
bool is_journal(int descriptor, const char* journal_stream);

// Connects a datagram socket to the journal. Returns its descriptor, which the caller owns and
// which closes on exec; or -1 with errno.
int connect_journal(const char* path);
// Connects it again, after the journal's socket was made again. Returns false, with errno, if that
// failed.
bool reconnect_journal(int descriptor, const char* path);

// Appends one field. The name becomes one that the journal accepts: upper case, and an underscore
// for any other character than A-Z and 0-9. The value may have any bytes.
void append_journal_field(std::string& entry, std::string_view name, std::string_view value);

}  // namespace huntd::log
