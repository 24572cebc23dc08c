// The 52 rows of the xe driver's eviction suite. Each thread makes bos, binds
// each and lets a job write it; all threads meet; then each bo is checked and
// written once more, in the order of creation: what is needed next is what was
// used longest ago. docs/stress.md says how the variants are modelled.

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/bo/bulk_move.h"
#include "twostep/stress/compute_context.h"
#include "twostep/stress/families.h"
#include "twostep/stress/small_world.h"
#include "twostep/stress/threads.h"
#include "twostep/stress/world.h"

namespace twostep {
namespace {

enum class Work { kLegacy, kCompute, kMixed };

// In the suite's units: two submissions a bo, bos of `numerator` /
// `denominator` of the VRAM.
struct Row {
  std::string name;
  int threads = 1;
  int queues = 1;
  int execs = 1;
  uint64_t numerator = 1;
  uint64_t denominator = 1;
  Work work = Work::kLegacy;
  bool external = false;
  bool multi_vm = false;
  bool bind_queue = false;

  bool vram_only() const { return threads > 1 || multi_vm; }
};

// Bos that are made for an address space share one reservation with it in the
// suite's driver, and so one place in the order of eviction. External ones are
// in place whenever the address space is used.
class AddressSpace {
 public:
  AddressSpace(World& world, PlacementList places, bool compute)
      : world_(world), places_(places) {
    if (compute) {
      context_ = std::make_unique<ComputeContext>(world, places);
    }
  }
  ~AddressSpace() {
    if (context_ != nullptr) context_->Stop();
    for (KnownBo* bo : own_bos_) {
      bo->bo->Reserve();
      own_.Remove(*bo->bo);
      bo->bo->UnreserveUnused();
    }
  }

  void Bind(KnownBo* bo, bool external) {
    if (context_ != nullptr) context_->Add(bo);
    if (external) {
      external_bos_.push_back(bo);
      return;
    }
    bo->bo->Reserve();
    own_.Add(*bo->bo);
    bo->bo->UnreserveUnused();
    own_bos_.push_back(bo);
  }
  // A job that checks and writes `bo`.
  absl::Status Submit(KnownBo* bo, int queue) {
    if (context_ != nullptr) return context_->Run(bo, queue);
    Submission submission{.queue = queue, .uses = {}, .places = places_};
    for (KnownBo* other : external_bos_) {
      if (other != bo) submission.uses.push_back({other, BoUse::Does::kHold});
    }
    submission.uses.push_back({bo, BoUse::Does::kWrite});
    absl::Status status = world_.Submit(submission);
    own_.MoveToEnd();
    return status;
  }

 private:
  World& world_;
  const PlacementList places_;
  BulkMove own_;
  std::vector<KnownBo*> own_bos_;
  std::vector<KnownBo*> external_bos_;
  std::unique_ptr<ComputeContext> context_;
};

class XeEvict {
 public:
  XeEvict(const Row& row, const StressOptions& options, Verdict* verdict)
      : row_(row),
        threads_(row.threads > 1 ? options.ThreadsOr(row.threads) : 1),
        bo_bytes_(options.gpu.vram_bytes * row.numerator / row.denominator /
                  kPageSize * kPageSize),
        halves_(threads_),
        world_(OptionsOf(options), verdict) {
    places_.push_back(kInVram);
    if (!row.vram_only()) {
      places_.push_back(InTt(DmaType::kDynamic, Placement::Use::kFallback));
    }
  }

  void Play() {
    if (!world_.ok()) return;
    if (bo_bytes_ == 0) return world_.Fail("the VRAM is too small for the row");
    OnThreads(threads_, [this](int thread) { PlayThread(thread); });
    const bool scarce =
        AllBytes() > world_.device().manager(MemoryType::kVram)->pages()
                         << kPageShift;
    if (scarce) world_.ExpectEvictions();
  }

 private:
  uint64_t AllBytes() const {
    return bo_bytes_ * static_cast<uint64_t>(row_.execs / 2 * threads_);
  }
  // Only VRAM is short, as in the suite.
  WorldOptions OptionsOf(const StressOptions& options) {
    WorldOptions world = WorldOptions::Of(options);
    const uint64_t enough = AllBytes() + options.gpu.vram_bytes;
    MachineConfig& machine = world.machine;
    world.gpu.aperture_bytes = std::max(world.gpu.aperture_bytes, enough);
    machine.normal_bytes = std::max(machine.normal_bytes, enough);
    machine.iommu.iova_bytes = std::max(machine.iommu.iova_bytes, 2 * enough);
    if (machine.swiotlb.bytes < enough && machine.swiotlb.forced) {
      machine.dma32_bytes += enough - machine.swiotlb.bytes;
      machine.swiotlb.bytes = enough;
    }
    // The last one binds.
    world.queues = row_.queues + 1;
    world.hooks = &hooks_;
    world.alone = threads_ == 1 && row_.work == Work::kLegacy;
    if (row_.work != Work::kLegacy) world.clock = Clock::Kind::kReal;
    return world;
  }
  bool Compute(int thread) const {
    return row_.work == Work::kCompute ||
           (row_.work == Work::kMixed && thread % 2 == 1);
  }

