// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/redis_link.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/read_text.h"
#include "core/ledger/probe_script.h"
#include "core/ledger/redis_words.h"
#include "wire/redis_keys.h"

namespace huntd::server {
namespace {

constexpr uint64_t handshake_timeout_ms = 2000;

void append_length(std::string& out, char kind, size_t length) {
  char digits[24];
  char* const end = std::to_chars(digits, std::end(digits), length).ptr;
  out.push_back(kind);
  out.append(digits, static_cast<size_t>(end - digits)).append("\r\n");
}

uint64_t info_number(std::string_view info, std::string_view name) {
  std::string_view const text = info_field(info, name);
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// How many replicas receive the writes: "slave0:ip=…,port=…,state=online,…". One that is still sent
// the data set counts for no WAIT.
uint32_t online_replicas(std::string_view info) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < limits::redis_replicas_listed_max; ++i) {
    std::string_view const replica = info_field(info, "slave" + std::to_string(i));
    if (replica.empty()) break;
    if (replica.find("state=online") != replica.npos) ++count;
  }
  return count;
}

// Version, role and persistence by INFO.
std::string describe_server(std::string_view info) {
  std::string_view const valkey = info_field(info, "valkey_version");
  std::string text = valkey.empty() ? "Redis " : "Valkey ";
  text += valkey.empty() ? info_field(info, "redis_version") : valkey;
  text.append(", ").append(info_field(info, "role"));
  text += info_field(info, "aof_enabled") == "1" ? ", AOF on" : ", AOF off";
  return text;
}

}  // namespace

LinkParts::LinkParts(Resolver& resolver, SecretFiles& secrets, Scheduler& scheduler)
    : probe_(add_script(scripts::probe)), lookup_(resolver, secrets, scheduler) {}

RedisScript* LinkParts::add_script(std::string text) {
  scripts_.push_back({std::move(text), ""});
  return &scripts_.back();
}

RedisLink::RedisLink(const World& world, Options options)
    : network_(world.network),
      scheduler_(world.scheduler),
      clock_(world.clock),
      metrics_(world.metrics),
      options_(std::move(options)),
      own_parts_(std::make_unique<LinkParts>(world.resolver, world.secrets, world.scheduler)),
      parts_(*own_parts_) {
  if (!options_.servers.sentinels.empty())
    sentinels_.emplace(network_, parts_.lookup_, scheduler_, options_.servers,
                       options_.logins.sentinel);
}

RedisLink::RedisLink(const World& world, Options options, LinkParts& parts, NodeLinkUser& user)
    : network_(world.network),
      scheduler_(world.scheduler),
      clock_(world.clock),
      metrics_(world.metrics),
      options_(std::move(options)),
      parts_(parts),
      user_(&user) {
  options_.servers.addresses.clear();
}

RedisLink::~RedisLink() {
  if (reader_ != nullptr) redisReaderFree(reader_);
  if (linger_.armed()) scheduler_.disarm(linger_);
}

Task<> RedisLink::run() {
  uint64_t backoff_ms = limits::redis_backoff_first_ms;
  for (;;) {
    while (idle()) {
      resting_ = true;
      co_await used_.wait();
      resting_ = false;
    }
    uint64_t const use = uses_;
    bool const ready = co_await connect();
    if (use != uses_) {
      // Meanwhile it has become the link to another node, or to none.
      drop("the node is not used any more");
      clear_node();
      continue;
    }
    returning_until_ns_ = 0;
    bool settled = false;
    if (ready) {
      backoff_ms = limits::redis_backoff_first_ms;
      logged_error_.clear();
      uint64_t const up_at_ns = scheduler_.now_ns();
      co_await serve();
      settled = scheduler_.now_ns() >= up_at_ns + limits::redis_settled_ns;
      last_error_ = connected_to_ + ": " + last_error_;
    } else {
      set_reason(last_error_);
      wake_waiters();
    }
    if (idle()) continue;
    log_unavailable(settled ? 0 : backoff_ms);
    metrics_.add(Counter::redis_reconnects);
    if (settled) continue;
    // Half of the pause is random, so that the cores do not reconnect all at once.
    uint64_t const wait_ms = backoff_ms / 2 + clock_.random() % (backoff_ms / 2 + 1);
    co_await used_.wait(scheduler_.now_ns() + wait_ms * ns_per_ms);
    if (!ready) backoff_ms = std::min(2 * backoff_ms, limits::redis_backoff_max_ms);
  }
}

