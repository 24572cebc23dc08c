// What the life of a bo costs, a row of operations each, on an unbacked machine
// with a real clock and one thread: bookkeeping without the copies. A bo has
// one page unless a row says otherwise. Counters:
//   allocations     calls of operator new an iteration
//   peer_smp_ns     the kernel's TTM 6.12 for the same row
//   (docs/performance.md) ratio_to_peer   ours to that
//
//   bo_benchmark [--iterations=N] [Google Benchmark's flags]
//
// N iterations, exactly and once, are for counting instructions:
//   valgrind --tool=callgrind --toggle-collect='*MeasuredLoop*' bo_benchmark
//   ...

#include <malloc.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "tests/allocation_count.h"
#include "twostep/bo/device.h"
#include "twostep/bo/host.h"
#include "twostep/machine/device_memory.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/machine/sync.h"
#include "twostep/mem_types/memory_manager.h"

namespace twostep {
namespace {

constexpr Placement kVram{.memory = MemoryType::kVram};
constexpr Placement kTt{.dma = DmaType::kDynamic, .memory = MemoryType::kTt};

template <typename Step>
[[gnu::noinline]] void MeasuredLoop(benchmark::State& state, Step& step) {
  for (auto _ : state) step();
}

double CpuNs() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 +
         static_cast<double>(now.tv_nsec);
}

// An iteration is one operation on `units` of what the row speaks of.
// `peer_ns` is for one unit; 0: the peer has no figure.
template <typename Step>
void MeasureRow(benchmark::State& state, double peer_ns, Step step,
                double units = 1) {
  const uint64_t allocations = AllocationCount();
  const double start_ns = CpuNs();
  MeasuredLoop(state, step);
  const double ns =
      (CpuNs() - start_ns) / static_cast<double>(state.iterations()) / units;
  state.counters["allocations"] =
      benchmark::Counter(static_cast<double>(AllocationCount() - allocations),
                         benchmark::Counter::kAvgIterations);
  if (units != 1) state.counters["ns_a_page"] = ns;
  if (peer_ns == 0) return;
  state.counters["peer_smp_ns"] = peer_ns;
  state.counters["ratio_to_peer"] = ns / peer_ns;
}

struct Sizes {
  uint64_t vram_pages = 0;
  uint64_t aperture_pages = 0;
  SpaceAllocator allocator = SpaceAllocator::kRange;
  bool bounced = false;
  int devices = 1;
  EventOptions events{};
  Clock::Kind clock = Clock::Kind::kReal;
  Backing backing = Backing::kUnbacked;
  CheckDma check_dma = CheckDma::kOff;
};

// A machine that never runs out of anything but what `Sizes` says.
class Rig {
 public:
  explicit Rig(const Sizes& sizes) {
    MachineConfig machine;
    machine.dma32_bytes = kGiB;
    machine.normal_bytes = 32 * kGiB;
    machine.iommu.mode =
        sizes.bounced ? IommuMode::kAbsent : IommuMode::kTranslated;
    machine.iommu.iova_bytes = 64 * kGiB;
    machine.swiotlb.forced = sizes.bounced;
    machine_ = *Machine::Create(machine, {.backing = sizes.backing,
                                          .clock = sizes.clock,
                                          .check_dma = sizes.check_dma});
    // TTM's order.
    host_ = *Host::Create(*machine_, HostOptions{.eviction_policy = "lru",
                                                 .events = sizes.events});
    GpuConfig gpu;
    gpu.vram_bytes = gpu.vram_visible_bytes = PagesToBytes(sizes.vram_pages);
    gpu.vram_allocator = sizes.allocator;
    gpu.aperture_bytes = PagesToBytes(sizes.aperture_pages);
    for (int i = 0; i < sizes.devices; ++i) {
      gpu.name = std::string("gpu") + static_cast<char>('0' + i);
      devices_.push_back(*Device::Create(*host_, gpu));
    }
  }

