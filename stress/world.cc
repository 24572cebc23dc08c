#include "twostep/stress/world.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/machine/page_pattern.h"
#include "twostep/stress/host_snapshot.h"

namespace twostep {
namespace {

// A program does not run further ahead of its GPU than this.
constexpr size_t kMaxJobsInFlight = 64;
constexpr size_t kMaxViolationsKept = 5;

// How often a call that was told no is tried again.
constexpr uint64_t kSecondTries = 8;

uint64_t EvictionsOf(const GpuDevice& gpu_device) {
  if (gpu_device.device == nullptr) return 0;
  uint64_t evictions = 0;
  for (const MemoryType type : {MemoryType::kTt, MemoryType::kVram}) {
    MemoryManager* manager = gpu_device.device->manager(type);
    if (manager != nullptr) evictions += manager->evictions();
  }
  return evictions;
}

// Jobs that faults have made a GPU give up, on this thread.
uint64_t GivenUpHere() {
  return Faults::MadeOnThisThread()[static_cast<int>(FaultKind::kFence)];
}

// Faults of any kind, on this thread.
uint64_t MadeSince(const Faults::Counts& before) {
  const Faults::Counts& now = Faults::MadeOnThisThread();
  uint64_t made = 0;
  for (int i = 0; i < kFaultKinds; ++i) made += now[i] - before[i];
  return made;
}

uint64_t ChecksumOfZeros() {
  static const uint64_t checksum = [] {
    alignas(64) const std::byte zeros[kPageSize] = {};
    return PageChecksum(zeros);
  }();
  return checksum;
}

// With its contents in ordinary frames, and nothing else.
bool IsUnbound(const Stand& stand) {
  return stand.dma == nullptr && !stand.pinned && !stand.purged &&
         stand.memory->kind() == MemoryManager::Kind::kNowhere &&
         stand.home == Pages::Home::kMemory;
}

std::vector<Stand> StandsOf(const std::vector<BoUse>& uses) {
  std::vector<Stand> stands;
  for (const BoUse& use : uses) {
    BufferObject& bo = *use.bo->bo;
    bo.Reserve();
    stands.push_back(StandOf(bo));
    bo.UnreserveUnused();
  }
  return stands;
}

}  // namespace

struct World::Before {
  std::vector<Stand> stands;
  std::optional<HostSnapshot> host;  // where it has one thread
};

WorldOptions WorldOptions::Of(const StressOptions& options) {
  WorldOptions world;
  world.machine = options.machine;
  world.gpu = options.gpu;
  world.backing = options.backing;
  world.observer = options.observer;
  world.faults = options.faults;
  return world;
}

World::World(const WorldOptions& options, Verdict* verdict)
    : options_(options), verdict_(verdict), judge_(options.faults) {
  Expect(SetUp(), "setting up");
}

absl::Status World::SetUp() {
  auto machine = Machine::Create(options_.machine,
                                 MachineOptions{.backing = options_.backing,
                                                .clock = options_.clock,
                                                .faults = options_.faults});
  if (!machine.ok()) return machine.status();
  machine_ = *std::move(machine);
  const PhysicalMemory& memory = machine_->memory();
  for (const Zone zone : {Zone::kDma32, Zone::kNormal}) {
    frames_for_bos_[static_cast<size_t>(zone)] =
        memory.unused_frames(zone) - memory.reserve_frames(zone);
  }
  HostOptions host_options = options_.host;
  // A failure then moves nobody in an order: see HostSnapshot.
  if (options_.alone && judge_.on()) host_options.eviction_policy = "lru";
  if (host_options.misuse_handler == nullptr) {
    host_options.misuse_handler = [this](const Misuse& misuse) {
      Fail(absl::StrCat("misuse: ", misuse.message));
    };
  }
  if (options_.observer != nullptr) {
    host_options.events.callback = [this](const Event& event) {
      options_.observer->Happened(event);
    };
  }
  auto host = Host::Create(*machine_, host_options);
  if (!host.ok()) return host.status();
  host_ = *std::move(host);
  AddDevice(options_.gpu, options_.hooks);
  return absl::OkStatus();
}

GpuDevice* World::AddDevice(const GpuConfig& config, DeviceHooks* hooks) {
  auto device = Device::Create(*host_, config, hooks);
  if (!Expect(device.status(), "a device")) return nullptr;
  auto gpu = MakeModelGpu(**device, options_.queues);
  devices_.push_back(GpuDevice{*std::move(device), std::move(gpu)});
  GpuDevice* const added = &devices_.back();
  if (options_.observer != nullptr) {
    if (added == &first()) {
      options_.observer->Began(*host_, *added->device);
    } else {
      options_.observer->Added(*added->device);
    }
  }
  return added;
}

void World::Remove(GpuDevice& gone) {
  if (options_.observer != nullptr) options_.observer->Leaving(*gone.device);
  evictions_of_the_gone_ += EvictionsOf(gone);
  if (gone.gpu->faults() != 0) {
    Fail(absl::StrCat(gone.gpu->faults(), " GPU faults, the first: ",
                      gone.gpu->fault_records()[0].ToString()));
  }
  gone.gpu.reset();
  gone.device.reset();
}

World::~World() { Finish(); }

KnownBo* World::Make(uint64_t bytes, ClientRef client) {
  Enter();
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
  if (FaultAt(options_.faults, FaultKind::kLost)) {
    Lose(submission.on == nullptr ? first() : *submission.on);
  }
  const bool waits = submission.wait.mode == WaitLimit::Mode::kWait &&
                     submission.wait.deadline == SteadyTime::max();
  const auto submit = [&] {
    return judge_.Absorb(waits, [&] { return SubmitOnce(submission); });
  };
  absl::Status status = submit();
  if (KindOf(status) != ErrorKind::kCannotFit || !waits) return status;
  for (uint64_t tries = 0; tries < kSecondTries; ++tries) {
    WaitForJobs();
    while (host_->ReapGhosts(WaitLimit{})) {
    }
    YieldFor(tries);
    status = submit();
    if (status.ok()) {
      hasty_ += 1;
      return status;
    }
  }
  return status;
}

absl::Status World::SubmitOnce(const Submission& submission) {
  GpuDevice& on = submission.on == nullptr ? first() : *submission.on;
  const uint64_t asked_ns = machine_->clock().now_ns();
  Enter();
  std::optional<Before> before;
  if (judge_.on()) before = Look(on, submission.uses);
  const Faults::Counts made = Faults::MadeOnThisThread();
  Exec exec(*on.device);
  for (const BoUse& use : submission.uses) {
    exec.Add(
        *use.bo->bo, submission.places,
        use.does == BoUse::Does::kWrite ? FenceUse::kWrite : FenceUse::kRead);
  }
  ValidateContext context;
  context.wait = submission.wait;
  absl::Status placed = exec.Run(&context);
  CheckReserve();
  if (submission.moved_bytes != nullptr) {
    *submission.moved_bytes += context.bytes_moved;
  }
  if (!placed.ok()) {
    if (judge_.on()) CheckFailed(submission, *before, MadeSince(made));
    return placed;
  }
  if (submission.in_place) submission.in_place();
  const Fence fence =
      SubmitJob(on, submission.queue, submission.uses, exec.dependencies(),
                {.submission = exec.submission(), .asked_ns = asked_ns});
  exec.Finish(fence);
  NoteOperation();
  NoteJob(fence);
  if (judge_.on() && MadeSince(made) != 0) {
    CheckAbsorbed(submission, *before);
  }
  return placed;
}

void World::Enter() {
  if (!judge_.on()) return;
  static thread_local const char here = 0;
  const void* first = nullptr;
  if (first_thread_.compare_exchange_strong(first, &here) || first == &here) {
    return;
  }
  shared_.store(true);
}

World::Before World::Look(GpuDevice& on, const std::vector<BoUse>& uses) {
  Before before{StandsOf(uses), std::nullopt};
  if (options_.alone) {
    MutexLock lock(mutex_);
    before.host.emplace(*machine_, *host_, *on.device, bos_);
  }
  return before;
}

void World::CheckFailed(const Submission& submission, const Before& before,
                        uint64_t faults) {
  // What a device leaves goes elsewhere, and other threads move things too.
  if (judge_.device_lost() || shared_.load()) return;
  GpuDevice& on = submission.on == nullptr ? first() : *submission.on;
  // What was taken back may only wait for its fence.
  while (options_.alone && host_->ReapGhosts(WaitLimit{})) {
  }
  const Before after = Look(on, submission.uses);
  bool any_moved = false;
  for (size_t i = 0; i < after.stands.size(); ++i) {
    const Stand& was = before.stands[i];
    Stand is = after.stands[i];
    // Contents that came back from swap may stay, and who is not alone may have
    // others swap them.
    if (!options_.alone || was.home == Pages::Home::kSwapped)
      is.home = was.home;
    if (is == was) continue;
    // One of several may have come to where it was asked to be before another
    // failed.
    const bool placed =
        after.stands.size() > 1 &&
        std::any_of(submission.places.begin(), submission.places.end(),
                    [&](const Placement& place) {
                      return on.device->manager(place.memory) == is.memory;
                    });
    // It takes two for a shortage to be told, and as many again to keep it from
    // being bound as it was.
    const bool unbound = faults > 3 && was.dma != nullptr && IsUnbound(is);
    any_moved |= placed || unbound;
    Require(placed || unbound,
            "a failed submission did not leave a bo where it was");
  }
  if (!options_.alone) return;
  looked_after_failed_ += 1;
  CheckRules();
  std::string differs = after.host->OthersDiffer(*before.host, submission.uses);
  if (differs.empty() && !any_moved &&
      after.host->NobodyHadToGo(*before.host)) {
    differs = after.host->AccountsDiffer(*before.host);
  }
  Require(differs.empty(), "a failed submission left: " + differs);
}

void World::CheckAbsorbed(const Submission& submission, const Before& before) {
  if (!options_.alone || judge_.device_lost() || shared_.load()) return;
  GpuDevice& on = submission.on == nullptr ? first() : *submission.on;
  looked_after_absorbed_ += 1;
  CheckRules();
  const Before after = Look(on, submission.uses);
  const std::string differs =
      after.host->OthersDiffer(*before.host, submission.uses);
  Require(differs.empty(), "a fault that was absorbed left: " + differs);
}

Fence World::SubmitJob(GpuDevice& on, int queue, const std::vector<BoUse>& uses,
                       absl::Span<const Fence> dependencies,
                       RunObserver::Job told) {
  std::vector<uint64_t> seeds;
  for (const BoUse& use : uses) seeds.push_back(use.bo->seed);
  uint64_t cost_ns = 0;
  GpuJob job = JobFor(uses, &cost_ns);
  const uint64_t given_up = GivenUpHere();
  const Fence fence = on.gpu->Submit(queue % on.gpu->queues(), std::move(job),
                                     dependencies, cost_ns);
  const bool done = GivenUpHere() == given_up;
  if (!done) judge_.NotePassedOn(FaultKind::kFence);
  for (size_t i = 0; i < uses.size(); ++i) {
    KnownBo& known = *uses[i].bo;
    if (uses[i].does != BoUse::Does::kWrite) continue;
    if (!done) known.seed = seeds[i];
    if (done && KeepsWrites()) known.writes.emplace_back(known.seed, fence);
  }
  told.fence = fence;
  Tell(std::move(told), uses, cost_ns);
  return fence;
}

// Nothing is reserved by this thread: others have what they have until they see
// that the device is gone.
void World::Lose(GpuDevice& gone) {
  judge_.NoteDeviceLost();
  judge_.NotePassedOn(FaultKind::kLost);
  AllowLostJobs();
  gone.gpu->Fail(MakeError(ErrorKind::kDeviceLost, "the GPU is gone"));
  gone.device->Unplug({});
}

absl::StatusOr<Fence> World::Clear(KnownBo* bo, PlacementList places,
                                   int queue) {
  Enter();
  const uint64_t asked_ns = machine_->clock().now_ns();
  Exec exec(device());
  const absl::Status placed = Absorb([&] {
    exec.Add(*bo->bo, places, FenceUse::kWrite);
    ValidateContext context;
    return exec.Run(&context);
  });
  if (!placed.ok()) return placed;
  GpuJob job;
  if (backed()) job.steps.emplace_back(GpuFill{RunsOf(*bo->bo)});
  const uint64_t given_up = GivenUpHere();
  const Fence fence =
      gpu().Submit(queue % gpu().queues(), std::move(job), exec.dependencies(),
                   machine_->cost().job_latency_ns);
  Tell({.submission = exec.submission(), .fence = fence, .asked_ns = asked_ns},
       {{bo}}, machine_->cost().job_latency_ns);
  if (GivenUpHere() == given_up) {
    bo->seed = 0;
  } else {
    judge_.NotePassedOn(FaultKind::kFence);
  }
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
    if (!backed()) continue;
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

void World::Tell(RunObserver::Job job, const std::vector<BoUse>& uses,
                 uint64_t cost_ns) {
  if (options_.observer == nullptr) return;
  // Another thread may have queued in between: only the fence knows.
  const uint64_t due_ns = job.fence.timeline == nullptr
                              ? 0
                              : job.fence.timeline->DueNs(job.fence.point);
  job.ends_ns = due_ns == 0 ? machine_->clock().now_ns() : due_ns;
  job.starts_ns =
      due_ns == 0 ? job.ends_ns : job.ends_ns - std::min(cost_ns, job.ends_ns);
  for (const BoUse& use : uses) {
    job.uses.push_back({use.bo->bo->id(), use.does == BoUse::Does::kWrite});
  }
  options_.observer->Submitted(job);
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
  AwaitJob(oldest);
}

void World::AwaitJob(const Fence& fence) {
  const absl::Status ended = WaitFor(fence, WaitLimit{});
  if (may_lose_jobs_.load() && KindOf(ended) == ErrorKind::kDeviceLost) {
    lost_jobs_ += 1;
    return;
  }
  Expect(ended, "a job");
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
    AwaitJob(fence);
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
  if (judge_.device_lost()) {
    // What could not be brought home is dropped, and says so.
    const bool gone =
        bo.bo->purged() || !WaitForCpu(*bo.bo, Access::kRead).ok();
    return CheckAfterLoss(bo, gone);
  }
  auto mapping = CpuMapping::Create(bo.bo);
  if (Expect(mapping.status(), "mapping a bo")) CheckThrough(**mapping, bo);
}

bool World::TouchAll(CpuMapping& mapping, BufferObject& bo, Access access) {
  Enter();
  const absl::Status idle = WaitForCpu(bo, access);
  // It is told of a job that was given up: its bytes are known all the same.
  if (!Expect(idle, "waiting for the bytes of a bo") && !judge_.Excuses(idle)) {
    return false;
  }
  // Backed, the rest comes as it is used; but nobody can call that again.
  const PageCount pages = backed() && !judge_.on() ? 1 : bo.page_count();
  return Expect(Absorb([&] {
                  return mapping.Touch(PageRange{0, pages}, access);
                }),
                access == Access::kRead ? "reading a bo" : "writing a bo");
}

void World::CheckThrough(CpuMapping& mapping, const KnownBo& known) {
  // What is left then is looked at in the end.
  if (judge_.device_lost()) return;
  if (!TouchAll(mapping, *known.bo, Access::kRead)) return;
  NoteOperation();
  if (!backed()) return;
  const Faults::Quiet quiet;
  checked_pages_.fetch_add(known.bo->page_count());
  const uint64_t wrong = Wrong(known, mapping.data());
  if (wrong == 0) return;
  MutexLock lock(mutex_);
  verdict_->bytes_wrong += wrong;
}

void World::WriteThrough(CpuMapping& mapping, KnownBo* known) {
  const PageCount pages = known->bo->page_count();
  if (!TouchAll(mapping, *known->bo, Access::kWrite)) return;
  NoteOperation();
  known->seed = next_seed_.fetch_add(1);
  if (KeepsWrites()) known->writes.emplace_back(known->seed, Fence{});
  const Faults::Quiet quiet;
  for (PageCount page = 0; backed() && page < pages; ++page) {
    FillPattern(known->seed, page, mapping.data() + PagesToBytes(page));
  }
}

void World::CheckPage(const std::byte* bytes, uint64_t seed, PageCount page) {
  if (!backed()) return;
  checked_pages_ += 1;
  const uint64_t expected =
      seed == 0 ? ChecksumOfZeros() : PatternChecksum(seed, page);
  if (bytes == nullptr || PageChecksum(bytes) != expected) wrong_pages_ += 1;
}

void World::CheckAfterLoss(const KnownBo& known, bool may_be_gone) {
  auto mapping = CpuMapping::Create(known.bo);
  if (!Expect(mapping.status(), "mapping a bo") || !backed()) return;
  const Faults::Quiet quiet;
  const std::byte* is = (*mapping)->data();
  uint64_t seed = known.writes.empty() ? known.seed : 0;
  for (size_t i = known.writes.size(); i-- > 0 && seed == 0;) {
    const auto& [written, fence] = known.writes[i];
    if (fence.Error().ok() || PageChecksum(is) == PatternChecksum(written, 0)) {
      seed = written;
    }
  }
  if (may_be_gone && PageChecksum(is) == ChecksumOfZeros()) seed = 0;
  for (PageCount page = 0; page < known.bo->page_count(); ++page) {
    CheckPage(is + PagesToBytes(page), seed, page);
  }
}

void World::Fail(const std::string& what) {
  if (failures_.fetch_add(1) != 0) return;
  MutexLock lock(mutex_);
  verdict_->first_failure = what;
}

void World::CheckReserve() {
  const PhysicalMemory& memory = machine_->memory();
  for (const Zone zone : {Zone::kDma32, Zone::kNormal}) {
    Require(
        memory.used_frames(zone) <= frames_for_bos_[static_cast<size_t>(zone)],
        "bos have frames of the host's reserve");
  }
}

void World::CheckRules() {
  CheckReserve();
  for (Violation& violation : Audit::Run(*host_)) {
    ++verdict_->rule_violations;
    if (verdict_->violations.size() < kMaxViolationsKept) {
      verdict_->violations.push_back(std::move(violation));
    }
  }
}

uint64_t World::gpu_evictions() const {
  uint64_t evictions = evictions_of_the_gone_;
  for (const GpuDevice& one : devices_) evictions += EvictionsOf(one);
  return evictions;
}

uint64_t World::dma_evictions() const {
  uint64_t evictions = 0;
  for (DmaBinder* binder : host_->Binders()) {
    evictions += binder->stats().evictions;
  }
  return evictions;
}

uint64_t World::LeftBehind() {
  uint64_t left = machine_->memory().used_frames(Zone::kDma32) +
                  machine_->memory().used_frames(Zone::kNormal) +
                  machine_->swap().used_pages() +
                  machine_->bounce_pool().used_frames() +
                  machine_->coherent_pool().used_frames() +
                  machine_->cma().used_frames() + host_->bo_count();
  for (uint32_t number = 0; number < machine_->domains(); ++number) {
    const DmaDomain& domain = machine_->domain(number);
    left += domain.direct_pages();
    if (domain.translated()) left += domain.used_iova_pages();
  }
  return left;
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
    verdict_->dma_evictions += dma_evictions();
    bos.clear();
    while (host_->ReapGhosts(WaitLimit{})) {
    }
    CheckRules();
    const uint64_t left = LeftBehind();
    if (left != 0) {
      Fail(absl::StrCat(left,
                        " frames, addresses, swap slots or bos left "
                        "behind"));
    }
    if (options_.observer != nullptr) options_.observer->Ending();
    for (GpuDevice& one : devices_) {
      if (one.device != nullptr) Remove(one);
    }
  }
  devices_.clear();
  host_.reset();
  verdict_->operations += operations_.exchange(0);
  verdict_->failures += failures_.exchange(0);
  verdict_->hasty += hasty_.exchange(0);
  verdict_->looked_after_failed += looked_after_failed_.exchange(0);
  verdict_->looked_after_absorbed += looked_after_absorbed_.exchange(0);
  judge_.MoveTo(verdict_);
  verdict_->bytes_checked += PagesToBytes(checked_pages_.exchange(0));
  // Of a wrong page at least one byte is.
  verdict_->bytes_wrong += wrong_pages_.exchange(0);
  machine_.reset();
}

}  // namespace twostep