// An outage of hours is one line per failure and half a minute, not one per try.
void RedisLink::log_unavailable(uint64_t retry_in_ms) {
  uint64_t const now_ns = scheduler_.now_ns();
  if (last_error_ == logged_error_ && now_ns < logged_at_ns_ + limits::redis_log_again_ns) {
    ++tries_unlogged_;
    return;
  }
  log::warning("redis is unavailable", {{"error", last_error_},
                                        {"retry_in_ms", retry_in_ms},
                                        {"tries_before", std::exchange(tries_unlogged_, 0)}});
  logged_error_ = last_error_;
  logged_at_ns_ = now_ns;
}

void RedisLink::use_node(Address node) {
  CHECK(user_ != nullptr && idle());
  options_.servers.addresses = {std::move(node)};
  ++uses_;
  clear_node();
  returning_until_ns_ = scheduler_.now_ns() + limits::redis_return_max_ns;
  used_.set({});
}

void RedisLink::clear_node() {
  lineage_ = 0;
  lineage_known_ = false;
  probe_number_ = 0;
  server_.clear();
  last_error_.clear();
  reason_.clear();
  logged_reason_.clear();
}

void RedisLink::leave_node() {
  CHECK(user_ != nullptr);
  options_.servers.addresses.clear();
  ++uses_;
  drop("the node has no slots any more");
  clear_node();
  returning_until_ns_ = 0;
  wake_waiters();
}

// As connect_as_known(). If a server rejects the login and the password file has another password now,
// tries once more with that.
Task<bool> RedisLink::connect() {
  login_rejected_ = false;
  bool const ready = co_await connect_as_known();
  if (ready || !login_rejected_ || options_.logins.redis.password_file.empty()) co_return ready;
  Result<bool> const is_new =
      co_await parts_.lookup_.read_password(options_.logins.redis, "redis.password_file");
  if (!is_new) last_error_.append("; ").append(is_new.error().message);
  if (!is_new || !*is_new) co_return false;
  log::notice("redis rejected the password: trying what redis.password_file has now");
  bool const ready_now = co_await connect_as_known();
  co_return ready_now;
}

// Connects to the first address with which the handshake succeeds. Returns false if there is none;
// then last_error_ says for each why not.
Task<bool> RedisLink::connect_as_known() {
  if (!sentinels_) {
    bool const ready = co_await connect_to_each(options_.servers.addresses, "");
    co_return ready;
  }
  Sentinels::Named named = co_await sentinels_->primary();
  std::vector<Address> servers;
  for (NamedPrimary& each : named.choice.candidates)
    servers.push_back({false, std::move(each.host), each.port});
  if (servers.empty()) {
    last_error_ = std::move(named.failures);
    co_return false;
  }
  bool const ready = co_await connect_to_each(std::move(servers), options_.servers.primary + ": ");
  if (!ready && !named.choice.by_majority && !named.failures.empty())
    last_error_.append("; ").append(named.failures);
  co_return ready;
}

// `prefix` is that of last_error_.
Task<bool> RedisLink::connect_to_each(std::vector<Address> servers, std::string prefix) {
  std::string failures;
  for (const Address& server : servers) {
    if (!failures.empty()) failures.append("; ");
    server_address_ = server;
    bool const ready = co_await connect_to_name(server, failures);
    if (ready) co_return true;
  }
  last_error_ = prefix + failures;
  co_return false;
}

// Appends to `failures` why it returns false.
Task<bool> RedisLink::connect_to_name(const Address& server, std::string& failures) {
  bool const named = Lookup::is_name(server);
  if (named && reason_.empty()) set_reason(server.host + " is being looked up");
  Result<std::vector<Address>> const found = co_await parts_.lookup_.addresses(server);
  if (!found) {
    failures.append(found.error().message);
    co_return false;
  }
  if (named) failures.append(server.host).append(" is ");
  for (size_t i = 0; i < found->size(); ++i) {
    bool const ready = co_await connect_to((*found)[i]);
    if (ready) co_return true;
    failures.append(i == 0 ? "" : "; ").append(connected_to_).append(": ").append(last_error_);
  }
  co_return false;
}

