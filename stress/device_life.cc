// Devices that go, for good or for a while, under threads that use them and
// another one, with clients at their limits and host memory short.

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/stress/families.h"
#include "twostep/stress/small_world.h"
#include "twostep/stress/threads.h"

namespace twostep {
namespace {

constexpr int kThreads = 3;
// Each has bos of its own.
constexpr int kMostThreads = 16;
constexpr uint64_t kBoBytes = 64 * kKiB;
constexpr size_t kBos = 48;
constexpr PageCount kBoPages = kBoBytes >> kPageShift;

// A driver whose GPU stops with its device, and with it a ring on which
// something hangs.
class MortalDriver final : public TwoTierDriver {
 public:
  using TwoTierDriver::TwoTierDriver;
  void SetUp(World& world, ModelGpu& gpu) {
    gpu_ = &gpu;
    ring_ = &world.machine().NewTimeline("ring");
  }
  Timeline& ring() { return *ring_; }
  void Lost(const absl::Status& error) override {
    // In this order: what waits for the ring does not begin any more.
    gpu_->Fail(error);
    ring_->Fail(error);
  }

 private:
  ModelGpu* gpu_ = nullptr;
  Timeline* ring_ = nullptr;
};

WorldOptions LifeOptions(const StressOptions& options, DeviceHooks* hooks) {
  WorldOptions world = SmallWorldOptions(options);
  std::mt19937_64 random(options.seed + 1);
  world.clock = random() % 2 != 0 ? Clock::Kind::kVirtual : Clock::Kind::kReal;
  world.gpu.aperture_bytes = 8 * kMiB;
  world.gpu.coherent = random() % 2 != 0;
  world.machine.swap_medium =
      random() % 2 != 0 ? SwapMedium::kMemory : SwapMedium::kFile;
  world.machine.reserve_bytes = 256 * kKiB;
  world.machine.low_watermark_bytes = 256 * kKiB;
  world.machine.high_watermark_bytes = kMiB / 2;
  // Two thirds of all bos.
  if (random() % 2 != 0) world.machine.page_limit_bytes = 2 * kMiB;
  world.queues = kThreads;
  world.hooks = hooks;
  world.keep_writes = true;
  return world;
}

// The device that goes, one that stays, and bos: those that the jobs of either
// write, which the other does not use, and those that both have. So whatever
// goes down with the one, what the jobs of the other find is known.
class DeviceLife {
 public:
  DeviceLife(const StressOptions& options, Verdict* verdict)
      : seed_(options.seed),
        threads_(options.ThreadsOr(kThreads, 1, kMostThreads)),
        random_(options.seed),
        driver_(SmallWorldDmaType(options.seed)),
        other_driver_(SmallWorldDmaType(options.seed)),
        world_(LifeOptions(options, &driver_), verdict) {}

  void PlayHotUnplug();
  void PlaySuspendResume();
  void PlayBothGo();

 private:
  enum class Goes : uint8_t { kUnplugged, kAsleep };

  bool SetUp() {
    if (!world_.ok()) return false;
    driver_.SetUp(world_, world_.gpu());
    GpuConfig config = LifeOptions(StressOptions{.seed = seed_}, nullptr).gpu;
    config.name = "gpu1";
    other_ = world_.AddDevice(config, &other_driver_);
    if (other_ != nullptr) other_driver_.SetUp(world_, *other_->gpu);
    // Half of what its bos need, of everything.
    constexpr Budget kHalf{.max_pages = kBos / 4 * kBoPages};
    auto client = world_.host().CreateClient(
        {.name = "a", .host = kHalf, .dma = kHalf, .device = kHalf});
    if (other_ == nullptr || !world_.Expect(client.status(), "a client")) {
      return false;
    }
    for (size_t i = 0; i < kBos; ++i) {
      KnownBo* bo = world_.Make(kBoBytes, i % 2 != 0 ? *client : nullptr);
      if (bo == nullptr) return false;
      auto mapping = CpuMapping::Create(bo->bo);
      if (!world_.Expect(mapping.status(), "mapping a bo")) return false;
      world_.WriteThrough(**mapping, bo);
      (i % 3 == 0 ? shared_ : i % 3 == 1 ? own_ : others_).push_back(bo);
    }
    return true;
  }