  Machine& machine() { return *machine_; }
  Host& host() { return *host_; }
  Device& device(size_t i = 0) { return *devices_[i]; }
  BufferObject& bo(size_t i) { return *bos_[i]; }

  void Make(size_t count) {
    bos_.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      bos_.push_back(*host_->CreateBo(kPageSize));
    }
  }
  void MakeOf(const std::vector<ClientRef>& clients, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      bos_.push_back(*host_->CreateBo(kPageSize, clients[i % clients.size()]));
    }
  }
  // Their storage stays behind.
  void DropAll() { bos_.clear(); }
  void Validate(BufferObject& bo, const Placement& placement,
                size_t device = 0) {
    bo.Reserve();
    ValidateContext context;
    const absl::Status status =
        devices_[device]->Validate(bo, {&placement, 1}, &context);
    bo.Unreserve();
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.ToString().c_str());
      std::abort();
    }
  }
  void MakeIn(const Placement& placement, size_t count) {
    Make(count);
    for (const BoRef& bo : bos_) Validate(*bo, placement);
  }
  // All bos in turn, for ever.
  BufferObject& Next() {
    BufferObject& bo = *bos_[next_];
    if (++next_ == bos_.size()) next_ = 0;
    return bo;
  }

 private:
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Host> host_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::vector<BoRef> bos_;
  size_t next_ = 0;
};

void ReserveUnreserve(benchmark::State& state) {
  Rig rig({.vram_pages = 1});
  rig.Make(1);
  BufferObject& bo = rig.bo(0);
  MeasureRow(state, 21, [&] {
    bo.Reserve();
    bo.Unreserve();
  });
}

// With both bindings a bo stands in two orders.
void ReserveUnreserveTouch(benchmark::State& state,
                           const Placement& placement) {
  Rig rig({.vram_pages = 1024, .aperture_pages = 1024});
  rig.MakeIn(placement, 2);
  MeasureRow(state, 27, [&] {
    BufferObject& bo = rig.Next();
    bo.Reserve();
    bo.Unreserve();
  });
}

void ValidateHit(benchmark::State& state, const Placement& placement) {
  const size_t count = state.range(0);
  Rig rig({.vram_pages = count, .aperture_pages = count});
  rig.MakeIn(placement, count);
  MeasureRow(state, count == 1024 ? 32 : 38,
             [&] { rig.Validate(rig.Next(), placement); });
}