Task<bool> RedisLink::connect_to(const Address& address) {
  connected_to_ = address_text(address);
  if (user_ == nullptr) metrics_.redis_address.set(connected_to_);
  connecting_ = true;
  network_.connect(address, *this);
  while (connecting_) co_await changed_.wait();
  bool ready = false;
  if (connected_) ready = co_await handshake();
  co_return ready;
}

// From the end of a handshake to the end of its connection.
Task<> RedisLink::serve() {
  up_ = true;
  log::info("redis is up", {{"server", server_}, {"address", connected_to_}});
  set_reason(std::move(reason_));
  wake_waiters();
  while (connected_) {
    co_await changed_.wait(next_check_at_ns_);
    if (!connected_ || scheduler_.now_ns() < next_check_at_ns_) continue;
    if (demoted_) {
      drop("the server has become a replica");
      break;
    }
    bool const all = suspected_ || !reason_.empty();
    suspected_ = false;
    co_await check(all ? Check::all : Check::settings);
    if (connected_ && sentinels_) co_await follow_sentinels();
  }
  returning_until_ns_ = scheduler_.now_ns() + limits::redis_return_max_ns;
}

// Leaves a server that most sentinels have replaced: it may not know that yet, if it is cut off from
// them.
Task<> RedisLink::follow_sentinels() {
  Sentinels::Named const named = co_await sentinels_->primary();
  if (!connected_) co_return;
  std::string disagreement;
  for (const NamedPrimary& each : named.choice.candidates)
    disagreement.append(disagreement.empty() ? "they name " : ", ")
        .append(address_text({false, each.host, each.port}));
  bool const agreed = named.choice.by_majority;
  if (!agreed && !no_majority_logged_)
    log::warning("no majority of the sentinels names one primary: the connection stays",
                 {{"error", named.failures.empty() ? disagreement : named.failures}});
  no_majority_logged_ = !agreed;
  if (!agreed) co_return;
  const NamedPrimary& primary = named.choice.candidates[0];
  if (primary == NamedPrimary{server_address_.host, server_address_.port}) co_return;
  std::string const address = address_text({false, primary.host, primary.port});
  drop(("most sentinels name " + address + " as the primary now").c_str());
}

void RedisLink::use(RedisLogins logins) {
  if (sentinels_) sentinels_->use(logins.sentinel);
  options_.logins = std::move(logins);
}

void RedisLink::suspect() {
  if (!up_ || suspected_) return;
  suspected_ = true;
  next_check_at_ns_ =
      std::min(next_check_at_ns_, checked_at_ns_ + limits::redis_check_suspected_ns);
  changed_.set({});
}

void RedisLink::set_reason(std::string reason) {
  reason_ = std::move(reason);
  show();
  if (up_ && reason_ != logged_reason_) {
    if (reason_.empty())
      log::info("redis can be used", {{"server", server_}});
    else
      log::error("redis can't be used: hunts are rejected", {{"reason", reason_}});
    logged_reason_ = reason_;
  }
  if (suitable()) wake_waiters();
}

// In the metrics, which have one Redis per core: of a cluster its user shows all nodes.
void RedisLink::show() {
  if (user_ != nullptr) return user_->on_link_changed();
  metrics_.redis_reason.set(reason_);
  metrics_.redis_server.set(server_);
  metrics_.set(Gauge::redis_up, suitable() ? 1 : 0);
  metrics_.set(Gauge::redis_memory_used_bytes, memory_used_bytes_);
  metrics_.set(Gauge::redis_memory_max_bytes, memory_max_bytes_);
}

void RedisLink::wake_waiters() {
  for (OneShot<Signal>* waiter : std::exchange(waiters_, {})) waiter->set({});
}