  // One submission of a few bos to either device.
  absl::Status Submit(int thread, bool to_other, std::mt19937_64& random) {
    static constexpr Placement kDesired{.memory = MemoryType::kVram,
                                        .use = Placement::Use::kDesired};
    static constexpr DmaType kTypes[] = {DmaType::kNone, DmaType::kDynamic,
                                         DmaType::kCoherent};
    const Placement places[] = {kDesired, InTt(kTypes[random() % 3])};
    Submission submission{
        .queue = thread, .places = places, .on = to_other ? other_ : nullptr};
    const KnownBoList& written = to_other ? others_ : own_;
    for (int i = 0; i < 3; ++i) {
      const bool write = random() % 2 == 0;
      const KnownBoList& bos = write ? written : shared_;
      KnownBo* bo = bos[random() % bos.size()];
      if (std::any_of(submission.uses.begin(), submission.uses.end(),
                      [bo](const BoUse& use) { return use.bo == bo; })) {
        continue;
      }
      submission.uses.push_back({bo, write      ? BoUse::Does::kWrite
                                     : to_other ? others_do_
                                                : BoUse::Does::kRead});
    }
    return world_.Submit(submission);
  }
  Device& DeviceOf(bool other) {
    return other ? *other_->device : world_.device();
  }
  // Whether that is what a device that goes may say, to a call that began when
  // it had been away `before` times: that it is away, while it is.
  bool MayBe(const absl::Status& status, bool other, uint64_t before) {
    if (before % 2 == 0 && away_[other].load() == before) return false;
    const ErrorKind kind = KindOf(status);
    return kind == ErrorKind::kDeviceLost
               ? goes_[other] == Goes::kUnplugged
               : kind == ErrorKind::kBusy && goes_[other] == Goes::kAsleep &&
                     status.message() == DeviceOf(other).name() +
                                             " is suspended: resume it first";
  }
  // Until told to stop.
  void Work(int thread) {
    std::mt19937_64 random(seed_ * 64 + static_cast<uint64_t>(thread));
    while (!stop_.load() && !world_.failed()) {
      const bool to_other = random() % 3 == 0;
      const uint64_t before = away_[to_other].load();
      const absl::Status status = Submit(thread, to_other, random);
      if (status.ok()) {
        submits_ += 1;
      } else if (!MayBe(status, to_other, before)) {
        world_.Expect(status, "a submission");
      } else {
        refused_ += 1;
      }
      if (random() % 4 == 0) {
        auto mapping =
            CpuMapping::Create(shared_[random() % shared_.size()]->bo);
        if (!world_.Expect(mapping.status(), "mapping a bo")) return;
        // Where the contents are on their way to be lost there is an error.
        (*mapping)->Touch(PageRange{0, 1}, Access::kRead).IgnoreError();
      }
      if (random() % 8 == 0) world_.host().Shrink(kBoPages);
    }
  }
  // Lets threads work while `body` does what it is there for.
  template <typename Body>
  void WhileAtWork(Body body) {
    OnThreads(threads_ + 1, [&](int t) {
      if (t < threads_) return Work(t);
      body();
      stop_.store(true);
    });
  }
  void AwaitMore(const Atomic<uint64_t>& count, uint64_t more) {
    const uint64_t before = count.load();
    for (uint64_t rounds = 0; count.load() < before + more && !world_.failed();
         ++rounds) {
      YieldFor(rounds);
    }
  }
  // Work for the device that will not end by itself: what is queued behind it
  // is pending when the device goes.
  void Hang() {
    const Fence never =
        driver_.ring().Emit(world_.machine().clock().now_ns() + 1000);
    for (int queue = 0; queue < kThreads; ++queue) {
      world_.NoteJob(world_.gpu().Submit(queue, GpuJob{}, {&never, 1}, 1000));
    }
  }