void LruTouch(benchmark::State& state) {
  struct alignas(64) Entry : EvictionHook {
    std::byte rest[sizeof(BufferObject) - sizeof(EvictionHook)];
  };
  static_assert(sizeof(Entry) == sizeof(BufferObject));
  EvictionOrder order(*MakeEvictionPolicy("lru"));
  std::vector<Entry> entries(state.range(0));
  for (Entry& entry : entries) order.Insert(entry);
  size_t next = 0;
  MeasureRow(state, entries.size() == 1024 ? 11 : 20, [&] {
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
  const size_t count = state.range(0);
  Rig rig({.vram_pages = count});
  const Placement stolen{
      .memory = *rig.device().RegisterMemoryType(
          std::make_unique<Stolen>(count, rig.host().MakePolicy()))};
  rig.MakeIn(kVram, count);
  size_t moves = 0;
  MeasureRow(state, 229, [&] {
    rig.Validate(rig.Next(), moves / count % 2 == 0 ? stolen : kVram);
    ++moves;
  });
}

// The same with both steps on one side.
void MoveVramAndTt(benchmark::State& state) {
  const size_t count = state.range(0);
  Rig rig({.vram_pages = count, .aperture_pages = count});
  rig.MakeIn(kVram, count);
  size_t moves = 0;
  MeasureRow(state, 229, [&] {
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
void ValidateWithEviction(benchmark::State& state, double peer_ns,
                          Contents contents, SpaceAllocator allocator) {
  const size_t fit = state.range(0);
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
  MeasureRow(state, peer_ns, [&] { rig.Validate(rig.Next(), placement); });
  if (evictions() - before != static_cast<uint64_t>(state.iterations())) {
    state.SkipWithError("not one eviction each");
  }
}

enum class Others { kIdle, kBusy, kPinned, kReserved };

// VRAM full of bos, of which 99 % are what `others` says and stand before the
// rest in the order. Each validation brings another bo in.
void EvictAmong(benchmark::State& state, Others others) {
  const size_t fit = state.range(0);
  const size_t first = fit - fit / 100;
  Rig rig({.vram_pages = fit});
  rig.MakeIn(kVram, fit);
  rig.Make(fit);
  Timeline& timeline = rig.machine().NewTimeline("work");
  const Fence never = timeline.Emit(0);
  for (size_t i = 0; i < fit; ++i) {
    BufferObject& bo = rig.bo(i);
    bo.Reserve();
    if (i < first && others == Others::kBusy) {
      bo.fences().Add(never, FenceUse::kRead);
    }
    if (i < first && others == Others::kPinned) bo.Pin();
    if (i >= first || others != Others::kReserved) bo.Unreserve();
  }
  size_t next = fit;
  const auto step = [&] {
    rig.Validate(rig.bo(next), kVram);
    if (++next == 2 * fit) next = first;
  };
  for (size_t i = 0; i < fit / 100; ++i) step();
  const uint64_t before = rig.device().manager(MemoryType::kVram)->evictions();
  MeasureRow(state, 0, step);
  const uint64_t evictions =
      rig.device().manager(MemoryType::kVram)->evictions() - before;
  if (evictions != static_cast<uint64_t>(state.iterations())) {
    state.SkipWithError("not one eviction each");
  }
  timeline.Complete(never.point);
  for (size_t i = 0; others == Others::kReserved && i < first; ++i) {
    rig.bo(i).UnreserveUnused();
  }
}

// VRAM full of bos of as many budgeted clients as the row's argument. Each
// validation brings another bo in.
void EvictAmongClients(benchmark::State& state) {
  constexpr size_t kFit = 16384;
  Rig rig({.vram_pages = kFit});
  std::vector<ClientRef> clients;
  for (int64_t i = 0; i < state.range(0); ++i) {
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
  MeasureRow(state, 0, step);
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
  rig.MakeIn(kTt, static_cast<size_t>(state.range(0)));
  const Fence never = timeline.Emit(0);
  for (int64_t i = 0; i < state.range(0); ++i) {
    BufferObject& bo = rig.bo(static_cast<size_t>(i));
    bo.Reserve();
    bo.fences().Add(never, FenceUse::kRead);
    bo.Unreserve();
  }
  rig.DropAll();
  rig.Make(2 * kFit);
  const auto step = [&] { rig.Validate(rig.Next(), kVram); };
  for (size_t i = 0; i < 2 * kFit; ++i) step();
  MeasureRow(state, 0, step);
  timeline.Complete(never.point);
}

// As many threads as the row's argument, each on bos of its own. The figure to
// compare is items_per_second, of all of them.
void OnThreads(benchmark::State& state,
               absl::FunctionRef<void(size_t thread, size_t i)> step) {
  constexpr size_t kSteps = 300'000;
  const int threads = static_cast<int>(state.range(0));
  for (auto _ : state) {
    Atomic<int> ready{0};
    const auto body = [&](int thread) {
      // Short runs end before a scheduler has spread them.
      cpu_set_t cpus;
      CPU_ZERO(&cpus);
      CPU_SET(thread, &cpus);
      sched_setaffinity(0, sizeof(cpus), &cpus);
      ++ready;
      while (ready.load() < threads) CpuRelax();
      for (size_t i = 0; i < kSteps; ++i) step(thread, i);
    };
    std::vector<Thread> running;
    for (int i = 0; i < threads; ++i) running.emplace_back([&, i] { body(i); });
  }
  state.SetItemsProcessed(state.iterations() * threads *
                          static_cast<int64_t>(kSteps));
}

// What threads share. With a host each they share nothing: that is what the
// machine can do, and what the other rows are to be compared with.
enum class Shared : uint8_t { kDevice, kHost, kNothing };

// Each thread has bos of its own: as many as fit into its share, or twice as
// many.
void ValidateOnThreads(benchmark::State& state, const Placement& placement,
                       Shared shared, size_t times_fit) {
  constexpr size_t kFit = 1024;
  const size_t count = kFit * times_fit;
  const auto threads = static_cast<size_t>(state.range(0));
  const size_t hosts = shared == Shared::kNothing ? threads : 1;
  const size_t devices = shared == Shared::kHost ? threads : 1;
  const size_t fit = shared == Shared::kDevice ? kFit * threads : kFit;
  std::vector<std::unique_ptr<Rig>> rigs;
  for (size_t i = 0; i < hosts; ++i) {
    rigs.push_back(
        std::make_unique<Rig>(Sizes{.vram_pages = fit,
                                    .aperture_pages = fit,
                                    .devices = static_cast<int>(devices)}));
    rigs.back()->Make(count * threads / hosts);
  }
  OnThreads(state, [&](size_t thread, size_t i) {
    Rig& rig = *rigs[thread % hosts];
    rig.Validate(rig.bo(thread / hosts * count + i % count), placement,
                 thread % devices);
  });
}

void CreateDestroy(benchmark::State& state) {
  Rig rig({.vram_pages = 1});
  rig.Make(1);
  MeasureRow(state, 424, [&] { BoRef bo = *rig.host().CreateBo(kPageSize); });
}

// Two events each: made and gone.
void TellTwoEvents(benchmark::State& state, const EventOptions& events,
                   Clock::Kind clock) {
  Rig rig({.vram_pages = 1, .events = events, .clock = clock});
  rig.Make(1);
  MeasureRow(state, 0, [&] { BoRef bo = *rig.host().CreateBo(kPageSize); });
}

// Three events each: hidden, evicted, shown.
void TellOfEviction(benchmark::State& state, const EventOptions& events) {
  constexpr size_t kFit = 1024;
  Rig rig({.aperture_pages = kFit, .events = events});
  rig.Make(2 * kFit);
  for (size_t i = 0; i < 4 * kFit; ++i) rig.Validate(rig.Next(), kTt);
  MeasureRow(state, 0, [&] { rig.Validate(rig.Next(), kTt); });
}

void PopulatePageReused(benchmark::State& state) {
  Rig rig({.vram_pages = 1});
  const auto count = static_cast<PageCount>(state.range(0));
  Pages pages(count);
  MeasureRow(
      state, 41,
      [&] {
        pages.Populate(rig.machine().memory(), kNoFrame - 1,
                       PhysicalMemory::Zero::kYes);
        pages.Release(rig.machine().memory(), rig.machine().swap());
      },
      count);
}

uint64_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

uint64_t ResidentBytes() {
  unsigned long size = 0, resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%lu %lu", &size, &resident) != 2) resident = 0;
  std::fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

// What the heap holds for a bo, allocator headers and rounding included, the
// benchmark's own vector of references not.
void MemoryOfABo(benchmark::State& state, const Placement& placement,
                 double peer_bytes) {
  const size_t count = state.range(0);
  for (auto _ : state) {
    malloc_trim(0);
    Rig rig({.vram_pages = count, .aperture_pages = count});
    const uint64_t heap = HeapBytes();
    const uint64_t resident = ResidentBytes();
    rig.MakeIn(placement, count);
    const auto per_bo = [&](uint64_t bytes) {
      return static_cast<double>(bytes) / static_cast<double>(count) -
             sizeof(BoRef);
    };
    state.counters["bytes_per_bo"] = per_bo(HeapBytes() - heap);
    state.counters["resident_per_bo"] = per_bo(ResidentBytes() - resident);
    if (peer_bytes != 0) state.counters["peer_bytes"] = peer_bytes;
  }
}

void DmaBindUnbind(benchmark::State& state, DmaType type, bool bounced,
                   Backing backing = Backing::kUnbacked,
                   CheckDma check_dma = CheckDma::kOff) {
  Rig rig({.vram_pages = 1,
           .bounced = bounced,
           .backing = backing,
           .check_dma = check_dma});
  Pages pages(kMiB >> kPageShift);
  DmaBinding binding;
  DmaBinder& binder = rig.host().binder(type);
  pages.Populate(rig.machine().memory(), kNoFrame - 1,
                 PhysicalMemory::Zero::kYes);
  MeasureRow(
      state, 0,
      [&] {
        binder.Bind(pages, rig.device().port(), DmaBinder::Contents::kKeep,
                    &binding);
        binder.Unbind(pages, binding, DmaBinder::Contents::kKeep);
      },
      pages.count());
  pages.Release(rig.machine().memory(), rig.machine().swap());
}

using Run = std::function<void(benchmark::State&)>;

void RegisterRows(int64_t iterations) {
  const auto row = [=](const std::string& name, Run run,
                       std::vector<int64_t> sizes = {}) {
    auto* row = benchmark::RegisterBenchmark(name.c_str(), std::move(run));
    for (const int64_t size : sizes) row->Arg(size);
    if (iterations != 0) row->Iterations(iterations);
    return row;
  };
  const auto evict = [&](const std::string& name, double peer_ns,
                         Contents contents, SpaceAllocator allocator,
                         std::vector<int64_t> sizes) {
    for (const int64_t size : sizes) {
      const double peer = peer_ns != 0   ? peer_ns
                          : size == 64   ? 556
                          : size == 1024 ? 613
                                         : 773;
      row(name,
          [=](auto& state) {
            ValidateWithEviction(state, peer, contents, allocator);
          },
          {size});
    }
  };
  const std::vector<int64_t> hits = {1024, 16384};
  row("reserve_unreserve", ReserveUnreserve);
  row("reserve_unreserve_touch/vram",
      [](auto& state) { ReserveUnreserveTouch(state, kVram); });
  row("reserve_unreserve_touch/tt_two_orders",
      [](auto& state) { ReserveUnreserveTouch(state, kTt); });
  row(
      "validate_hit/vram", [](auto& state) { ValidateHit(state, kVram); },
      hits);
  row(
      "validate_hit/tt_both_bindings",
      [](auto& state) { ValidateHit(state, kTt); }, hits);
  row("lru_touch", LruTouch, hits);
  row("move_between_range_managers/fixed", MoveBetweenFixed, {1024});
  row("move_between_range_managers/vram_and_tt", MoveVramAndTt, {1024});
  const auto range = SpaceAllocator::kRange;
  const auto buddy = SpaceAllocator::kBuddy;
  const std::vector<int64_t> fit = {64, 1024, 16384};
  evict("validate_with_one_eviction/tt", 0, Contents::kStay, range, fit);
  evict("validate_with_one_eviction/vram_worthless", 0, Contents::kDropped,
        range, fit);
  evict("validate_with_one_eviction_system_pages/vram", 711,
        Contents::kMovedAway, range, fit);
  evict("validate_with_one_eviction_buddy/vram_worthless", 852,
        Contents::kDropped, buddy, fit);
  evict("validate_with_one_eviction_buddy/vram_system_pages", 852,
        Contents::kMovedAway, buddy, fit);
  for (const auto& [name, others] :
       {std::pair<const char*, Others>{"idle", Others::kIdle},
        {"busy", Others::kBusy},
        {"pinned", Others::kPinned},
        {"reserved", Others::kReserved}}) {
    row(std::string("evict_among/") + name,
        [others = others](auto& state) { EvictAmong(state, others); }, {100000})
        ->Iterations(50000);
  }
  row("evict_among_clients", EvictAmongClients, {1, 10, 1000})
      ->Iterations(50000);
  row("evict_beside_ghosts", EvictBesideGhosts, {0, 1000, 30000})
      ->Iterations(2000);
  const std::vector<int64_t> threads = {1, 2};
  for (const auto& [name, placement, times_fit] :
       {std::tuple<const char*, Placement, size_t>{"hit_vram", kVram, 1},
        {"hit_tt", kTt, 1},
        {"evict_from_tt", kTt, 2},
        {"evict_from_vram", kVram, 2}}) {
    for (const auto& [own, shared] :
         {std::pair<const char*, Shared>{"bos", Shared::kDevice},
          {"device", Shared::kHost},
          {"host", Shared::kNothing}}) {
      if (times_fit == 2 && shared == Shared::kDevice) continue;
      row(
          absl::StrCat("threads/", name, "_own_", own),
          [placement = placement, shared = shared,
           times_fit = times_fit](auto& state) {
            ValidateOnThreads(state, placement, shared, times_fit);
          },
          threads)
          ->UseRealTime();
    }
  }
  row("create_destroy", CreateDestroy);
  static uint64_t heard = 0;
  for (const auto& [name, events] :
       {std::pair<const char*, EventOptions>{"off", {}},
        {"ring", {.ring_events = 4096}},
        {"callback", {.callback = [](const Event&) { ++heard; }}}}) {
    for (const auto& [clock_name, clock] :
         {std::pair<const char*, Clock::Kind>{"real", Clock::Kind::kReal},
          {"virtual", Clock::Kind::kVirtual}}) {
      row(absl::StrCat("tell_two_events/", name, "_", clock_name),
          [events = events, clock = clock](auto& state) {
            TellTwoEvents(state, events, clock);
          });
    }
    row(absl::StrCat("tell_of_eviction/", name),
        [events = events](auto& state) { TellOfEviction(state, events); });
  }
  row("populate_page_reused", PopulatePageReused, {1, 64});
  row("memory_of_a_bo/vram",
      [](auto& state) { MemoryOfABo(state, kVram, 828); }, {1 << 20})
      ->Iterations(1);
  row("memory_of_a_bo/tt_both_bindings",
      [](auto& state) { MemoryOfABo(state, kTt, 0); }, {1 << 20})
      ->Iterations(1);
  for (const auto& [name, type, bounced] :
       {std::tuple<const char*, DmaType, bool>{"none", DmaType::kNone, false},
        {"dynamic", DmaType::kDynamic, false},
        {"dynamic_bounced", DmaType::kDynamic, true},
        {"coherent", DmaType::kCoherent, false},
        {"cma", DmaType::kCma, false}}) {
    row(std::string("dma_bind_unbind_1mib/") + name,
        [type = type, bounced = bounced](auto& state) {
          DmaBindUnbind(state, type, bounced);
        });
    // With the bytes, which are a part of what is checked.
    for (const auto& [on, check_dma] :
         {std::pair<const char*, CheckDma>{"_unchecked", CheckDma::kOff},
          {"_checked", CheckDma::kOn}}) {
      row(absl::StrCat("dma_bind_unbind_1mib_backed/", name, on),
          [type = type, bounced = bounced, check_dma = check_dma](auto& state) {
            DmaBindUnbind(state, type, bounced, Backing::kBacked, check_dma);
          });
    }
  }
}

}  // namespace
}  // namespace twostep

int main(int argc, char** argv) {
  int64_t iterations = 0;
  for (int i = 1; i < argc; ++i) {
    constexpr std::string_view kFlag = "--iterations=";
    if (std::string_view(argv[i]).substr(0, kFlag.size()) != kFlag) continue;
    iterations = std::atoll(argv[i] + kFlag.size());
    for (int k = i; k < argc; ++k) argv[k] = argv[k + 1];
    --argc;
    break;
  }
  twostep::RegisterRows(iterations);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
