#include "twostep/stress/world.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/machine/page_pattern.h"

namespace twostep {
namespace {

// A program does not run further ahead of its GPU than this.
constexpr size_t kMaxJobsInFlight = 64;
constexpr size_t kMaxViolationsKept = 5;

uint64_t ChecksumOfZeros() {
  static const uint64_t checksum = [] {
    alignas(64) const std::byte zeros[kPageSize] = {};
    return PageChecksum(zeros);
  }();
  return checksum;
}

}  // namespace

WorldOptions WorldOptions::Of(const StressOptions& options) {
  WorldOptions world;
  world.machine = options.machine;
  world.gpu = options.gpu;
  world.backing = options.backing;
  return world;
}

World::World(const WorldOptions& options, Verdict* verdict)
    : options_(options), verdict_(verdict) {
  Expect(SetUp(), "setting up");
}

absl::Status World::SetUp() {
  auto machine = Machine::Create(
      options_.machine, MachineOptions{options_.backing, options_.clock});
  if (!machine.ok()) return machine.status();
  machine_ = *std::move(machine);
  HostOptions host_options = options_.host;
  host_options.misuse_handler = [this](const Misuse& misuse) {
    Fail(absl::StrCat("misuse: ", misuse.message));
  };
  auto host = Host::Create(*machine_, host_options);
  if (!host.ok()) return host.status();
  host_ = *std::move(host);
  auto device = Device::Create(*host_, options_.gpu, options_.hooks);
  if (!device.ok()) return device.status();
  device_ = *std::move(device);
  gpu_ = MakeModelGpu(*device_, options_.queues);
  return absl::OkStatus();
}

World::~World() { Finish(); }

KnownBo* World::Make(uint64_t bytes, ClientRef client) {
  auto bo = host_->CreateBo(bytes, std::move(client));
  if (!Expect(bo.status(), "creating a bo")) return nullptr;
  MutexLock lock(mutex_);
  bos_.push_back(KnownBo{*std::move(bo)});
  return &bos_.back();
}

void World::Drop(KnownBo* bo) {
  std::list<KnownBo> gone;
  MutexLock lock(mutex_);
  const auto at = std::find_if(bos_.begin(), bos_.end(),
                               [bo](const KnownBo& is) { return &is == bo; });
  gone.splice(gone.begin(), bos_, at);
}

absl::Status World::Submit(const Submission& submission) {
  Exec exec(*device_);
  for (const BoUse& use : submission.uses) {
    exec.Add(
        *use.bo->bo, submission.places,
        use.does == BoUse::Does::kWrite ? FenceUse::kWrite : FenceUse::kRead);
  }
  ValidateContext context;
  context.wait = submission.wait;
  absl::Status placed = exec.Run(&context);
  if (submission.moved_bytes != nullptr) {
    *submission.moved_bytes += context.bytes_moved;
  }
  if (!placed.ok()) return placed;
  uint64_t cost_ns = 0;
  GpuJob job = JobFor(submission.uses, &cost_ns);
  const Fence fence =
      gpu_->Submit(submission.queue % gpu_->queues(), std::move(job),
                   exec.dependencies(), cost_ns);
  exec.Finish(fence);
  NoteOperation();
  NoteJob(fence);
  return placed;
}

absl::StatusOr<Fence> World::Clear(KnownBo* bo, PlacementList places,
                                   int queue) {
  Exec exec(*device_);
  exec.Add(*bo->bo, places, FenceUse::kWrite);
  ValidateContext context;
  absl::Status placed = exec.Run(&context);
  if (!placed.ok()) return placed;
  GpuJob job;
  if (gpu_->executes()) job.steps.emplace_back(GpuFill{RunsOf(*bo->bo)});
  bo->seed = 0;
  const Fence fence =
      gpu_->Submit(queue % gpu_->queues(), std::move(job), exec.dependencies(),
                   machine_->cost().job_latency_ns);
  exec.Finish(fence);
  NoteOperation();
  NoteJob(fence);
  return fence;
}

GpuJob World::JobFor(const std::vector<BoUse>& uses, uint64_t* cost_ns) {
  GpuJob job;
  uint64_t vram_bytes = 0;
  uint64_t bus_bytes = 0;
  for (const BoUse& use : uses) {
    if (use.does == BoUse::Does::kHold) continue;
    KnownBo& known = *use.bo;
    (known.bo->manager().fixed() ? vram_bytes : bus_bytes) +=
        known.bo->size_bytes();
    if (!gpu_->executes()) continue;
    GpuVerify verify{RunsOf(*known.bo), {}, &checked_pages_, &wrong_pages_};
    verify.expected.reserve(known.bo->page_count());
    for (PageCount page = 0; page < known.bo->page_count(); ++page) {
      verify.expected.push_back(known.seed == 0
                                    ? ChecksumOfZeros()
                                    : PatternChecksum(known.seed, page));
    }
    job.steps.emplace_back(std::move(verify));
    if (use.does != BoUse::Does::kWrite) continue;
    known.seed = next_seed_.fetch_add(1);
    job.steps.emplace_back(GpuPattern{RunsOf(*known.bo), known.seed});
  }
  *cost_ns = JobCostNs(machine_->cost(), vram_bytes, bus_bytes);
  return job;
}

void World::NoteJob(const Fence& fence) {
  Fence oldest;
  {
    MutexLock lock(mutex_);
    in_flight_.push_back(fence);
    if (in_flight_.size() <= kMaxJobsInFlight) return;
    oldest = in_flight_.front();
    in_flight_.pop_front();
  }
  Expect(WaitFor(oldest, WaitLimit{}), "a job");
}

void World::WaitForJobs() {
  for (;;) {
    Fence fence;
    {
      MutexLock lock(mutex_);
      if (in_flight_.empty()) return;
      fence = in_flight_.front();
      in_flight_.pop_front();
    }
    Expect(WaitFor(fence, WaitLimit{}), "a job");
  }
}

uint64_t World::Wrong(const KnownBo& bo, const std::byte* bytes) const {
  alignas(64) std::byte page_bytes[kPageSize] = {};
  uint64_t wrong = 0;
  for (PageCount page = 0; page < bo.bo->page_count(); ++page) {
    if (bo.seed != 0) FillPattern(bo.seed, page, page_bytes);
    const std::byte* is = bytes + PagesToBytes(page);
    if (std::memcmp(is, page_bytes, kPageSize) == 0) continue;
    for (uint64_t i = 0; i < kPageSize; ++i) wrong += is[i] != page_bytes[i];
  }
  return wrong;
}

void World::CheckByCpu(KnownBo& bo) {
  auto mapping = CpuMapping::Create(bo.bo);
  if (!Expect(mapping.status(), "mapping a bo") ||
      !Expect(WaitForCpu(*bo.bo, Access::kRead),
              "waiting for the bytes of a bo") ||
      !Expect(
          (*mapping)->Touch(PageRange{0, backed() ? 1 : bo.bo->page_count()},
                            Access::kRead),
          "reading a bo")) {
    return;
  }
  NoteOperation();
  if (!backed()) return;
  checked_pages_.fetch_add(bo.bo->page_count());
  const uint64_t wrong = Wrong(bo, (*mapping)->data());
  if (wrong == 0) return;
  MutexLock lock(mutex_);
  verdict_->bytes_wrong += wrong;
}

void World::Fail(const std::string& what) {
  if (failures_.fetch_add(1) != 0) return;
  MutexLock lock(mutex_);
  verdict_->first_failure = what;
}

void World::CheckRules() {
  for (Violation& violation : Audit::Run(*host_)) {
    ++verdict_->rule_violations;
    if (verdict_->violations.size() < kMaxViolationsKept) {
      verdict_->violations.push_back(std::move(violation));
    }
  }
}

uint64_t World::gpu_evictions() const {
  uint64_t evictions = 0;
  for (const MemoryType type : {MemoryType::kTt, MemoryType::kVram}) {
    MemoryManager* manager = device_->manager(type);
    if (manager != nullptr) evictions += manager->evictions();
  }
  return evictions;
}

void World::Finish() {
  if (ok()) {
    WaitForJobs();
    CheckRules();
    std::list<KnownBo> bos;
    {
      MutexLock lock(mutex_);
      bos.swap(bos_);
    }
    for (KnownBo& bo : bos) CheckByCpu(bo);
    CheckRules();
    verdict_->gpu_evictions += gpu_evictions();
    for (DmaBinder* binder : host_->Binders()) {
      verdict_->dma_evictions += binder->stats().evictions;
    }
    if (gpu_->faults() != 0) {
      Fail(absl::StrCat(gpu_->faults(), " GPU faults, the first: ",
                        gpu_->fault_records()[0].ToString()));
    }
    bos.clear();
    while (host_->ReapGhosts(WaitLimit{})) {
    }
    CheckRules();
    const uint64_t left = machine_->memory().used_frames(Zone::kDma32) +
                          machine_->memory().used_frames(Zone::kNormal) +
                          machine_->swap().used_pages() + host_->bo_count();
    if (left != 0) {
      Fail(absl::StrCat(left, " frames, swap slots or bos left behind"));
    }
  }
  gpu_.reset();
  device_.reset();
  host_.reset();
  verdict_->operations += operations_.exchange(0);
  verdict_->failures += failures_.exchange(0);
  verdict_->bytes_checked += PagesToBytes(checked_pages_.exchange(0));
  // Of a wrong page at least one byte is.
  verdict_->bytes_wrong += wrong_pages_.exchange(0);
  machine_.reset();
}

}  // namespace twostep
