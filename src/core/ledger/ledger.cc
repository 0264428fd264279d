// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/ledger.h"

#include <algorithm>
#include <charconv>

#include "base/format_text.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/read_text.h"
#include "base/trace_context.h"
#include "core/ledger/commit_script.h"
#include "wire/generation.h"
#include "wire/loot_event.h"
#include "wire/redis_keys.h"

namespace huntd::server {
namespace {

constexpr uint64_t retry_pause_ns = 10'000'000;
// Asked for at once: a hash of at most limits::held_loot_max loots, with its other fields, is read
// whole, in one step of Redis.
constexpr size_t held_scan_count = 2 * limits::held_loot_max;
constexpr size_t held_other_fields_max = 64;

uint64_t to_number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Whether Redis replies with this error instead of running a script (redis.io, "EVALSHA",
// "Errors"). The commit script reports the errors of its commands itself. After any other error it
// is unknown whether the script has written.
bool is_rejection(std::string_view error) {
  constexpr std::string_view codes[] = {
      "OOM",      "READONLY",    "LOADING", "BUSY", "MISCONF",  "NOREPLICAS", "NOAUTH",   "NOPERM",
      "NOSCRIPT", "CLUSTERDOWN", "MOVED",   "ASK",  "TRYAGAIN", "MASTERDOWN", "CROSSSLOT"};
  std::string_view const code = error.substr(0, error.find(' '));
  return std::find(std::begin(codes), std::end(codes), code) != std::end(codes);
}

// Whether the commit script can have sent this reply.
bool is_commit_reply(const RedisReply& reply, size_t award_count) {
  std::string_view const status = reply[0].text();
  if (status == "replayed" || status == "full" || status == "rejected" || status == "torn")
    return reply.size() == 2 && reply[1].is_text();
  if (status == "conflict" || status == "voided") return reply.size() == 1;
  if (status == "short") return reply.size() == 2 && reply[1].is_text();
  if (status != "committed" || reply.size() != 2 + 2 * award_count) return false;
  for (size_t i = 2; i < reply.size(); ++i)
    if (reply[i].text().empty()) return false;
  return read_generation(reply[1].text()).has_value();
}

// The arguments of the commit script. Owns the texts that script_keys() and arguments() view.
class CommitArguments {
 public:
  CommitArguments(const Commit& commit, uint64_t idempotency_ttl_ms, uint64_t random);

  uint32_t bucket() const { return bucket_; }
  PoolVector<std::string_view> script_keys() const { return {held_key_, done_key_, outbox_key_}; }
  // Call before each attempt.
  void set_target(uint64_t lineage, uint64_t floor);
  PoolVector<std::string_view> arguments() const;
  // The JSON of the event of award `i`.
  PoolString event(size_t i, std::string_view seq, std::string_view generation) const {
    return format_text("{}{}{}{}{}", events_[i].head, seq, event_gen_prefix, generation,
                       events_[i].tail);
  }

 private:
  const Commit& commit_;
  uint32_t bucket_;
  PoolString held_key_, done_key_, outbox_key_;
  PoolString ttl_ms_, record_, expected_, lineage_, random_, floor_;
  PoolVector<LootEventText> events_;  // by award
  PoolVector<PoolString> units_;      // by award; empty if each is of one unit and no state is kept
  PoolString state_;                  // the field's value
};

CommitArguments::CommitArguments(const Commit& commit, uint64_t idempotency_ttl_ms, uint64_t random)
    : commit_(commit),
      bucket_(bucket_of(commit.name.hunter_id)),
      held_key_(keys::held(commit.name.hunter_id, commit.name.hunt_id)),
      done_key_(keys::done(commit.name.hunter_id, commit.name.hunt_id, commit.name.key)),
      outbox_key_(keys::outbox(bucket_)),
      record_(write_record(commit.response)),
      random_(format_text("{:04x}", random & 0xffff)) {
  bool limited = false;
  events_.reserve(commit.awards.size());
  for (const Award& award : commit.awards) {
    limited = limited || award.limited;
    events_.push_back(
        loot_event_text({award.event_id, commit.name.hunter_id, commit.name.hunt_id, award.loot_id,
                         commit.timestamp_ms, commit.response.bundle, award.limited, award.units}));
  }
  auto const of_one = [](const Award& award) { return award.units == 1; };
  if (commit.state || !std::all_of(commit.awards.begin(), commit.awards.end(), of_one))
    for (const Award& award : commit.awards) units_.push_back(format_text("{}", award.units));
  if (commit.state && commit.state->json)
    state_ = commit.state->json->empty() ? PoolString(HunterState::no_version)
                                         : format_text("{:016x} {}", random, *commit.state->json);
  // After a draw on a supply the response does not expire before the unit is settled
  // (Supply::settle).
  ttl_ms_ = format_text("{}", limited        ? 0
                              : commit.keyed ? idempotency_ttl_ms
                                             : Ledger::unkeyed_ttl_ms);
  if (commit.expected)
    expected_ = format_text("{:016x} {}", commit.expected->generation, commit.expected->seq);
}

void CommitArguments::set_target(uint64_t lineage, uint64_t floor) {
  lineage_ = format_text("{:016x}", lineage);
  floor_ = format_text("{:016x}", floor);
}

PoolVector<std::string_view> CommitArguments::arguments() const {
  PoolVector<std::string_view> arguments;
  arguments.reserve(11 + 4 * events_.size());
  arguments.insert(arguments.end(), {ttl_ms_, record_, commit_.name.request_id, expected_,
                                     commit_.name.hunter_id, lineage_, random_, floor_});
  if (commit_.state)
    arguments.insert(arguments.end(), {scripts::commit_of_state, commit_.state->expected, state_});
  else if (!units_.empty())
    arguments.push_back(scripts::commit_of_units);
  for (size_t i = 0; i < events_.size(); ++i) {
    arguments.push_back(commit_.awards[i].loot_id);
    arguments.push_back(events_[i].head);
    arguments.push_back(events_[i].tail);
    if (!units_.empty()) arguments.push_back(units_[i]);
  }
  return arguments;
}

// Whether Redis rejected the commit or a part of it, so that it has to be checked.
bool failed_in_redis(const RedisReply& reply, const Commit& commit) {
  std::string_view const status = reply[0].text();
  if (status == "torn")
    log::error("redis executed a part of a commit",
               {{"hunt_id", commit.name.hunt_id},
                {"hunter_id", commit.name.hunter_id},
                {"request_id", commit.name.request_id},
                log::if_set("trace_id", trace_id_of(commit.name.trace_context)),
                {"error", reply[1].text()},
                {"hint", "huntctl reconcile names what differs"}});
  return reply.is_error() || status == "rejected" || status == "torn";
}

// Whether the reply is about an award, this one or an earlier one with the same key. If the replicas do
// not have it, whether it outlives the primary is as unknown as after a lost reply.
bool is_awarded(const RedisReply& reply) {
  std::string_view const status = reply[0].text();
  return status == "committed" || status == "replayed";
}

struct SentTo {
  uint64_t lineage;
  bool may_have_run;  // an earlier attempt has had no reply
};

// REQUIRES: the reply is an error or is_commit_reply().
CommitResult read_commit_reply(const RedisReply& reply, const Commit& commit,
                               const CommitArguments& arguments, SentTo sent_to) {
  bool const may_have_run = sent_to.may_have_run;
  CommitResult result;
  if (reply.is_error()) {
    bool const rejected = !may_have_run && is_rejection(reply.text());
    result.status = rejected ? CommitStatus::rejected : CommitStatus::unknown;
    result.reason = reply.text();
    return result;
  }
  std::string_view const status = reply[0].text();
  if (status == "committed") {
    result.status = CommitStatus::committed;
    for (size_t i = 0; i < commit.awards.size(); ++i)
      result.entries.push_back({PoolString(reply[2 * i + 2].text()), arguments.bucket(),
                                commit.name.hunter_id,
                                arguments.event(i, reply[2 * i + 3].text(), reply[1].text()),
                                commit.name.trace_context, sent_to.lineage});
  } else if (status == "replayed") {
    result.record = read_record(reply[1].text());
    result.status = result.record ? CommitStatus::replayed : CommitStatus::unknown;
    result.reason = "the stored response is not readable";
  } else if (status == "rejected" || status == "full") {
    CommitStatus const certain = status == "full" ? CommitStatus::full : CommitStatus::rejected;
    result.status = may_have_run ? CommitStatus::unknown : certain;
    result.reason = reply[1].text();
  } else if (status == "torn") {
    result.status = CommitStatus::unknown;
    result.reason = format_text("a part of the commit was executed: {}", reply[1].text());
  } else if ((status == "conflict" || status == "short") && may_have_run) {
    // Of this very commit, if its record is gone: the key was deleted, or Redis' clock has passed
    // its TTL.
    result.status = CommitStatus::unknown;
    result.reason = "what the hunter holds has changed after the commit was sent";
  } else {
    // Or voided: the sweep has given up this attempt.
    result.status = CommitStatus::conflict;
  }
  return result;
}

}  // namespace

PoolString write_record(const ResponseRecord& record) {
  return format_text("v{} {:016x} {} {} {}", static_cast<unsigned>(record.hashed), record.body_hash,
                     record.status, record.bundle, record.body);
}

std::optional<ResponseRecord> read_record(std::string_view text) {
  std::string_view const version = take_word(text);
  if (version != "v1" && version != "v2") return std::nullopt;
  ResponseRecord record;
  if (version == "v1") record.hashed = ResponseRecord::Hashed::bytes;
  std::string_view const hash = take_word(text);
  if (std::from_chars(hash.data(), hash.data() + hash.size(), record.body_hash, 16).ptr !=
      hash.data() + hash.size())
    return std::nullopt;
  record.status = static_cast<int>(to_number(take_word(text)));
  record.bundle = take_word(text);
  record.body = text;
  if (record.status < 200 || record.status > 599) return std::nullopt;
  return record;
}

Ledger::Ledger(RedisNodes& redis, Scheduler& scheduler, Clock& clock, uint64_t idempotency_ttl_s)
    : redis_(redis),
      scheduler_(scheduler),
      clock_(clock),
      idempotency_ttl_ms_(idempotency_ttl_s * 1000),
      hunt_states_(redis, scheduler),
      commit_(redis.add_script(scripts::commit)),
      stale_events_(redis.add_script(scripts::stale_events)) {}

Task<std::pair<Ledger::Found, ResponseRecord>> Ledger::find_response(const RequestName& name,
                                                                     uint64_t deadline_at_ns) {
  PoolString const key = keys::done(name.hunter_id, name.hunt_id, name.key);
  PoolVector<std::string_view> words{"GET", key};
  RedisReply reply = co_await redis_.retried(std::move(words), deadline_at_ns);
  if (reply.lost() || reply.is_error()) co_return std::pair(Found::unavailable, ResponseRecord());
  if (!reply.is_text() && !reply.is_nil()) {
    redis_.of_key(key).fail_protocol("GET");
    co_return std::pair(Found::unavailable, ResponseRecord());
  }
  std::optional<ResponseRecord> record = read_record(reply.text());
  // No record, or a voided request: it may run.
  if (!record) co_return std::pair(Found::no, ResponseRecord());
  if (redis_.waits_for_replicas()) {
    PoolVector<std::string_view> again{"GET", key};
    RedisReply const read =
        co_await redis_.command(std::move(again), deadline_at_ns, RedisLink::Copies::replicas);
    if (!read.is_text() || read.few_copies())
      co_return std::pair(Found::unavailable, ResponseRecord());
  }
  co_return std::pair(Found::yes, std::move(*record));
}

// The result if no commit may be sent any more. `up`: the link came up before the deadline.
// `sent_to`: the lineage of an earlier attempt that has had no reply and may have run.
std::optional<CommitResult> Ledger::reject_attempt(const RedisLink& link, bool up,
                                                   std::optional<uint64_t> sent_to,
                                                   uint64_t deadline_at_ns) const {
  CommitResult failed;
  failed.status = sent_to ? CommitStatus::unknown : CommitStatus::rejected;
  bool const late = scheduler_.now_ns() >= deadline_at_ns;
  if (!up || (late && !sent_to)) {
    failed.reason = "Redis is unavailable";
    return failed;
  }
  if (sent_to && *sent_to != link.lineage()) {
    failed.reason = "Redis was restarted or replaced after the commit was sent";
    return failed;
  }
  if (link.suitable() || !link.up() || sent_to) return std::nullopt;
  failed.reason = link.reason();
  return failed;
}

// The same for the state of the hunt. REQUIRES: the link is suitable. `known`: the states are.
std::optional<CommitResult> Ledger::reject_hunt(const PoolString& hunt_id, bool known,
                                                bool may_have_run) const {
  CommitResult failed;
  if (!known) {
    if (may_have_run) return std::nullopt;  // tried again
    failed.status = CommitStatus::rejected;
    failed.reason = "it is not known whether the hunt is closed: ";
    failed.reason += hunt_states_.reason();
    return failed;
  }
  if (!hunt_states_.of(hunt_id).closed) return std::nullopt;
  failed.status = may_have_run ? CommitStatus::unknown : CommitStatus::closed;
  failed.reason = "the hunt was closed after the commit was sent";
  return failed;
}

Task<CommitResult> Ledger::commit(const Commit& commit, uint64_t deadline_at_ns) {
  if (scheduler_.now_ns() >= deadline_at_ns) {
    CommitResult failed;
    failed.status = CommitStatus::late;
    co_return failed;
  }
  CommitArguments prepared(commit, idempotency_ttl_ms_, clock_.random());
  std::optional<uint64_t> sent_to;  // the lineage of an attempt that has had no reply
  RedisRoute route = redis_.route_of_hunter(commit.name.hunter_id);
  for (;;) {
    bool const up = co_await redis_.until_up(route, deadline_at_ns);
    bool known = hunt_states_.fresh();
    if (up && !known) known = co_await hunt_states_.refresh(deadline_at_ns);
    RedisLink& link = redis_.of(route);
    if (std::optional<CommitResult> failed = reject_attempt(link, up, sent_to, deadline_at_ns))
      co_return std::move(*failed);
    if (link.suitable()) {
      if (std::optional<CommitResult> failed =
              reject_hunt(commit.name.hunt_id, known, sent_to.has_value()))
        co_return std::move(*failed);
    }
    if (link.suitable() && known) {
      uint64_t const lineage = link.lineage();
      prepared.set_target(lineage, hunt_states_.of(commit.name.hunt_id).floor);
      PoolVector<std::string_view> script_keys = prepared.script_keys();
      PoolVector<std::string_view> arguments = prepared.arguments();
      RedisReply reply =
          co_await link.evaluate(*commit_, std::move(script_keys), std::move(arguments),
                                 deadline_at_ns, RedisLink::Copies::replicas, redis_.asking(route));
      if (redis_.may_redirect(reply)) {
        bool const again = co_await redis_.redirected(reply, route, deadline_at_ns);
        if (again) continue;
      }
      if (!reply.lost() && !reply.is_error() && !is_commit_reply(reply, commit.awards.size())) {
        link.fail_protocol("commit");
        reply = RedisReply();
      }
      if (failed_in_redis(reply, commit)) link.suspect();
      if (reply.few_copies() && is_awarded(reply)) reply = RedisReply();
      if (!reply.lost())
        co_return read_commit_reply(reply, commit, prepared, {lineage, sent_to.has_value()});
      sent_to = lineage;
    }
    if (scheduler_.now_ns() >= deadline_at_ns) co_return CommitResult();
    // A link that is full loses commands at once: without a pause this would spin.
    OneShot<Signal> pause(scheduler_);
    co_await pause.wait(std::min(deadline_at_ns, scheduler_.now_ns() + retry_pause_ns));
  }
}

Task<std::optional<Held>> Ledger::held(const PoolString& hunter_id, const PoolString& hunt_id,
                                       uint64_t deadline_at_ns) {
  PoolString const key = keys::held(hunter_id, hunt_id);
  PoolString const count = format_text("{}", held_scan_count);
  PoolVector<std::string_view> scan{"HSCAN", key, "0", "COUNT", count};
  RedisReply const page = co_await redis_.retried(std::move(scan), deadline_at_ns);
  if (page.lost() || page.is_error()) co_return std::nullopt;
  if (page.size() == 2 && page[0].text() == "0") co_return read_held(page[1], key, "HSCAN");
  // It has more fields, or Redis has not yet given back the room of fields that it had.
  PoolVector<std::string_view> ask_length{"HLEN", key};
  RedisReply const length = co_await redis_.retried(std::move(ask_length), deadline_at_ns);
  if (!length.is_number()) co_return std::nullopt;
  if (length.number() > static_cast<int64_t>(limits::held_loot_max + held_other_fields_max)) {
    Held held;
    held.too_many = true;
    co_return held;
  }
  PoolVector<std::string_view> words{"HGETALL", key};
  RedisReply const all = co_await redis_.retried(std::move(words), deadline_at_ns);
  if (all.lost() || all.is_error()) co_return std::nullopt;
  co_return read_held(all, key, "HGETALL");
}

Task<std::optional<HunterState>> Ledger::state(const PoolString& hunter_id,
                                               const PoolString& hunt_id, uint64_t deadline_at_ns) {
  PoolString const key = keys::held(hunter_id, hunt_id);
  PoolVector<std::string_view> words{"HGET", key, keys::state_field};
  RedisReply const reply = co_await redis_.retried(std::move(words), deadline_at_ns);
  if (reply.lost() || reply.is_error()) co_return std::nullopt;
  HunterState state;
  if (reply.is_nil()) co_return std::move(state);
  std::string_view text = reply.text();
  if (!reply.is_text()) {
    redis_.of_key(key).fail_protocol("HGET");
    co_return std::nullopt;
  }
  state.version = take_word(text);
  state.json = text;
  co_return std::move(state);
}

// Reads fields and values in turn; nothing, and the connection is reset, if `fields` has not this
// form.
std::optional<Held> Ledger::read_held(const RedisReply& fields, std::string_view key,
                                      std::string_view command) {
  if (!fields.is_array() || fields.size() % 2 != 0) {
    redis_.of_key(key).fail_protocol(command);
    return std::nullopt;
  }
  Held held;
  for (size_t i = 0; i + 1 < fields.size(); i += 2) {
    std::string_view const name = fields[i].text();
    std::string_view const value = fields[i + 1].text();
    if (!name.starts_with(keys::field_mark)) {
      // A hunter who owes loot holds none of it (docs/formats/redis.md).
      if (uint64_t const count = to_number(value); count > 0) held.loot.emplace_back(name, count);
    } else if (name == keys::seq_field) {
      held.seq = to_number(value);
    } else if (name == keys::gen_field) {
      held.generation = read_held_generation(value).value_or(HeldGeneration()).generation;
    }
  }
  if (held.loot.size() > limits::held_loot_max) {
    held.loot.clear();
    held.too_many = true;
  }
  std::sort(held.loot.begin(), held.loot.end());
  return held;
}

bool Ledger::remove_events(uint32_t bucket, std::span<const PoolString> ids) {
  PoolString const key = keys::outbox(bucket);
  PoolVector<std::string_view> words{"XDEL", key};
  words.insert(words.end(), ids.begin(), ids.end());
  return redis_.send_ignoring_reply(std::move(words));
}

Task<uint64_t> Ledger::outbox_length(uint32_t bucket, uint64_t deadline_at_ns) {
  PoolString const key = keys::outbox(bucket);
  PoolVector<std::string_view> words{"XLEN", key};
  RedisReply reply = co_await redis_.command(std::move(words), deadline_at_ns);
  co_return static_cast<uint64_t>(reply.number());
}

Task<PoolVector<OutboxEntry>> Ledger::stale_events(uint32_t bucket, uint64_t age_ms,
                                                   uint64_t deadline_at_ns) {
  PoolString const key = keys::outbox(bucket);
  PoolString const age = format_text("{}", age_ms);
  PoolString const count_max = format_text("{}", limits::sweep_events_max);
  RedisRoute route = redis_.route_of_key(key);
  RedisReply reply;
  uint64_t lineage = 0;
  for (bool again = true; again;) {
    PoolVector<std::string_view> key_names{key};
    PoolVector<std::string_view> arguments{age, count_max};
    RedisLink& link = redis_.of(route);
    lineage = link.lineage();
    reply = co_await link.evaluate(*stale_events_, std::move(key_names), std::move(arguments),
                                   deadline_at_ns);
    again = false;
    if (redis_.may_redirect(reply))
      again = co_await redis_.redirected(reply, route, deadline_at_ns);
    // It is on its way to another node: it can be cleared when that one has the slot.
    if (route.asked != nullptr) co_return {};
  }
  PoolVector<OutboxEntry> entries;
  for (size_t i = 0; i < reply.size(); ++i) {
    RedisReply const fields = reply[i][1];
    OutboxEntry entry{PoolString(reply[i][0].text()), bucket, "", "", "", lineage};
    for (size_t f = 0; f + 1 < fields.size(); f += 2) {
      if (fields[f].text() == keys::outbox_key_field) entry.hunter_id = fields[f + 1].text();
      if (fields[f].text() == keys::outbox_value_field) entry.event = fields[f + 1].text();
    }
    if (entry.id.empty() || entry.hunter_id.empty() || entry.event.empty()) {
      redis_.of_key(key).fail_protocol("stale_events");
      co_return {};
    }
    entries.push_back(std::move(entry));
  }
  co_return entries;
}

}  // namespace huntd::server