Task<bool> RedisLink::until_up(uint64_t deadline_at_ns) {
  while (!up_ && scheduler_.now_ns() < deadline_at_ns) {
    OneShot<Signal> slot(scheduler_);
    waiters_.push_back(&slot);
    co_await slot.wait(deadline_at_ns);
    std::erase(waiters_, &slot);
  }
  co_return up_;
}

Task<bool> RedisLink::until_suitable(uint64_t deadline_at_ns) {
  while (!suitable() && scheduler_.now_ns() < deadline_at_ns) {
    OneShot<Signal> slot(scheduler_);
    waiters_.push_back(&slot);
    co_await slot.wait(deadline_at_ns);
    std::erase(waiters_, &slot);
  }
  co_return suitable();
}

Task<bool> RedisLink::usable(uint64_t deadline_at_ns) {
  while (returning() && scheduler_.now_ns() < deadline_at_ns) {
    OneShot<Signal> slot(scheduler_);
    waiters_.push_back(&slot);
    co_await slot.wait(std::min(deadline_at_ns, returning_until_ns_));
    std::erase(waiters_, &slot);
  }
  co_return up_;
}

// Sends a command and drops the connection unless the reply is OK.
Task<bool> RedisLink::expect_ok(PoolVector<std::string_view> words, uint64_t deadline_at_ns) {
  std::string const name(words[0]);
  RedisReply const reply = co_await command(std::move(words), deadline_at_ns);
  if (reply.text() == "OK") co_return true;
  std::string const reason = reply.lost() ? "no reply to " + name : std::string(reply.text());
  drop(reason.c_str());
  co_return false;
}

Task<bool> RedisLink::handshake() {
  uint64_t const deadline_at_ns = scheduler_.now_ns() + handshake_timeout_ms * ns_per_ms;
  if (const RedisLogin& login = options_.logins.redis; !login.password.empty()) {
    PoolVector<std::string_view> auth{"AUTH"};
    if (!login.user.empty()) auth.push_back(login.user);
    auth.push_back(login.password);
    bool const ok = co_await expect_ok(std::move(auth), deadline_at_ns);
    if (!ok) co_return false;
  }
  if (options_.database != 0) {
    std::string const number = std::to_string(options_.database);
    PoolVector<std::string_view> select{"SELECT", number};
    bool const ok = co_await expect_ok(std::move(select), deadline_at_ns);
    if (!ok) co_return false;
  }
  bool const loaded = co_await load_scripts(deadline_at_ns);
  if (!loaded) co_return false;
  // The markers are ECHO commands; their replies are not checked before this one.
  constexpr std::string_view marker = "huntd";
  PoolVector<std::string_view> echo{"ECHO", marker};
  RedisReply const echoed = co_await command(std::move(echo), deadline_at_ns);
  if (echoed.is_error() || echoed.text() != marker) {
    drop(echoed.lost() ? "no reply to ECHO" : std::string(echoed.text()).c_str());
    co_return false;
  }
  bool const checked = co_await check(Check::all);
  co_return checked;
}

Task<bool> RedisLink::load_scripts(uint64_t deadline_at_ns) {
  for (RedisScript& script : parts_.scripts_) {
    PoolVector<std::string_view> load{"SCRIPT", "LOAD", script.text};
    RedisReply reply = co_await command(std::move(load), deadline_at_ns);
    if (reply.is_error() || reply.text().size() != 40) {
      drop(reply.lost() ? "no reply to SCRIPT LOAD" : std::string(reply.text()).c_str());
      co_return false;
    }
    script.sha1 = reply.text();
  }
  co_return true;
}

