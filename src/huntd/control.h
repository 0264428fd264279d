// What the parent and a core tell each other, over a SOCK_SEQPACKET pair; the framing is
// MessageLink's.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "auth/secrets.h"
#include "hunt/worker_pool.h"
#include "route/wire.h"

namespace huntd {

enum class ControlMessage : uint8_t {
  peer = 1,    // parent → core: a core came up (in which life) or went down
  bundle = 2,  // parent → core: new hunts run this bundle (its descriptor comes along) under these
               // limits
  drain = 3,      // parent → core: let what runs finish, then end
  listening = 4,  // core → parent: it serves
  quiet =
      5,  // core → parent, while draining: nothing of its own is left; it still serves its siblings
  end = 6,      // parent → core: all are quiet
  secrets = 7,  // parent → core: who may call from now on
};

struct PeerNews {
  uint32_t core = 0;
  bool up = false;
  uint32_t epoch = 0;  // which life of that core
};

inline std::string write_peer_news(const PeerNews& news) {
  std::string message;
  WireWriter writer(message);
  writer.number(ControlMessage::peer);
  writer.number(news);
  return message;
}

inline std::string write_bundle_news(const WorkerLimits& limits) {
  std::string message;
  WireWriter writer(message);
  writer.number(ControlMessage::bundle);
  writer.number(limits);
  return message;
}

inline std::string write_secrets_news(const Secrets& secrets) {
  std::string message;
  WireWriter writer(message);
  writer.number(ControlMessage::secrets);
  writer.number(secrets.mode);
  writer.number(static_cast<uint32_t>(secrets.texts.size()));
  for (const std::string& text : secrets.texts) writer.text(text);
  return message;
}

// What stands behind the kind.
inline Secrets read_secrets_news(WireReader& reader) {
  Secrets secrets;
  secrets.mode = reader.number<AuthMode>();
  secrets.texts.resize(reader.number<uint32_t>());
  for (std::string& text : secrets.texts) text = reader.text();
  return secrets;
}

inline std::string write_plain(ControlMessage kind) {
  std::string message;
  WireWriter(message).number(kind);
  return message;
}

}  // namespace huntd
