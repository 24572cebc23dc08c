// What the life of a bo costs, a row of operations each, on an unbacked machine
// with a real clock and one thread: bookkeeping without the copies. A bo has
// one page unless a row says otherwise.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/benchmark/rig.h"
#include "tests/benchmark/rows.h"
#include "twostep/machine/device_memory.h"
#include "twostep/machine/pages.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/machine/sync.h"
#include "twostep/mem_types/memory_manager.h"

namespace twostep {
namespace {

void ReserveUnreserve(benchmark::State& state) {
  Rig rig({.vram_pages = 1});
  rig.Make(1);
  BufferObject& bo = rig.bo(0);
  MeasureRow(state, [&] {
    bo.Reserve();
    bo.Unreserve();
  });
}

// With both bindings a bo stands in two orders.
void ReserveUnreserveTouch(benchmark::State& state,
                           const Placement& placement) {
  Rig rig({.vram_pages = 1024, .aperture_pages = 1024});
  rig.MakeIn(placement, 2);
  MeasureRow(state, [&] {
    BufferObject& bo = rig.Next();
    bo.Reserve();
    bo.Unreserve();
  });
}

void ValidateHit(benchmark::State& state, const Placement& placement) {
  const size_t count = Size(state);
  Rig rig({.vram_pages = count, .aperture_pages = count});
  rig.MakeIn(placement, count);
  MeasureRow(state, [&] { rig.Validate(rig.Next(), placement); });
}

void LruTouch(benchmark::State& state) {
  struct alignas(64) Entry : EvictionHook {
    std::byte rest[sizeof(BufferObject) - sizeof(EvictionHook)];
  };
  static_assert(sizeof(Entry) == sizeof(BufferObject));
  EvictionOrder order(*MakeEvictionPolicy("lru"));
  std::vector<Entry> entries(Size(state));
  for (Entry& entry : entries) order.Insert(entry);
  size_t next = 0;
  MeasureRow(state, [&] {
    order.Touch(entries[next]);
    if (++next == entries.size()) next = 0;
  });
  for (Entry& entry : entries) order.Remove(entry, Departure::kGone);
}

// A second memory type with storage of its own.
class Stolen final : public MemoryManager {
 public:
  Stolen(uint64_t pages, std::unique_ptr<EvictionPolicy> policy)
      : MemoryManager("stolen", Kind::kFixed, pages, std::move(policy)),
        space_(0, pages),
        vram_(*Vram::Create(PagesToBytes(pages), 0, Backing::kUnbacked)) {}
  Vram* vram() override { return vram_.get(); }

 private:
  Shortage::Kind DoAllocate(const SpaceRequest& request,
                            SpaceBlock* block) override {
    SpinLockHolder hold(lock_);
    return space_.Allocate(request, block);
  }
  void DoFree(const SpaceBlock& block) override {
    SpinLockHolder hold(lock_);
    space_.Free(block.node);
  }
  Shortage DoDescribe(const SpaceRequest& request) const override {
    return space_.Describe(request);
  }

