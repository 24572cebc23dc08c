#include "twostep/lab/replay.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/device.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/gpu_runs.h"
#include "twostep/bo/host.h"
#include "twostep/bo/placer.h"
#include "twostep/eviction/belady_policy.h"
#include "twostep/lab/contents.h"
#include "twostep/lab/foresight.h"
#include "twostep/machine/model_gpu.h"
#include "twostep/placement/placement_registry.h"
#include "twostep/trace/trace_reader.h"

namespace twostep {
namespace {

// Command queues of the GPU; contexts share them.
constexpr int kQueues = 4;
// A program does not run further ahead of its GPU than this.
constexpr size_t kMaxSubmissionsInFlight = 64;
// Pages under user mappings at once: each may cost the process one mapping, of
// which Linux allows 65,530.
constexpr uint64_t kMaxMappedPages = 32768;
constexpr size_t kMaxViolationsKept = 20;

struct LiveBo {
  BoRef bo;
  std::unique_ptr<CpuMapping> mapping;
  std::optional<Contents> contents;  // backed only
};

class Replayer {
 public:
  Replayer(const std::string& trace, const ReplayOptions& options)
      : trace_(trace), options_(options) {}
  ~Replayer();

  absl::StatusOr<ReplayResult> Run();

 private:
  absl::Status SetUp();
  absl::Status Foresee();
  absl::Status Apply(const TraceRecord& record);
  absl::Status Create(const TraceRecord& record);
  absl::Status Write(const TraceRecord& record);
  absl::Status Read(const TraceRecord& record);
  absl::Status Submit(const TraceRecord& record);
  absl::Status EnsureMapped(LiveBo& live, const TraceRecord& record,
                            Access access);
  GpuJob JobFor(const TraceRecord& record, uint64_t* cost_ns);
  void CheckRules();
  void Collect();

  bool backed() const { return options_.backing == Backing::kBacked; }

  const std::string trace_;
  const ReplayOptions options_;
  ReplayResult result_;
  // In the order in which they must outlive each other.
  Atomic<uint64_t> gpu_checked_pages_{0};
  Atomic<uint64_t> gpu_wrong_pages_{0};
  TraceHistory own_history_;
  std::unique_ptr<Foresight> foresight_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Placer> placer_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<ModelGpu> gpu_;
  std::vector<LiveBo> live_;  // by slot
  std::deque<Fence> in_flight_;
  uint64_t mapped_pages_ = 0;
  uint64_t write_count_ = 0;
  bool watched_ = false;  // by the observer, from Began to Ending
};

Replayer::~Replayer() {
  if (watched_) options_.observer->Ending();
  // Jobs refer to the machine and to the counters.
  for (const Fence& fence : in_flight_) {
    (void)WaitFor(fence, WaitLimit{});
  }
  live_.clear();
  gpu_.reset();
}

absl::Status Replayer::SetUp() {
  auto make_policy = ParsePlacementPolicy(options_.placement);
  if (!make_policy.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--placement: ", make_policy.status().message()));
  }
  PlacementSite site = PlacementSite::Of(options_.machine, options_.gpu);
  site.dma = options_.dma_type;
  placer_ = std::make_unique<Placer>((*make_policy)(site));
  auto machine =
      Machine::Create(options_.machine,
                      MachineOptions{options_.backing, Clock::Kind::kVirtual});
  if (!machine.ok()) return machine.status();
  machine_ = *std::move(machine);
  HostOptions host_options;
  host_options.eviction_policy = options_.eviction;
  host_options.dma_exhaustion = options_.dma_exhaustion;
  if (options_.observer != nullptr) {
    host_options.events.callback = [this](const Event& event) {
      options_.observer->Happened(event);
    };
  }
  if (options_.eviction == kBelady) {
    absl::Status foreseen = Foresee();
    if (!foreseen.ok()) return foreseen;
    host_options.make_eviction_policy = [this] {
      return std::make_unique<BeladyPolicy>(
          [this](uint64_t key) { return foresight_->NextUse(key); });
    };
  }
  auto host = Host::Create(*machine_, host_options);
  if (!host.ok()) return host.status();
  host_ = *std::move(host);
  auto device = Device::Create(*host_, options_.gpu, placer_.get());
  if (!device.ok()) return device.status();
  device_ = *std::move(device);
  gpu_ = MakeModelGpu(*device_, kQueues);
  if (options_.observer != nullptr) {
    options_.observer->Began(*host_, *device_);
    watched_ = true;
  }
  return absl::OkStatus();
}

absl::Status Replayer::Foresee() {
  const TraceHistory* history = options_.history;
  if (history == nullptr) {
    auto read = ReadTraceHistory(trace_);
    if (!read.ok()) return read.status();
    own_history_ = *std::move(read);
    history = &own_history_;
  }
  foresight_ = std::make_unique<Foresight>(*history);
  return absl::OkStatus();
}

absl::StatusOr<ReplayResult> Replayer::Run() {
  const auto started = std::chrono::steady_clock::now();
  auto reader = TraceReader::Open(trace_);
  if (!reader.ok()) return reader.status();
  absl::Status ready = SetUp();
  if (!ready.ok()) return ready;
  TraceRecord record;
  for (;;) {
    absl::StatusOr<bool> more = (*reader)->Next(&record);
    if (!more.ok()) return more.status();
    if (!*more) break;
    absl::Status applied = Apply(record);
    if (!applied.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(trace_, ":", record.line, ": ", applied.message()));
    }
    ++result_.records;
    if (options_.audit_every != 0 &&
        result_.records % options_.audit_every == 0) {
      CheckRules();
    }
    if (options_.progress && result_.records % 256 == 0) {
      options_.progress((*reader)->part());
    }
  }
  for (; !in_flight_.empty(); in_flight_.pop_front()) {
    absl::Status done = WaitFor(in_flight_.front(), WaitLimit{});
    if (!done.ok()) return done;
  }
  CheckRules();
  Collect();
  if (watched_) {
    options_.observer->Ending();
    watched_ = false;
  }
  result_.wall_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started)
          .count();
  return std::move(result_);
}

