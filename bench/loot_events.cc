// SPDX-License-Identifier: Apache-2.0
// Events for `./dev bench aggregator`: `hunter_id|JSON`, one per line, like those that huntd
// produces. Hunters and hunts are drawn by Zipf's law; the seqs of a hunter in a hunt count from 1
// without gaps. The same arguments give the same bytes.
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr size_t line_bytes_max = 512;
constexpr size_t loots = 8;
constexpr uint64_t started_at_ms = 1'795'000'000'000;

// Draws 0 to n-1, the k-th with weight 1 / (k + 1), by Walker's alias method.
class Zipf {
 public:
  explicit Zipf(size_t n) : share_(n), other_(n) {
    double sum = 0;
    for (size_t k = 0; k < n; ++k) sum += share_[k] = 1.0 / static_cast<double>(k + 1);
    std::vector<size_t> less;
    std::vector<size_t> more;
    for (size_t k = 0; k < n; ++k) {
      share_[k] *= static_cast<double>(n) / sum;
      (share_[k] < 1 ? less : more).push_back(k);
    }
    while (!less.empty() && !more.empty()) {
      size_t const small = less.back();
      size_t const big = more.back();
      less.pop_back();
      other_[small] = big;
      share_[big] -= 1 - share_[small];
      if (share_[big] < 1) {
        more.pop_back();
        less.push_back(big);
      }
    }
    for (size_t k : less) share_[k] = 1;
    for (size_t k : more) share_[k] = 1;
  }
  size_t operator()(std::mt19937_64& random) const {
    uint64_t const drawn = random();
    size_t const k = (drawn >> 32) * share_.size() >> 32;
    return static_cast<double>(drawn & 0xffffffff) * 0x1p-32 < share_[k] ? k : other_[k];
  }

 private:
  std::vector<double> share_;
  std::vector<size_t> other_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: loot-events EVENTS HUNTERS HUNTS SEED\n");
    return 2;
  }
  uint64_t const events = std::strtoull(argv[1], nullptr, 10);
  size_t const hunters = std::strtoull(argv[2], nullptr, 10);
  size_t const hunts = std::strtoull(argv[3], nullptr, 10);
  std::mt19937_64 random(std::strtoull(argv[4], nullptr, 10));
  if (events == 0 || hunters == 0 || hunts == 0) return 2;
  Zipf const hunter_of(hunters);
  Zipf const hunt_of(hunts);
  std::vector<uint32_t> seqs(hunters * hunts);
  std::string out;
  for (uint64_t i = 0; i < events; ++i) {
    size_t const hunter = hunter_of(random);
    size_t const hunt = hunt_of(random);
    fmt::format_to(std::back_inserter(out),
                   R"(h{}|{{"event_id":"{:016x}{:016x}","hunter_id":"h{}","hunt_id":"hunt-{}",)"
                   R"("loot_id":"loot-{}","seq":{},"timestamp":{},)"
                   R"("bundle":"00112233445566778899aabbccddeeff"}})"
                   "\n",
                   hunter, random(), random(), hunter, hunt, random() % loots,
                   ++seqs[hunter * hunts + hunt], started_at_ms + i / 10);
    if (out.size() < (1 << 20) - line_bytes_max && i + 1 < events) continue;
    if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size()) return 1;
    out.clear();
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
