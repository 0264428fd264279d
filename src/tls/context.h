// SPDX-License-Identifier: Apache-2.0
// What a TLS client trusts, and who it is: OpenSSL's SSL_CTX, from PEM files.
#pragma once
#include <memory>
#include <string>

#include "base/result.h"
#include "config/config.h"

struct ssl_ctx_st;

namespace huntd::tls {

// Errors name each file by its key in the config, redis.tls_….
struct Files {
  std::string ca;           // the authorities that are trusted; empty: the system's
  std::string certificate;  // the client's own and its chain; empty: it has none
  std::string key;          // of `certificate`; other users may not read the file
};

Files files_of(const Config::Redis& redis);

// Sessions share it, also those of several threads.
using Context = std::shared_ptr<ssl_ctx_st>;

// Reads and checks the files. TLS 1.2 or later; the server's certificate must be valid. It may block:
// a file system takes as long as it likes, and the system's authorities are some hundred kilobytes.
Result<Context> load_context(const Files& files);

// What OpenSSL's error queue of this thread has, in OpenSSL's words; empties the queue.
std::string take_error();

}  // namespace huntd::tls