// Checks whether Redis can be used, and sets reason(). Returns false if the connection ended.
Task<bool> RedisLink::check(Check what) {
  // Later flush() drops a connection without replies.
  uint64_t const deadline_at_ns =
      up_ ? never_ns : scheduler_.now_ns() + handshake_timeout_ms * ns_per_ms;
  std::string reason;
  if (what == Check::all) reason = co_await self_test(deadline_at_ns);
  // The slot of the first test may be one that moves to another node.
  if (connected_ && user_ != nullptr && !reason.empty())
    reason = co_await self_test(deadline_at_ns);
  if (connected_ && what == Check::all && options_.wait_replicas > 0 && reason.empty()) {
    PoolVector<std::string_view> wait{"WAIT", "0", "1"};
    RedisReply const waited = co_await command(std::move(wait), deadline_at_ns);
    if (waited.is_error()) reason.append("WAIT: ").append(waited.text());
  }
  PoolVector<std::string_view> words{"INFO"};
  RedisReply const info = co_await command(std::move(words), deadline_at_ns);
  if (info.lost())
    drop("no reply to INFO");
  else if (!info.is_text() && !info.is_error())
    fail_protocol("INFO");
  if (!connected_) co_return false;
  std::string const of_settings = read_settings(info);
  // A replica rejects every write, so its role is the better reason.
  if (reason.empty() || (demoted_ && !of_settings.empty())) reason = of_settings;
  checked_at_ns_ = scheduler_.now_ns();
  set_reason(std::move(reason));
  next_check_at_ns_ = checked_at_ns_ + (reason_.empty() ? limits::redis_check_ns
                                                        : limits::redis_check_unsuitable_ns);
  // After a failover, a new connection finds the primary.
  if (demoted_ && (!up_ || waiting_.empty())) drop(reason_.c_str());
  co_return connected_;
}

// Executes each command of the ledger's scripts. Returns what failed, empty if nothing did.
Task<std::string> RedisLink::self_test(uint64_t deadline_at_ns) {
  // The next test is in another slot: one that moves can't be written to.
  std::string const tag =
      user_ == nullptr ? std::string(keys::probe_tag) : user_->probe_tag(*this, probe_number_++);
  if (tag.empty()) co_return "";
  PoolVector<PoolString> const keys = keys::probes(options_.core, tag);
  RedisReply reply;
  for (int tries = 0; tries < 2; ++tries) {
    PoolVector<std::string_view> words{"EVALSHA", parts_.probe_->sha1, "0"};
    words.insert(words.end(), keys.begin(), keys.end());
    words.push_back(options_.holds_seed_secret ? "1" : "0");
    reply = co_await command(std::move(words), deadline_at_ns);
    if (!reply.is_error() || !reply.text().starts_with("NOSCRIPT")) break;
    bool const loaded = co_await load_scripts(deadline_at_ns);
    if (!loaded) break;
  }
  if (reply.lost()) {
    drop("no reply to EVALSHA");
    co_return "";
  }
  if (reply.is_error()) co_return "EVALSHA: " + std::string(reply.text());
  if (!reply.is_array()) {
    fail_protocol("EVALSHA");
    co_return "";
  }
  if (reply.size() == 0) co_return "";
  std::string reason(reply[0].text());
  if (reply.size() > 1) reason += ", and " + std::to_string(reply.size() - 1) + " more";
  co_return reason;
}

// Reads the reply to INFO. Returns the setting that is wrong, empty if none is.
std::string RedisLink::read_settings(const RedisReply& info) {
  if (info.is_error()) return "INFO: " + std::string(info.text());
  server_ = describe_server(info.text());
  if (info_field(info.text(), "role") == "slave") {
    demoted_ = true;
    std::string reason = "the server is a replica of ";
    return reason.append(info_field(info.text(), "master_host"))
        .append(":")
        .append(info_field(info.text(), "master_port"));
  }
  note_lineage(info.text());
  uint32_t const replicas = online_replicas(info.text());
  if (replicas < options_.wait_replicas)
    return "Redis has " + std::to_string(replicas) + " of the " +
           std::to_string(options_.wait_replicas) + " replicas in redis.wait_replicas";
  uint64_t const used_bytes = info_number(info.text(), "used_memory");
  uint64_t const max_bytes = info_number(info.text(), "maxmemory");
  memory_used_bytes_ = used_bytes;
  memory_max_bytes_ = max_bytes;
  std::string_view const policy = info_field(info.text(), "maxmemory_policy");
  if (policy == "noeviction") {
    // As a quotient, so that no product overflows. The last per cent is Redis' own to reject.
    uint64_t const percent =
        max_bytes == 0 ? 0 : used_bytes / std::max<uint64_t>(max_bytes / 100, 1);
    if (percent < options_.memory_max_percent || options_.memory_max_percent == 100) return "";
    return "Redis uses " + std::to_string(percent) +
           " % of its maxmemory (redis.memory_max_percent = " +
           std::to_string(options_.memory_max_percent) + ")";
  }
  if (policy.empty()) return "INFO has no maxmemory_policy";
  std::string reason = "maxmemory-policy is ";
  reason.append(policy).append(": Redis may delete what was awarded; set it to noeviction");
  if (!options_.allow_eviction) return reason + " (or redis.allow_eviction = true)";
  if (!up_)
    log::warning("redis may delete what was awarded",
                 {{"policy", policy}, {"hint", "set maxmemory-policy to noeviction"}});
  return "";
}

