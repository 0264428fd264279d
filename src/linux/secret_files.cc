// SPDX-License-Identifier: Apache-2.0
#include "linux/secret_files.h"

#include <utility>

#include "base/check.h"
#include "base/private_file.h"

namespace huntd::server {

void UringSecretFiles::read(const std::string& path, const char* key, SecretUser& user) {
  CHECK(waited_for_ == nullptr);
  auto const fail = [&](const std::string& why) {
    user.on_secret(Error{std::string(key) + ": " + path + " is not read: " + why});
  };
  RingCall<std::string>* const call = calls_.of(path);
  if (call == nullptr) return fail("the reads of too many other files hang");
  waited_for_ = call;
  Result<void> const started = call->start([path, key] { return read_secret(path, key); },
                                           [this, &user](Result<std::string> secret) {
                                             waited_for_ = nullptr;
                                             user.on_secret(std::move(secret));
                                           });
  if (started) return;
  waited_for_ = nullptr;
  fail(started.error().message);
}

void UringSecretFiles::give_up() {
  if (waited_for_ != nullptr) std::exchange(waited_for_, nullptr)->give_up();
}

}  // namespace huntd::server
