#include "award/ledger.h"

#include <algorithm>
#include <charconv>

#include "award/scripts.h"
#include "base/format_text.h"
#include "base/hash.h"
#include "base/limits.h"
#include "protocol/loot_event.h"
#include "protocol/redis_keys.h"

namespace huntd {
namespace {

constexpr uint64_t retry_rest_ns = 10'000'000;

uint64_t to_number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// The next word of `text`, which loses it and the space behind it.
std::string_view take_word(std::string_view& text) {
  size_t const space = std::min(text.find(' '), text.size());
  std::string_view const word = text.substr(0, space);
  text.remove_prefix(std::min(space + 1, text.size()));
  return word;
}

// Errors that Redis answers instead of running a script (redis.io, "EVALSHA", "Errors"). Of any
// other nobody knows whether something was written before it.
bool refuses_before_it_runs(std::string_view error) {
  constexpr std::string_view codes[] = {
      "OOM",      "READONLY",    "LOADING", "BUSY", "MISCONF",  "NOREPLICAS", "NOAUTH",   "NOPERM",
      "NOSCRIPT", "CLUSTERDOWN", "MOVED",   "ASK",  "TRYAGAIN", "MASTERDOWN", "CROSSSLOT"};
  std::string_view const code = error.substr(0, error.find(' '));
  return std::find(std::begin(codes), std::end(codes), code) != std::end(codes);
}

// Whether a reply to the commit script has the shape of one.
bool is_commit_reply(const RedisReply& reply, size_t award_count) {
  std::string_view const said = reply[0].text();
  if (said == "replayed") return reply.size() == 2 && reply[1].is_text();
  if (said == "conflict" || said == "voided") return reply.size() == 1;
  if (said != "committed" || reply.size() != 1 + 2 * award_count) return false;
  for (size_t i = 1; i < reply.size(); ++i)
    if (reply[i].text().empty()) return false;
  return true;
}

}  // namespace

Text write_record(const AnswerRecord& record) {
  return format_text("v1 {:016x} {} {} {}", record.body_hash, record.status, record.bundle,
                     record.body);
}

std::optional<AnswerRecord> read_record(std::string_view text) {
  if (take_word(text) != "v1") return std::nullopt;
  AnswerRecord record;
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

Ledger::Ledger(RedisLink& link, Scheduler& scheduler, uint64_t idempotency_ttl_s)
    : link_(link),
      scheduler_(scheduler),
      idempotency_ttl_ms_(idempotency_ttl_s * 1000),
      commit_(link.add_script(scripts::commit)),
      overdue_(link.add_script(scripts::overdue)) {}

Task<std::pair<Ledger::Found, AnswerRecord>> Ledger::find_answer(const RequestName& name,
                                                                 uint64_t deadline_at_ns) {
  Text const key = keys::done(name.hunter_id, name.hunt_id, name.key);
  List<std::string_view> words{"GET", key};
  RedisReply reply = co_await link_.command(std::move(words), deadline_at_ns);
  if (reply.lost() || reply.is_error()) co_return std::pair(Found::unavailable, AnswerRecord());
  if (!reply.is_text() && !reply.is_nil()) {
    link_.disbelieve("GET");
    co_return std::pair(Found::unavailable, AnswerRecord());
  }
  std::optional<AnswerRecord> record = read_record(reply.text());
  if (!record) co_return std::pair(Found::no, AnswerRecord());  // none, or voided: it may run
  co_return std::pair(Found::yes, std::move(*record));
}

Task<CommitResult> Ledger::commit(const RequestName& name, const List<Award>& awards,
                                  const AnswerRecord& record, std::optional<uint64_t> expected_seq,
                                  int64_t timestamp_ms, bool remember_long,
                                  uint64_t deadline_at_ns) {
  uint32_t const bucket = bucket_of(name.hunter_id);
  Text const held_key = keys::held(name.hunter_id, name.hunt_id);
  Text const done_key = keys::done(name.hunter_id, name.hunt_id, name.key);
  Text const outbox_key = keys::outbox(bucket);
  List<LootEventText> texts;
  texts.reserve(awards.size());
  bool limited = false;
  for (const Award& award : awards) {
    limited = limited || award.limited;
    texts.push_back(loot_event_text({award.event_id, name.hunter_id, name.hunt_id, award.loot_id,
                                     timestamp_ms, record.bundle}));
  }
  // A request that drew on a supply is remembered until the supply knows that it was given
  // (Supply::settle).
  Text const ttl = format_text("{}", limited         ? 0
                                     : remember_long ? idempotency_ttl_ms_
                                                     : unkeyed_ttl_ms);
  Text const record_text = write_record(record);
  Text const expected = expected_seq ? format_text("{}", *expected_seq) : Text();
  List<std::string_view> key_names{held_key, done_key, outbox_key};
  List<std::string_view> arguments{ttl, record_text, name.request_id, expected, name.hunter_id};
  for (size_t i = 0; i < awards.size(); ++i) {
    arguments.push_back(awards[i].loot_id);
    arguments.push_back(texts[i].head);
    arguments.push_back(texts[i].tail);
  }

  CommitResult result;
  bool lost_one = false;
  for (;;) {
    bool up = co_await link_.until_up(deadline_at_ns);
    // Nothing is begun that nobody will hear the end of.
    if (!lost_one && scheduler_.now_ns() >= deadline_at_ns) up = false;
    if (!up) {
      result.status = lost_one ? CommitStatus::unknown : CommitStatus::refused;
      result.why = "Redis is away";
      co_return result;
    }
    List<std::string_view> these_keys = key_names;
    List<std::string_view> these_arguments = arguments;
    RedisReply reply = co_await link_.evaluate(*commit_, std::move(these_keys),
                                               std::move(these_arguments), deadline_at_ns);
    if (!reply.lost() && !reply.is_error() && !is_commit_reply(reply, awards.size())) {
      link_.disbelieve("commit");
      reply = RedisReply();
    }
    if (reply.lost()) {
      lost_one = true;
      if (scheduler_.now_ns() >= deadline_at_ns) co_return result;
      // A link that is full loses commands at once: without a rest this would spin.
      Slot<Signal> rest(scheduler_);
      co_await rest.wait(std::min(deadline_at_ns, scheduler_.now_ns() + retry_rest_ns));
      continue;
    }
    if (reply.is_error()) {
      // Nothing was written where the script did not begin, unless by an attempt whose reply got
      // lost.
      result.status = lost_one || !refuses_before_it_runs(reply.text()) ? CommitStatus::unknown
                                                                        : CommitStatus::refused;
      result.why = reply.text();
      co_return result;
    }
    std::string_view const said = reply[0].text();
    if (said == "committed") {
      result.status = CommitStatus::committed;
      for (size_t i = 0; i < awards.size(); ++i)
        result.entries.push_back(
            {Text(reply[2 * i + 1].text()), bucket, name.hunter_id,
             format_text("{}{}{}", texts[i].head, reply[2 * i + 2].text(), texts[i].tail)});
    } else if (said == "replayed") {
      result.record = read_record(reply[1].text());
      result.status = result.record ? CommitStatus::replayed : CommitStatus::unknown;
      result.why = "the record of this request is not readable";
    } else {
      result.status = CommitStatus::conflict;  // or voided: this attempt is too late
    }
    co_return result;
  }
}

Task<std::optional<Held>> Ledger::held(const Text& hunter_id, const Text& hunt_id,
                                       uint64_t deadline_at_ns) {
  Text const key = keys::held(hunter_id, hunt_id);
  List<std::string_view> words{"HGETALL", key};
  RedisReply reply = co_await link_.command(std::move(words), deadline_at_ns);
  if (reply.lost() || reply.is_error()) co_return std::nullopt;
  if (!reply.is_array() || reply.size() % 2 != 0) {
    link_.disbelieve("HGETALL");
    co_return std::nullopt;
  }
  Held held;
  for (size_t i = 0; i + 1 < reply.size(); i += 2) {
    if (reply[i].text() == keys::seq_field)
      held.seq = to_number(reply[i + 1].text());
    else
      held.loot.emplace_back(reply[i].text(), to_number(reply[i + 1].text()));
  }
  std::sort(held.loot.begin(), held.loot.end());
  co_return held;
}

bool Ledger::clear(uint32_t bucket, std::span<const Text> ids) {
  Text const key = keys::outbox(bucket);
  List<std::string_view> words{"XDEL", key};
  words.insert(words.end(), ids.begin(), ids.end());
  return link_.send_and_forget(std::move(words));
}

Task<uint64_t> Ledger::outbox_length(uint32_t bucket, uint64_t deadline_at_ns) {
  Text const key = keys::outbox(bucket);
  List<std::string_view> words{"XLEN", key};
  RedisReply reply = co_await link_.command(std::move(words), deadline_at_ns);
  co_return static_cast<uint64_t>(reply.number());
}

Task<List<OutboxEntry>> Ledger::overdue(uint32_t bucket, uint64_t age_ms, uint64_t deadline_at_ns) {
  Text const key = keys::outbox(bucket);
  Text const age = format_text("{}", age_ms);
  Text const most = format_text("{}", limits::sweep_events_max);
  List<std::string_view> key_names{key};
  List<std::string_view> arguments{age, most};
  RedisReply reply = co_await link_.evaluate(*overdue_, std::move(key_names), std::move(arguments),
                                             deadline_at_ns);
  List<OutboxEntry> entries;
  for (size_t i = 0; i < reply.size(); ++i) {
    RedisReply const fields = reply[i][1];
    OutboxEntry entry{Text(reply[i][0].text()), bucket, "", ""};
    for (size_t f = 0; f + 1 < fields.size(); f += 2) {
      if (fields[f].text() == keys::outbox_key_field) entry.hunter_id = fields[f + 1].text();
      if (fields[f].text() == keys::outbox_value_field) entry.event = fields[f + 1].text();
    }
    if (entry.id.empty() || entry.hunter_id.empty() || entry.event.empty()) {
      link_.disbelieve("overdue");
      co_return {};
    }
    entries.push_back(std::move(entry));
  }
  co_return entries;
}

}  // namespace huntd