// REQUIRES: the server is a primary. Nothing is committed on a replica, so its history does not
// matter.
void RedisLink::note_lineage(std::string_view info) {
  std::string_view const run_id = info_field(info, "run_id");
  std::string_view const history = info_field(info, "master_replid");
  if (run_id.empty() && history.empty()) {
    if (!std::exchange(no_lineage_logged_, true))
      log::warning("a redis that lost awards can't be noticed",
                   {{"reason", "INFO has neither run_id nor master_replid"}});
    lineage_ = 0;
    return;
  }
  uint64_t const lineage = hash64(std::string(run_id).append(":").append(history));
  if (lineage_known_ && lineage != lineage_) {
    metrics_.add(Counter::redis_lineage_changes);
    log::warning("redis was restarted or replaced and may have lost its newest awards",
                 {{"server", server_}, {"hint", "huntctl reconcile names what is missing"}});
  }
  lineage_ = lineage;
  lineage_known_ = true;
}

void RedisLink::on_connected(Result<StreamPtr> stream) {
  connecting_ = false;
  if (stream) {
    stream_ = std::move(*stream);
    stream_->set_user(*this);
    if (reader_ != nullptr) redisReaderFree(reader_);
    reader_ = redisReaderCreateWithFunctions(RedisReply::functions());
    reader_->maxbuf = 64 * 1024;
    out_.clear();
    demoted_ = false;
    suspected_ = false;
    reason_.clear();
    connected_ = true;
    ++connections_;
    stream_->read();
  } else {
    last_error_ = redis_fault_in_words(stream.error().message);
    reason_ = "";
  }
  changed_.set({});
}

bool RedisLink::has_room(size_t commands) const {
  return connected_ && waiting_.size() + commands <= limits::redis_in_flight_max &&
         out_.size() < limits::redis_out_bytes_max;
}

// REQUIRES: has_room().
void RedisLink::append(std::span<const std::string_view> words, OneShot<RedisReply>* slot,
                       Copies copies) {
  write(words);
  waiting_.push_back({slot, scheduler_.ran_ns(), Waiting::Kind::command, copies, 0, RedisReply()});
  metrics_.add(Counter::redis_commands);
  wait_due_ = wait_due_ || (copies == Copies::replicas && options_.wait_replicas > 0);
}

// Appends an array of bulk strings (RESP). hiredis would allocate twice per command.
void RedisLink::write(std::span<const std::string_view> words) {
  append_length(out_, '*', words.size());
  for (std::string_view word : words) {
    append_length(out_, '$', word.size());
    out_.append(word).append("\r\n");
  }
}

// Behind the commands of a tick: Redis replies when the replicas have them, or wait_ms later.
void RedisLink::append_wait() {
  wait_due_ = false;
  waiting_for_copies_ = true;
  std::string const replicas = std::to_string(options_.wait_replicas);
  std::string const ms = std::to_string(options_.wait_ms);
  std::string_view const words[] = {"WAIT", replicas, ms};
  write(words);
  waiting_.push_back(
      {nullptr, scheduler_.ran_ns(), Waiting::Kind::wait, Copies::primary, 0, RedisReply()});
}

void RedisLink::append_marker() {
  char digits[24];
  char* const end = std::to_chars(digits, std::end(digits), ++last_marker_).ptr;
  std::string_view const words[] = {"ECHO", {digits, static_cast<size_t>(end - digits)}};
  write(words);
  waiting_.push_back({nullptr, scheduler_.ran_ns(), Waiting::Kind::marker, Copies::primary,
                      last_marker_, RedisReply()});
}

