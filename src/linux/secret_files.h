// SPDX-License-Identifier: Apache-2.0
// SecretFiles by a thread that exists during a read only.
#pragma once
#include <string>

#include "environment/secret_files.h"
#include "linux/ring_call.h"

namespace huntd::server {

class UringSecretFiles final : public SecretFiles {
 public:
  // `ring` outlives it, and it outlives the reads that it has started.
  explicit UringSecretFiles(Ring& ring) : calls_(ring, "huntd-secret") {}

  void read(const std::string& path, const char* key, SecretUser& user) override;
  void give_up() override;

 private:
  RingCalls<std::string> calls_;
  RingCall<std::string>* waited_for_ = nullptr;  // by the user
};

}  // namespace huntd::server