absl::Status Replayer::Apply(const TraceRecord& record) {
  switch (record.kind) {
    case TraceRecord::Kind::kCreate:
      return Create(record);
    case TraceRecord::Kind::kWrite:
      return Write(record);
    case TraceRecord::Kind::kRead:
      return Read(record);
    case TraceRecord::Kind::kSubmit:
      return Submit(record);
    case TraceRecord::Kind::kFrameEnd:
      ++result_.frames;
      device_->Note(EvictionBoundary::kFrame);
      if (options_.observer != nullptr) options_.observer->FrameEnded();
      return absl::OkStatus();
    case TraceRecord::Kind::kDestroy: {
      LiveBo& live = live_[record.slot];
      if (live.mapping != nullptr) mapped_pages_ -= live.bo->page_count();
      placer_->Forget(*live.bo);
      live = LiveBo{};
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::Status Replayer::Create(const TraceRecord& record) {
  auto bo = host_->CreateBo(record.bytes);
  if (!bo.ok()) return bo.status();
  if (record.slot >= live_.size()) live_.resize(record.slot + 1);
  LiveBo& live = live_[record.slot];
  live.bo = *std::move(bo);
  if (options_.observer != nullptr) {
    options_.observer->Named(live.bo->id(), record.bo);
  }
  if (foresight_ != nullptr) foresight_->NoteCreated(live.bo->id());
  if (!backed()) return absl::OkStatus();
  live.contents.emplace(live.bo->page_count());
  if (live.contents->data() == nullptr) {
    return absl::ResourceExhaustedError(
        "this process has no address space for the bo's expected contents: "
        "use --unbacked");
  }
  return absl::OkStatus();
}

// The bo mapped, idle for `access`, and its first page there, so that a machine
// that cannot hold it is an error and not a signal.
absl::Status Replayer::EnsureMapped(LiveBo& live, const TraceRecord& record,
                                    Access access) {
  if (live.mapping == nullptr) {
    if (mapped_pages_ + live.bo->page_count() > kMaxMappedPages) {
      for (LiveBo& other : live_) other.mapping.reset();
      mapped_pages_ = 0;
    }
    auto mapping = CpuMapping::Create(live.bo);
    if (!mapping.ok()) return mapping.status();
    live.mapping = *std::move(mapping);
    mapped_pages_ += live.bo->page_count();
  }
  absl::Status idle = WaitForCpu(*live.bo, access);
  if (!idle.ok() || record.bytes == 0) return idle;
  const auto first = static_cast<PageCount>(record.offset >> kPageShift);
  const auto last =
      static_cast<PageCount>((record.offset + record.bytes - 1) >> kPageShift);
  machine_->clock().Charge(
      TransferNs(record.bytes, machine_->cost().cpu_copy_mib_per_s));
  return live.mapping->Touch(PageRange{first, backed() ? 1 : last - first + 1},
                             access);
}

absl::Status Replayer::Write(const TraceRecord& record) {
  LiveBo& live = live_[record.slot];
  absl::Status mapped = EnsureMapped(live, record, Access::kWrite);
  if (!mapped.ok() || !backed()) return mapped;
  live.contents->Write(record.offset, record.bytes,
                       options_.seed * 0x100000001b3u + ++write_count_);
  std::memcpy(live.mapping->data() + record.offset,
              live.contents->data() + record.offset, record.bytes);
  return absl::OkStatus();
}

absl::Status Replayer::Read(const TraceRecord& record) {
  LiveBo& live = live_[record.slot];
  absl::Status mapped = EnsureMapped(live, record, Access::kRead);
  if (!mapped.ok() || !backed()) return mapped;
  const std::byte* is = live.mapping->data() + record.offset;
  const std::byte* must_be = live.contents->data() + record.offset;
  result_.bytes_checked += record.bytes;
  if (std::memcmp(is, must_be, record.bytes) == 0) return absl::OkStatus();
  for (uint64_t i = 0; i < record.bytes; ++i) {
    result_.bytes_wrong += is[i] != must_be[i];
  }
  return absl::OkStatus();
}

absl::Status Replayer::Submit(const TraceRecord& record) {
  ++result_.submissions;
  if (foresight_ != nullptr) foresight_->NoteSubmission();
  const uint64_t asked_ns = machine_->clock().now_ns();
  Exec exec(*device_, placer_.get());
  for (const TraceUse& use : record.uses) {
    exec.Add(*live_[use.slot].bo,
             use.written ? FenceUse::kWrite : FenceUse::kRead);
  }
  ValidateContext context;
  absl::Status placed = exec.Run(&context);
  if (!placed.ok()) return placed;
  result_.validates += exec.size();
  result_.validate_hits += exec.hits();
  result_.missed_bytes += exec.missed_bytes();

  const int queue = static_cast<int>(record.context_index % kQueues);
  // The GPU stalls from when it could have begun to when it does.
  const uint64_t could_ns = std::max(asked_ns, gpu_->queue(queue).idle_at_ns());
  const uint64_t starts_ns = gpu_->queue(queue).StartNs(exec.dependencies());
  result_.stall_ns += starts_ns - std::min(could_ns, starts_ns);

  uint64_t cost_ns = 0;
  GpuJob job = JobFor(record, &cost_ns);
  const Fence fence =
      gpu_->Submit(queue, std::move(job), exec.dependencies(), cost_ns);
  if (options_.observer != nullptr) {
    RunObserver::Job told{.submission = exec.submission(),
                          .fence = fence,
                          .asked_ns = asked_ns,
                          .starts_ns = starts_ns,
                          .ends_ns = starts_ns + cost_ns};
    for (const TraceUse& use : record.uses) {
      told.uses.push_back({live_[use.slot].bo->id(), use.written});
    }
    options_.observer->Submitted(told);
  }
  exec.Finish(fence);
  in_flight_.push_back(fence);
  if (in_flight_.size() <= kMaxSubmissionsInFlight) return absl::OkStatus();
  const Fence oldest = in_flight_.front();
  in_flight_.pop_front();
  return WaitFor(oldest, WaitLimit{});
}

// Reads all that the submission uses and compares it, then writes what it
// writes.
GpuJob Replayer::JobFor(const TraceRecord& record, uint64_t* cost_ns) {
  GpuJob job;
  uint64_t vram_bytes = 0;
  uint64_t bus_bytes = 0;
  for (const TraceUse& use : record.uses) {
    LiveBo& live = live_[use.slot];
    (live.bo->manager().fixed() ? vram_bytes : bus_bytes) +=
        live.bo->size_bytes();
    if (!backed()) continue;
    job.steps.push_back(GpuVerify{RunsOf(*live.bo),
                                  live.contents->PageChecksums(),
                                  &gpu_checked_pages_, &gpu_wrong_pages_});
  }
  for (const TraceUse& use : record.uses) {
    if (!use.written || !backed()) continue;
    LiveBo& live = live_[use.slot];
    const uint64_t seed =
        options_.seed * 0x100000001b3u + result_.submissions * 65599 + use.bo;
    job.steps.push_back(GpuPattern{RunsOf(*live.bo), seed});
    live.contents->WritePattern(seed);
  }
  result_.bus_bytes += bus_bytes;
  *cost_ns = JobCostNs(machine_->cost(), vram_bytes, bus_bytes);
  return job;
}

void Replayer::CheckRules() {
  for (Violation& violation : Audit::Run(*host_)) {
    ++result_.rule_violations;
    if (result_.violations.size() < kMaxViolationsKept) {
      result_.violations.push_back(std::move(violation));
    }
  }
}

void Replayer::Collect() {
  result_.trace = trace_;
  result_.machine = options_.machine.name;
  result_.mode = backed() ? "backed" : "unbacked";
  result_.placement = options_.placement;
  result_.eviction = options_.eviction;
  result_.seed = options_.seed;
  result_.vram_bytes = options_.gpu.vram_bytes;
  result_.dma_type = device_->binder(options_.dma_type)->name();
  result_.dma_exhaustion = NameOf(options_.dma_exhaustion);
  for (int type = 0; type < kMaxDmaTypes; ++type) {
    DmaBinder* binder = device_->binder(static_cast<DmaType>(type));
    if (binder == nullptr) continue;
    const DmaBinder::Stats& stats = binder->stats();
    result_.dma_binds[binder->name()] = stats.binds;
    result_.dma_evictions[binder->name()] = stats.evictions;
    result_.dma_evict_copy_bytes += stats.copied_back_bytes;
    result_.bounce_bytes += stats.bounced_bytes;
    result_.pages_synced_for_device += stats.pages_synced_for_device;
    result_.pages_synced_for_cpu += stats.pages_synced_for_cpu;
  }
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    MemoryManager* manager = device_->manager(static_cast<MemoryType>(type));
    if (manager == nullptr ||
        manager->kind() == MemoryManager::Kind::kNowhere) {
      continue;
    }
    result_.gpu_evictions[manager->name()] = manager->evictions();
  }
  const MoveStats& moves = host_->stats();
  result_.to_vram_bytes = moves.to_fixed_bytes;
  result_.from_vram_bytes = moves.from_fixed_bytes;
  result_.swap_out_bytes = moves.swap_out_bytes;
  result_.swap_in_bytes = moves.swap_in_bytes;
  result_.cpu_faults = moves.cpu_faults;
  result_.bytes_checked += PagesToBytes(gpu_checked_pages_);
  result_.bytes_wrong += PagesToBytes(gpu_wrong_pages_);
  result_.gpu_faults = gpu_->faults();
  if (result_.gpu_faults != 0) {
    ++result_.rule_violations;
    result_.violations.push_back(Violation{
        "R7", absl::StrCat(result_.gpu_faults, " GPU faults, the first: ",
                           gpu_->fault_records()[0].ToString())});
  }
  result_.simulated_ns = machine_->clock().now_ns();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  result_.peak_rss_bytes = static_cast<uint64_t>(usage.ru_maxrss) * kKiB;
}

}  // namespace

const char* NameOf(DmaExhaustion what) {
  static constexpr const char* kNames[] = {"evict", "purge", "fail"};
  return kNames[static_cast<size_t>(what)];
}

absl::StatusOr<ReplayResult> Replay(const std::string& trace,
                                    const ReplayOptions& options) {
  return Replayer(trace, options).Run();
}

}  // namespace twostep