Task<RedisReply> RedisLink::command(PoolVector<std::string_view> words, uint64_t deadline_at_ns,
                                    Copies copies, Asking asking) {
  OneShot<RedisReply> slot(scheduler_);
  // It is for the next command of the connection only: that must not be another one.
  constexpr std::string_view asks[] = {"ASKING"};
  if (!has_room(asking == Asking::yes ? 2 : 1)) co_return RedisReply();
  if (asking == Asking::yes) append(asks, nullptr, Copies::primary);
  uint64_t const ticket = first_ticket_ + waiting_.size();
  append(words, &slot, copies);
  std::optional<RedisReply> reply = co_await slot.wait(deadline_at_ns);
  if (reply) co_return std::move(*reply);
  // Too late. The entry stays, because its reply still has its turn in the order.
  if (ticket >= first_ticket_) waiting_[ticket - first_ticket_].slot = nullptr;
  co_return RedisReply();
}

Task<RedisReply> RedisLink::retried(PoolVector<std::string_view> words, uint64_t deadline_at_ns) {
  for (int tries = 1;; ++tries) {
    if (!up_) {
      bool const usable_again = co_await usable(deadline_at_ns);
      if (!usable_again) co_return RedisReply();
    }
    PoolVector<std::string_view> copy = words;
    RedisReply reply = co_await command(std::move(copy), deadline_at_ns);
    bool const late = scheduler_.now_ns() >= deadline_at_ns;
    if (!reply.lost() || late || tries == limits::redis_tries_max) co_return reply;
  }
}

Task<RedisReply> RedisLink::evaluate(const RedisScript& script, PoolVector<std::string_view> keys,
                                     PoolVector<std::string_view> arguments,
                                     uint64_t deadline_at_ns, Copies copies, Asking asking) {
  if (!up_) co_return RedisReply();
  std::string const key_count = std::to_string(keys.size());
  PoolVector<std::string_view> words{"EVALSHA", script.sha1, key_count};
  words.insert(words.end(), keys.begin(), keys.end());
  words.insert(words.end(), arguments.begin(), arguments.end());
  for (int attempt = 0;; ++attempt) {
    PoolVector<std::string_view> copy = words;
    RedisReply reply = co_await command(std::move(copy), deadline_at_ns, copies, asking);
    if (attempt > 0 || !reply.is_error() || !reply.text().starts_with("NOSCRIPT")) co_return reply;
    metrics_.add(Counter::redis_noscript);
    PoolVector<std::string_view> load{"SCRIPT", "LOAD", script.text};
    RedisReply loaded = co_await command(std::move(load), deadline_at_ns);
    if (loaded.lost()) co_return RedisReply();
  }
}

bool RedisLink::send_ignoring_reply(PoolVector<std::string_view> words) {
  if (!up_ || !has_room(1)) return false;
  append(words, nullptr, Copies::primary);
  return true;
}

void RedisLink::flush(Leave leave) {
  // The server may be gone although TCP still has its connection.
  if (!waiting_.empty() &&
      scheduler_.ran_ns() > waiting_.front().queued_at_ns + limits::redis_silence_max_ns)
    return drop("no reply for 5 s");
  if (!connected_ || out_.empty() || stream_->sending()) return;
  // Redis executes nothing behind a WAIT until it ends, so what comes meanwhile shares the next one.
  if (wait_due_ && waiting_for_copies_) return;
  uint64_t const now_ns = scheduler_.now_ns();
  if (leave == Leave::when_due && up_ && now_ns < sent_at_ns_ + options_.linger_ns &&
      out_.size() < limits::redis_linger_bytes_max) {
    if (!linger_.armed()) scheduler_.arm(linger_, sent_at_ns_ + options_.linger_ns);
    return;
  }
  if (linger_.armed()) scheduler_.disarm(linger_);
  sent_at_ns_ = now_ns;
  if (wait_due_) append_wait();
  append_marker();
  metrics_.add(Counter::redis_batches);
  stream_->send(out_);
}