  const uint64_t seed_;
  const int threads_;
  std::mt19937_64 random_;
  MortalDriver driver_;
  MortalDriver other_driver_;
  World world_;
  GpuDevice* other_ = nullptr;
  KnownBoList shared_;
  KnownBoList own_;
  KnownBoList others_;
  // The other device's jobs, with bos that both have.
  BoUse::Does others_do_ = BoUse::Does::kRead;
  Atomic<bool> stop_{false};
  // Of either: what it does, and how often, odd from before it goes until it
  // has come back. Never, as it is.
  Goes goes_[2] = {Goes::kUnplugged, Goes::kUnplugged};
  Atomic<uint64_t> away_[2] = {0, 0};
  Atomic<uint64_t> submits_{0};
  Atomic<uint64_t> refused_{0};
};

void DeviceLife::PlayHotUnplug() {
  if (!SetUp()) return;
  const Unplugging how{random_() % 4 == 0 ? Unplugging::Contents::kDrop
                                          : Unplugging::Contents::kBringHome,
                       random_() % 2 != 0 ? Unplugging::CopyEngine::kGone
                                          : Unplugging::CopyEngine::kWorks};
  world_.AllowLostJobs();
  // Perhaps they are empty by then.
  others_do_ = BoUse::Does::kHold;
  Device& device = world_.device();
  WhileAtWork([&] {
    AwaitMore(submits_, 5 + random_() % 40);
    Hang();
    // Some may come to wait for what hangs; until then they go on.
    for (uint64_t rounds = 0; rounds < 20 + random_() % 20; ++rounds) {
      YieldFor(rounds);
    }
    away_[0] += 1;
    device.Unplug(how);
    AwaitMore(refused_, 6);
    AwaitMore(submits_, 6);
  });
  world_.WaitForJobs();
  world_.CheckRules();
  // Where nothing is done, nothing hangs.
  world_.Require(!world_.backed() || world_.lost_jobs() >= kThreads,
                 absl::StrCat(world_.lost_jobs(),
                              " fences ended with an error when it went"));
  for (const MemoryType type : {MemoryType::kTt, MemoryType::kVram}) {
    world_.Require(device.manager(type)->used_pages() == 0,
                   "something is left on the device that is gone");
  }
  const bool may_lose = how.contents == Unplugging::Contents::kDrop ||
                        how.engine == Unplugging::CopyEngine::kGone;
  for (const KnownBoList* bos : {&shared_, &own_}) {
    for (KnownBo* bo : *bos) {
      world_.Require(bo->bo->device() != &device, "a bo is still its device's");
      world_.Require(may_lose || !bo->bo->purged(),
                     "contents were lost that could be had");
      // Dropped; or on its way when the copy engine went. Either is told.
      const bool told =
          bo->bo->purged() || !WaitForCpu(*bo->bo, Access::kRead).ok();
      world_.CheckAfterLoss(*bo, may_lose && told);
      world_.Drop(bo);
    }
  }
  world_.CheckRules();
}

void DeviceLife::PlaySuspendResume() {
  if (!SetUp()) return;
  // They stay where they are, so nobody asks for them elsewhere.
  constexpr size_t kPinned = 4;
  const KnownBoList pinned(own_.begin(), own_.begin() + kPinned);
  own_.erase(own_.begin(), own_.begin() + kPinned);
  std::vector<PageCount> at;
  for (KnownBo* bo : pinned) {
    if (!world_.Expect(world_.Submit({.uses = {{bo}}, .places = {&kInVram, 1}}),
                       "a bo to pin")) {
      return;
    }
    bo->bo->Reserve();
    bo->bo->Pin();
    bo->bo->Unreserve();
    at.push_back(bo->bo->start_page());
  }
  Device& device = world_.device();
  goes_[0] = Goes::kAsleep;
  WhileAtWork([&] {
    for (int round = 0; round < 3 && !world_.failed(); ++round) {
      AwaitMore(submits_, 3 + random_() % 10);
      away_[0] += 1;
      if (!world_.Expect(world_.Absorb([&] { return device.Suspend(); }),
                         "suspending")) {
        return;
      }
      AwaitMore(refused_, 3);
      world_.Require(device.manager(MemoryType::kVram)->used_pages() ==
                             kPinned * kBoPages &&
                         device.manager(MemoryType::kTt)->used_pages() == 0,
                     "more is left on it than what is pinned");
      if (!world_.Expect(world_.Absorb([&] { return device.Resume(); }),
                         "resuming")) {
        return;
      }
      away_[0] += 1;
    }
    AwaitMore(submits_, 3);
  });
  world_.CheckRules();
  for (size_t i = 0; i < kPinned; ++i) {
    BufferObject& bo = *pinned[i]->bo;
    world_.Require(bo.start_page() == at[i], "a pinned bo is elsewhere");
    world_.Expect(world_.Submit({.uses = {{pinned[i], BoUse::Does::kRead}},
                                 .places = {&kInVram, 1}}),
                  "a pinned bo");
    bo.Reserve();
    bo.Unpin();
    bo.Unreserve();
  }
}

// Each goes through all bos, and meets the other one at it.
void DeviceLife::PlayBothGo() {
  if (!SetUp()) return;
  const uint64_t how = random_() % 3;
  goes_[0] = how == 0 ? Goes::kUnplugged : Goes::kAsleep;
  goes_[1] = how == 2 ? Goes::kAsleep : Goes::kUnplugged;
  world_.AllowLostJobs();
  constexpr int kRounds = 3;
  Atomic<int> met{0};
  const auto go = [&](bool other) {
    Device& device = DeviceOf(other);
    for (int round = 0; round < kRounds && !world_.failed(); ++round) {
      // Those that go once go with the other's first time.
      if (round == 0) {
        AwaitMore(submits_, 5);
        met += 1;
        for (uint64_t rounds = 0; met.load() < 2 && !world_.failed();
             ++rounds) {
          YieldFor(rounds);
        }
      }
      away_[other] += 1;
      if (goes_[other] == Goes::kUnplugged) {
        device.Unplug(
            {Unplugging::Contents::kBringHome, Unplugging::CopyEngine::kWorks});
        return;
      }
      if (!world_.Expect(device.Suspend(), "suspending")) return;
      if (!world_.Expect(device.Resume(), "resuming")) return;
      away_[other] += 1;
    }
  };
  WhileAtWork([&] { OnThreads(2, [&](int t) { go(t != 0); }); });
  world_.WaitForJobs();
  world_.CheckRules();
  for (const bool other : {false, true}) {
    if (goes_[other] == Goes::kAsleep) continue;
    for (const MemoryType type : {MemoryType::kTt, MemoryType::kVram}) {
      world_.Require(DeviceOf(other).manager(type)->used_pages() == 0,
                     "something is left on a device that is gone");
    }
  }
  for (const KnownBoList* bos : {&shared_, &own_, &others_}) {
    for (KnownBo* bo : *bos) {
      world_.Require(!bo->bo->purged(), "contents were lost that could be had");
      world_.CheckAfterLoss(*bo, /*may_be_gone=*/false);
      world_.Drop(bo);
    }
  }
  world_.CheckRules();
}

}  // namespace

void AddDeviceLife(std::vector<Scenario>* scenarios) {
  scenarios->push_back(
      {"twostep", "hot-unplug",
       "a device goes with work under way: its fences end, bos come home or "
       "are dropped, others go on",
       [](const StressOptions& options, Verdict* verdict) {
         DeviceLife(options, verdict).PlayHotUnplug();
       },
       // The same, with its own demands on what may be lost.
       FaultsOf({FaultKind::kFrame, FaultKind::kIova, FaultKind::kSlot,
                 FaultKind::kCma, FaultKind::kCoherent, FaultKind::kTable,
                 FaultKind::kBackoff, FaultKind::kFence})});
  scenarios->push_back(
      {"twostep", "suspend-resume",
       "a device sleeps under load and VRAM loses its bytes: all come back",
       [](const StressOptions& options, Verdict* verdict) {
         DeviceLife(options, verdict).PlaySuspendResume();
       },
       kAllFaultsButLost});
  scenarios->push_back(
      {"twostep", "both-devices-go",
       "two devices that share bos are unplugged, or sleep, at the same moment",
       [](const StressOptions& options, Verdict* verdict) {
         DeviceLife(options, verdict).PlayBothGo();
       }});
}

}  // namespace twostep