  void PlayThread(int thread) {
    ClientRef client;
    if (row_.multi_vm) {
      // At its limit it makes room with what its other address space has.
      auto created = world_.host().CreateClient(
          {.name = absl::StrCat("client ", thread),
           .device = {
               .max_pages =
                   world_.device().manager(MemoryType::kVram)->pages()}});
      world_.Expect(created.status(), "a client");
      if (created.ok()) client = *std::move(created);
    }
    std::deque<AddressSpace> spaces;
    for (int i = 0; i < (row_.multi_vm ? 2 : 1); ++i) {
      spaces.emplace_back(world_, places_, Compute(thread));
    }
    std::vector<KnownBo*> bos;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < row_.execs / 2; ++i) {
        AddressSpace& space = spaces[static_cast<size_t>(i) % spaces.size()];
        if (half == 0) bos.push_back(MakeBound(i, client, &space));
        KnownBo* bo = bos[static_cast<size_t>(i)];
        if (bo == nullptr) continue;
        world_.Expect(space.Submit(bo, i % row_.queues),
                      absl::StrCat("submission ", i, " of thread ", thread));
      }
      halves_.Arrive();
    }
  }

  // Null, and a failure, where that does not work.
  KnownBo* MakeBound(int number, const ClientRef& client, AddressSpace* space) {
    KnownBo* bo = world_.Make(bo_bytes_, client);
    if (bo == nullptr) return nullptr;
    const bool external =
        row_.multi_vm || (row_.external && number < row_.execs / 8);
    space->Bind(bo, external);
    const auto bound = world_.Clear(bo, places_, row_.queues);
    world_.Expect(bound.status(), absl::StrCat("binding bo ", number));
    if (bound.ok() && !row_.bind_queue) {
      world_.Expect(WaitFor(*bound, WaitLimit{}), "waiting for the binding");
    }
    return bo;
  }

  const Row row_;
  const int threads_;
  const uint64_t bo_bytes_;
  std::vector<Placement> places_;
  TwoTierDriver hooks_{DmaType::kDynamic};
  Meeting halves_;
  World world_;
};

// The names are the suite's.
std::vector<Row> Rows() {
  std::vector<Row> rows;
  for (const bool bind_queue : {false, true}) {
    const std::string prefix = bind_queue ? "evict-beng-" : "evict-";
    const auto add = [&](Row row, absl::string_view middle,
                         absl::string_view end) {
      row.name = absl::StrCat(prefix, middle, row.name, end);
      row.bind_queue = bind_queue;
      rows.push_back(std::move(row));
    };
    for (const Work work : {Work::kLegacy, Work::kCompute}) {
      const char* end = work == Work::kCompute ? "-cm" : "";
      add({"small", 1, 16, 448, 1, 128, work}, "", end);
      add({"small-external", 1, 16, 448, 1, 128, work, true}, "", end);
      add({"small-multi-vm", 1, 16, 256, 1, 128, work, false, true}, "", end);
      add({"large", 1, 4, 16, 1, 4, work}, "", end);
      add({"large-external", 1, 4, 16, 1, 4, work, true}, "", end);
      add({"large-multi-vm", 1, 4, 8, 3, 8, work, false, true}, "", end);
    }
    for (const Work work : {Work::kLegacy, Work::kCompute, Work::kMixed}) {
      const char* middle = work == Work::kLegacy    ? ""
                           : work == Work::kCompute ? "cm-"
                                                    : "mixed-";
      for (const bool multi_vm : {false, true}) {
        const char* end = multi_vm ? "-multi-vm" : "";
        add({"threads-small", 2, 16, 128, 1, 128, work, false, multi_vm},
            middle, end);
        add({"threads-large", 2, 2, 16, 3, 32, work, false, multi_vm}, middle,
            end);
      }
    }
    add({"many-threads-small", 3, 16, 128, 1, 128, Work::kMixed}, "mixed-", "");
    add({"many-threads-large", 3, 2, 16, 3, 32, Work::kMixed}, "mixed-", "");
  }
  return rows;
}

std::string Describe(const Row& row) {
  const char* kWork[] = {"jobs", "long-running compute",
                         "jobs and long-running compute"};
  return absl::StrCat(
      row.threads, row.threads == 1 ? " thread, " : " threads, ", row.execs / 2,
      " bos of ", row.numerator, "/", row.denominator, " of VRAM, ",
      kWork[static_cast<int>(row.work)], row.external ? ", some external" : "",
      row.multi_vm ? ", two address spaces" : "",
      row.bind_queue ? ", bound by a queue" : "");
}

}  // namespace

void AddXeEvict(std::vector<Scenario>* scenarios) {
  for (const Row& row : Rows()) {
    scenarios->push_back(
        {"xe_evict", row.name, Describe(row),
         [row](const StressOptions& options, Verdict* verdict) {
           XeEvict(row, options, verdict).Play();
         },
         // Nobody tells compute contexts that their device has gone.
         row.work == Work::kLegacy ? kAllFaults : kAllFaultsButLost});
  }
}

}  // namespace twostep
