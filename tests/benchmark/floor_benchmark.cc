// What the machine can do: what rows are limited by, measured in the same run.

#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "boost/intrusive/list.hpp"
#include "tests/benchmark/plain_copy.h"
#include "tests/benchmark/rows.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

void CopyFloor(benchmark::State& state, CopyKind kind, int threads) {
  PlainCopy copy(static_cast<uint64_t>(Size(state)));
  double ns = 0;
  for (auto _ : state) ns += copy.Ns(kind, threads);
  SetValue(state, static_cast<double>(copy.bytes()) *
                      static_cast<double>(state.iterations()) / ns);
}

void AtomicAdd(benchmark::State& state) {
  Atomic<uint64_t> count{0};
  MeasureRow(state, [&] { ++count; });
}

void TakeSpinLock(benchmark::State& state) {
  SpinLock lock;
  MeasureRow(state, [&] { SpinLockHolder hold(lock); });
}

void TakeMutex(benchmark::State& state) {
  Mutex mutex;
  MeasureRow(state, [&] { MutexLock hold(mutex); });
}

struct alignas(64) Node : boost::intrusive::list_base_hook<> {
  char rest[128 - sizeof(boost::intrusive::list_base_hook<>)];
};
static_assert(sizeof(Node) == 128);

std::vector<uint32_t> Shuffled(size_t count) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
  return order;
}

// One of a list goes to its end, as LRU does.
void ListTouch(benchmark::State& state) {
  const auto count = static_cast<size_t>(Size(state));
  const auto nodes = std::make_unique<Node[]>(count);
  const std::vector<uint32_t> order = Shuffled(count);
  boost::intrusive::list<Node> list;
  for (size_t i = 0; i < count; ++i) list.push_back(nodes[i]);
  size_t next = 0;
  MeasureRow(state, [&] {
    Node& node = nodes[order[next]];
    if (++next == count) next = 0;
    list.erase(list.iterator_to(node));
    list.push_back(node);
  });
  list.clear();
}

void HashMapFind(benchmark::State& state) {
  const auto count = static_cast<size_t>(Size(state));
  absl::flat_hash_map<uint64_t, uint64_t> map;
  for (size_t i = 0; i < count; ++i) map[i * 0x9e3779b97f4a7c15u] = i;
  const std::vector<uint32_t> order = Shuffled(count);
  size_t next = 0;
  MeasureRow(state, [&] {
    benchmark::DoNotOptimize(map.find(order[next] * 0x9e3779b97f4a7c15u));
    if (++next == count) next = 0;
  });
}

}  // namespace

std::vector<Row> FloorRows() {
  std::vector<Row> rows;
  for (const auto& [name, kind] :
       {std::pair{"memcpy", CopyKind::kMemcpy},
        std::pair{"non_temporal", CopyKind::kNonTemporal}}) {
    const auto add = [&, name = name, kind = kind](const std::string& which,
                                                   int64_t bytes, int threads) {
      rows.push_back(
          {.name = absl::StrCat("floor/", name, which),
           .run = [kind,
                   threads](auto& state) { CopyFloor(state, kind, threads); },
           .size = bytes,
           .real_time = true});
    };
    add("_64mib", 64 << 20, 1);
    add("_64mib_two_threads", 64 << 20, 2);
    add("_64kib_cached", 64 << 10, 1);
  }
  rows.push_back({"floor/atomic_add", AtomicAdd});
  rows.push_back({"floor/spin_lock", TakeSpinLock});
  rows.push_back({"floor/mutex", TakeMutex});
  for (const int64_t count : {1000, 1'000'000}) {
    rows.push_back({.name = absl::StrCat("floor/list_touch/", count),
                    .run = ListTouch,
                    .size = count});
  }
  rows.push_back({.name = "floor/hash_map_find/1000000",
                  .run = HashMapFind,
                  .size = 1'000'000});
  return rows;
}

}  // namespace twostep