void RedisLink::on_bytes(std::string_view bytes) {
  if (!connected_) return;
  if (redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK)
    return drop("malformed reply");
  for (;;) {
    void* parsed = nullptr;
    if (redisReaderGetReply(reader_, &parsed) != REDIS_OK) return drop(reader_->errstr);
    if (parsed == nullptr) {
      if (reader_->len > limits::redis_reply_bytes_max) return drop("reply too large");
      // After a failover, a new connection finds the primary.
      if (demoted_ && waiting_.empty()) drop("the server has become a replica");
      return;
    }
    RedisReply reply(static_cast<RedisReply::Node*>(parsed));
    demoted_ = demoted_ || (reply.is_error() && reply.text().starts_with("READONLY"));
    if (!take(std::move(reply))) return;
  }
}

// Returns false if it dropped the connection.
bool RedisLink::take(RedisReply reply) {
  if (replied_ == waiting_.size()) {
    drop("a reply without a command");
    return false;
  }
  Waiting& next = waiting_[replied_];
  if (next.kind == Waiting::Kind::wait) {
    take_wait(reply);
    ++replied_;
    return true;
  }
  if (next.kind == Waiting::Kind::command) {
    next.reply = std::move(reply);
    ++replied_;
    if (!up_) deliver(1);
    return true;
  }
  uint64_t marker = 0;
  std::string_view const text = reply.text();
  std::from_chars(text.data(), text.data() + text.size(), marker);
  // The handshake reads the error of its own command, such as AUTH.
  if (reply.is_error() ? !up_ : marker == next.marker) {
    deliver(replied_ + 1);
    return true;
  }
  // The server may have a reason of its own: BUSY, LOADING, NOAUTH.
  std::string const reason = reply.is_error() ? std::string(text) : "replies are out of sync";
  drop(reason.c_str());
  return false;
}

// The reply to a WAIT is how many replicas have what the commands before it wrote or read.
void RedisLink::take_wait(const RedisReply& reply) {
  waiting_for_copies_ = false;
  if (reply.is_number() && reply.number() >= options_.wait_replicas) return;
  metrics_.add(Counter::redis_wait_failures);
  for (size_t i = 0; i < replied_; ++i)
    if (waiting_[i].copies == Copies::replicas) waiting_[i].reply.note_few_copies();
  suspect();
}

// Passes the first `count` replies to the coroutines that wait for them.
void RedisLink::deliver(size_t count) {
  replied_ = 0;
  for (size_t i = 0; i < count; ++i) {
    Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    ++first_ticket_;
    if (first.slot != nullptr) first.slot->set(std::move(first.reply));
  }
}

void RedisLink::fail_protocol(std::string_view command) {
  log::error("malformed Redis reply, resetting the connection", {{"command", command}});
  drop("malformed reply");
}

void RedisLink::on_end(int error) {
  if (connected_ && !stream_->fault().empty()) return drop(std::string(stream_->fault()).c_str());
  drop(error == 0 ? "the server closed the connection" : std::strerror(error));
}

void RedisLink::on_sent(int error) {
  if (error != 0) on_end(error);
}

void RedisLink::drop(const char* reason) {
  if (!connected_) return;
  last_error_ = redis_fault_in_words(reason);
  login_rejected_ = login_rejected_ || is_login_rejection(reason);
  connected_ = false;
  if (std::exchange(up_, false)) {
    returning_until_ns_ = scheduler_.now_ns() + limits::redis_return_max_ns;
    if (user_ != nullptr)
      reason_ = last_error_;
    else if (!demoted_)
      reason_.clear();
    if (user_ == nullptr) {
      metrics_.set(Gauge::redis_up, 0);
      metrics_.redis_reason.set(last_error_);
    }
  }
  stream_.reset();
  if (sentinels_) sentinels_->give_up();  // serve() waits for no question
  out_.clear();
  wait_due_ = waiting_for_copies_ = false;
  replied_ = 0;
  // The replies still due are lost.
  while (!waiting_.empty()) {
    if (OneShot<RedisReply>* slot = waiting_.front().slot; slot != nullptr) slot->set(RedisReply());
    waiting_.pop_front();
    ++first_ticket_;
  }
  changed_.set({});
  if (user_ != nullptr) user_->on_link_changed();
}

}  // namespace huntd::server