  SpinLock lock_;
  RangeAllocator space_;
  // What the copy engine reaches.
  std::unique_ptr<Vram> vram_;
};

// There and back: each iteration is one move.
void MoveBetweenFixed(benchmark::State& state) {
  const size_t count = Size(state);
  Rig rig({.vram_pages = count});
  const Placement stolen{
      .memory = *rig.device().RegisterMemoryType(
          std::make_unique<Stolen>(count, rig.host().MakePolicy()))};
  rig.MakeIn(kVram, count);
  size_t moves = 0;
  MeasureRow(state, [&] {
    rig.Validate(rig.Next(), moves / count % 2 == 0 ? stolen : kVram);
    ++moves;
  });
}

// The same with both steps on one side.
void MoveVramAndTt(benchmark::State& state) {
  const size_t count = Size(state);
  Rig rig({.vram_pages = count, .aperture_pages = count});
  rig.MakeIn(kVram, count);
  size_t moves = 0;
  MeasureRow(state, [&] {
    rig.Validate(rig.Next(), moves / count % 2 == 0 ? kTt : kVram);
    ++moves;
  });
}

enum class Contents {
  kStay,       // the aperture shows them no more; still DMA-bound
  kDropped,    // from VRAM; worthless
  kMovedAway,  // from VRAM to frames that are made, and dropped on return
};

// Twice as many bos as fit, in turn: each validation evicts one.
void ValidateWithEviction(benchmark::State& state, Contents contents,
                          SpaceAllocator allocator) {
  const size_t fit = Size(state);
  const bool aperture = contents == Contents::kStay;
  Rig rig({.vram_pages = fit, .aperture_pages = fit, .allocator = allocator});
  rig.Make(2 * fit);
  for (size_t i = 0; contents == Contents::kDropped && i < 2 * fit; ++i) {
    rig.bo(i).Reserve();
    rig.bo(i).SetWorthless(true);
    rig.bo(i).Unreserve();
  }
  const Placement& placement = aperture ? kTt : kVram;
  for (size_t i = 0; i < 4 * fit; ++i) rig.Validate(rig.Next(), placement);
  const auto evictions = [&] {
    return rig.device().manager(placement.memory)->evictions().load() +
           rig.host().stats().purges.load();
  };
  const uint64_t before = evictions();
  MeasureRow(state, [&] { rig.Validate(rig.Next(), placement); });
  if (evictions() - before != static_cast<uint64_t>(state.iterations())) {
    state.SkipWithError("not one eviction each");
  }
}

// VRAM full of bos of as many budgeted clients as the row's argument. Each
// validation brings another bo in.
void EvictAmongClients(benchmark::State& state) {
  constexpr size_t kFit = 16384;
  Rig rig({.vram_pages = kFit});
  std::vector<ClientRef> clients;
  for (int64_t i = 0; i < Size(state); ++i) {
    clients.push_back(*rig.host().CreateClient(
        {.name = "one", .device = {.min_pages = 1, .low_pages = 4}}));
  }
  rig.MakeOf(clients, 2 * kFit);
  for (size_t i = 0; i < kFit; ++i) rig.Validate(rig.bo(i), kVram);
  MemoryManager* const vram = rig.device().manager(MemoryType::kVram);
  const auto step = [&] {
    BufferObject* bo = &rig.Next();
    while (&bo->manager() == vram) bo = &rig.Next();
    rig.Validate(*bo, kVram);
  };
  for (size_t i = 0; i < kFit; ++i) step();
  const uint64_t before = vram->evictions();
  MeasureRow(state, step);
  if (vram->evictions() - before != static_cast<uint64_t>(state.iterations())) {
    state.SkipWithError("not one eviction each");
  }
}

// The same, without clients, while as many bos as the row's argument have left
// storage behind that work still uses.
void EvictBesideGhosts(benchmark::State& state) {
  constexpr size_t kFit = 1024;
  Rig rig({.vram_pages = kFit, .aperture_pages = 1 << 17});
  Timeline& timeline = rig.machine().NewTimeline("work");
  rig.MakeIn(kTt, static_cast<size_t>(Size(state)));
  const Fence never = timeline.Emit(0);
  for (int64_t i = 0; i < Size(state); ++i) {
    BufferObject& bo = rig.bo(static_cast<size_t>(i));
    bo.Reserve();
    bo.fences().Add(never, FenceUse::kRead);
    bo.Unreserve();
  }
  rig.DropAll();
  rig.Make(2 * kFit);
  const auto step = [&] { rig.Validate(rig.Next(), kVram); };
  for (size_t i = 0; i < 2 * kFit; ++i) step();
  MeasureRow(state, step);
  timeline.Complete(never.point);
}

void CreateDestroy(benchmark::State& state) {
  Rig rig({.vram_pages = 1});
  rig.Make(1);
  MeasureRow(state, [&] { BoRef bo = *rig.host().CreateBo(kPageSize); });
}

// Two events each: made and gone.
void TellTwoEvents(benchmark::State& state, const EventOptions& events,
                   Clock::Kind clock) {
  Rig rig({.vram_pages = 1, .events = events, .clock = clock});
  rig.Make(1);
  MeasureRow(state, [&] { BoRef bo = *rig.host().CreateBo(kPageSize); });
}

// Three events each: hidden, evicted, shown.
void TellOfEviction(benchmark::State& state, const EventOptions& events) {
  constexpr size_t kFit = 1024;
  Rig rig({.aperture_pages = kFit, .events = events});
  rig.Make(2 * kFit);
  for (size_t i = 0; i < 4 * kFit; ++i) rig.Validate(rig.Next(), kTt);
  MeasureRow(state, [&] { rig.Validate(rig.Next(), kTt); });
}

void PopulatePageReused(benchmark::State& state) {
  Rig rig({.vram_pages = 1});
  const auto count = static_cast<PageCount>(Size(state));
  Pages pages(count);
  MeasureRow(
      state,
      [&] {
        pages.Populate(rig.machine().memory(), kNoFrame - 1,
                       PhysicalMemory::Zero::kYes);
        pages.Release(rig.machine().memory(), rig.machine().swap());
      },
      count);
}

// A row of each size.
void Add(std::vector<Row>* rows, const std::string& name,
         const std::vector<int64_t>& sizes,
         const std::function<void(benchmark::State&)>& run,
         int64_t iterations = 0) {
  for (const int64_t size : sizes) {
    rows->push_back({.name = absl::StrCat(name, "/", size),
                     .run = run,
                     .size = size,
                     .iterations = iterations});
  }
}

void AddHits(std::vector<Row>* rows) {
  rows->push_back({"reserve_unreserve", ReserveUnreserve});
  for (const auto& [name, placement] :
       {std::pair{"vram", kVram}, std::pair{"tt_two_orders", kTt}}) {
    rows->push_back({absl::StrCat("reserve_unreserve_touch/", name),
                     [placement = placement](auto& state) {
                       ReserveUnreserveTouch(state, placement);
                     }});
  }
  for (const auto& [name, placement] :
       {std::pair{"vram", kVram}, std::pair{"tt_both_bindings", kTt}}) {
    Add(rows, absl::StrCat("validate_hit/", name), {1024, 16384},
        [placement = placement](auto& state) {
          ValidateHit(state, placement);
        });
  }
  Add(rows, "lru_touch", {1024, 16384}, LruTouch);
}

void AddEvictions(std::vector<Row>* rows) {
  struct Kind {
    const char* name;
    Contents contents;
    SpaceAllocator allocator;
  };
  constexpr auto kRange = SpaceAllocator::kRange;
  constexpr auto kBuddy = SpaceAllocator::kBuddy;
  for (const Kind& kind : {
           Kind{"/tt", Contents::kStay, kRange},
           Kind{"/vram_worthless", Contents::kDropped, kRange},
           Kind{"_system_pages/vram", Contents::kMovedAway, kRange},
           Kind{"_buddy/vram_worthless", Contents::kDropped, kBuddy},
           Kind{"_buddy/vram_system_pages", Contents::kMovedAway, kBuddy},
       }) {
    Add(rows, absl::StrCat("validate_with_one_eviction", kind.name),
        {64, 1024, 16384}, [kind](auto& state) {
          ValidateWithEviction(state, kind.contents, kind.allocator);
        });
  }
  Add(rows, "evict_among_clients", {1, 10, 1000}, EvictAmongClients, 50000);
  Add(rows, "evict_beside_ghosts", {0, 1000, 30000}, EvictBesideGhosts, 2000);
}

void AddEvents(std::vector<Row>* rows) {
  static uint64_t heard = 0;
  for (const auto& [name, events] :
       {std::pair<const char*, EventOptions>{"off", {}},
        {"ring", {.ring_events = 4096}},
        {"callback", {.callback = [](const Event&) { ++heard; }}}}) {
    for (const auto& [clock_name, clock] :
         {std::pair{"real", Clock::Kind::kReal},
          std::pair{"virtual", Clock::Kind::kVirtual}}) {
      rows->push_back({absl::StrCat("tell_two_events/", name, "_", clock_name),
                       [events = events, clock = clock](auto& state) {
                         TellTwoEvents(state, events, clock);
                       }});
    }
    rows->push_back(
        {absl::StrCat("tell_of_eviction/", name),
         [events = events](auto& state) { TellOfEviction(state, events); }});
  }
}

}  // namespace

std::vector<Row> BoRows() {
  std::vector<Row> rows;
  AddHits(&rows);
  Add(&rows, "move_between_range_managers/fixed", {1024}, MoveBetweenFixed);
  Add(&rows, "move_between_range_managers/vram_and_tt", {1024}, MoveVramAndTt);
  AddEvictions(&rows);
  rows.push_back({"create_destroy", CreateDestroy});
  AddEvents(&rows);
  Add(&rows, "populate_page_reused", {1, 64}, PopulatePageReused);
  return rows;
}

}  // namespace twostep
