// SPDX-License-Identifier: Apache-2.0
#include "linux/tls_network.h"

#include <utility>

#include "base/clock.h"
#include "linux/tls_limits.h"
#include "linux/tls_stream.h"

namespace huntd::server {

TlsNetwork::TlsNetwork(Network& plain, Ring& ring, Scheduler& scheduler, tls::Files files,
                       std::string server_name)
    : plain_(plain),
      scheduler_(scheduler),
      files_(std::move(files)),
      server_name_(std::move(server_name)),
      load_(ring, "huntd-tls") {}

void TlsNetwork::connect(const Address& address, ConnectUser& user) {
  if (address.unix_socket) return plain_.connect(address, user);
  bool const reads = !waiting_.empty();
  waiting_.push_back(std::make_unique<Opening>(*this, address, user));
  if (reads) return;
  scheduler_.arm(wait_, scheduler_.now_ns() + limits::tls_files_wait_ns);
  Result<void> const started =
      load_.start([files = files_] { return tls::load_context(files); },
                  [this](Result<tls::Context> context) { on_loaded(std::move(context)); });
  if (!started) on_loaded(started.error());
}

void TlsNetwork::Wait::on_deadline() {
  network.load_.give_up();
  constexpr uint64_t wait_s = limits::tls_files_wait_ns / ns_per_s;
  network.on_loaded(
      Error{"the files of redis.tls are not read within " + std::to_string(wait_s) + " s"});
}

void TlsNetwork::on_loaded(Result<tls::Context> context) {
  if (wait_.armed()) scheduler_.disarm(wait_);
  for (std::unique_ptr<Opening>& opening : std::exchange(waiting_, {})) {
    if (!context) {
      opening->user.on_connected(context.error());
      continue;
    }
    opening->context = *context;
    Opening* const kept = opening.release();
    plain_.connect(kept->address, *kept);
  }
}

void TlsNetwork::Opening::on_connected(Result<StreamPtr> stream) {
  std::unique_ptr<Opening> const ends(this);
  if (!stream) return user.on_connected(stream.error());
  const std::string& found_by = address.name.empty() ? address.host : address.name;
  TlsStream::open(network.scheduler_, context,
                  network.server_name_.empty() ? found_by : network.server_name_,
                  std::move(*stream), user);
}

}  // namespace huntd::server
