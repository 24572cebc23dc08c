// Who shares a DMA unit: two drivers behind one IOMMU, and four guests over one
// host.

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/stress/families.h"
#include "twostep/stress/small_world.h"
#include "twostep/stress/threads.h"

namespace twostep {
namespace {

// --- two-drivers-one-iommu ---
// 32 MiB of IOVAs and working sets of 24 MiB, or an eighth of them. Each driver
// is a client whose protected share of the space is half of it. They run side
// by side in virtual time, and what each gets done is measured by what it gets
// done alone.

constexpr FullSize kIova = {.bytes = 32 * kMiB, .backed = 4 * kMiB};
constexpr uint64_t kRunNsPerMib = 750'000;  // of IOVAs
constexpr double kLeastJain = 0.9;
constexpr double kLeastProgress = 0.3;
constexpr Placement kStreamed = InTt(DmaType::kDynamic);

struct Behaviour {
  uint64_t bo_bytes;
  uint64_t job_ns;  // on its own device, between two validations
  size_t stride;    // which bo is next, of its set: in the end all are
};

// Steady ones, hasty ones with ten times as many jobs, and ones with few large
// bos; no two quite alike.
Behaviour SomeBehaviour(std::mt19937_64* random) {
  const uint64_t chance = (*random)();
  const uint64_t tenths = 8 + (chance >> 8) % 5;
  switch (chance % 3) {
    case 0:
      return {32 * kKiB, 2000 * tenths, 1};
    case 1:
      return {8 * kKiB, 200 * tenths, (chance >> 16) % 2 == 0 ? 1u : 7u};
    default:
      return {256 * kKiB, 5000 * tenths, 5};
  }
}

uint64_t SetBytes(const StressOptions& options) {
  return kIova.In(options) / 4 * 3;
}

uint64_t RunNs(const StressOptions& options) {
  return kIova.In(options) / kMiB * kRunNsPerMib;
}

WorldOptions TwoDriversOptions(const StressOptions& options) {
  WorldOptions world = SmallWorldOptions(options);
  world.machine.dma32_bytes = 4 * kIova.In(options);
  world.machine.normal_bytes = 0;
  world.machine.iommu.mode = IommuMode::kTranslated;
  world.machine.iommu.iova_bytes = kIova.In(options);
  world.gpu.vram_bytes = 0;
  world.gpu.vram_visible_bytes = GpuConfig::kAllOfIt;
  world.gpu.aperture_bytes = 2 * SetBytes(options);
  return world;
}

// A driver, its client, and its own clock: what it has used of the CPU and of
// its device.
class TwoStepDriver {
 public:
  TwoStepDriver(World* world, const StressOptions& of, const std::string& name,
                const Behaviour& behaviour, uint64_t protected_bytes)
      : world_(*world), behaviour_(behaviour) {
    GpuConfig config = TwoDriversOptions(of).gpu;
    config.name = name;
    on_ = world_.AddDevice(config);
    ClientOptions options{.name = name};
    options.dma.low_pages = protected_bytes >> kPageShift;
    auto client = world_.host().CreateClient(options);
    if (!world_.Expect(client.status(), "a client") || on_ == nullptr) return;
    client_ = *client;
    for (uint64_t at = 0; at < SetBytes(of); at += behaviour.bo_bytes) {
      KnownBo* bo = world_.Make(behaviour.bo_bytes, client_);
      if (bo == nullptr) return;
      auto mapping = CpuMapping::Create(bo->bo);
      if (!world_.Expect(mapping.status(), "mapping a bo")) return;
      world_.WriteThrough(**mapping, bo);
      bos_.push_back(bo);
    }
  }

  // One job: its bo in place, and its device at work on it, which sees the
  // bytes of its own bo.
  void Step() {
    const uint64_t start = world_.machine().clock().now_ns();
    KnownBo& known = *bos_[next_];
    next_ = (next_ + behaviour_.stride) % bos_.size();
    BufferObject& bo = *known.bo;
    ValidateContext context;
    bo.Reserve();
    const absl::Status status =
        on_->device->Validate(bo, {&kStreamed, 1}, &context);
    if (world_.Expect(status, "a job's bo")) {
      const auto page = static_cast<PageCount>(jobs_ % bo.page_count());
      world_.CheckPage(
          on_->device->port().Resolve(bo.binding().Address(bo.pages(), page),
                                      Access::kRead),
          known.seed, page);
    }
    bo.Unreserve();
    world_.NoteOperation();
    ++jobs_;
    used_ns_ += world_.machine().clock().now_ns() - start + behaviour_.job_ns;
  }

  uint64_t jobs() const { return jobs_; }
  uint64_t used_ns() const { return used_ns_; }
  uint64_t dma_pages() const {
    return client_->account(Resource::kDma).used_pages();
  }

 private:
  World& world_;
  const Behaviour behaviour_;
  GpuDevice* on_;
  ClientRef client_;
  KnownBoList bos_;
  size_t next_ = 0;
  uint64_t jobs_ = 0;
  uint64_t used_ns_ = 0;
};

uint64_t JobsAlone(const Behaviour& behaviour, const StressOptions& options,
                   Verdict* verdict) {
  World world(TwoDriversOptions(options), verdict);
  if (!world.ok()) return 1;
  TwoStepDriver driver(&world, options, "alone", behaviour, 0);
  while (driver.used_ns() < RunNs(options) && !world.failed()) driver.Step();
  return std::max<uint64_t>(driver.jobs(), 1);
}

// Neither starves, whatever the other does; and the room that they take from
// each other is what the jobs need.
void PlayTogether(const std::array<Behaviour, 2>& behaviours,
                  const StressOptions& options, Verdict* verdict) {
  std::array<uint64_t, 2> alone;
  for (size_t i = 0; i < 2; ++i) {
    alone[i] = JobsAlone(behaviours[i], options, verdict);
  }
  World world(TwoDriversOptions(options), verdict);
  if (!world.ok()) return;
  const uint64_t iova_bytes = kIova.In(options);
  TwoStepDriver a(&world, options, "a", behaviours[0], iova_bytes / 2);
  TwoStepDriver b(&world, options, "b", behaviours[1], iova_bytes / 2);
  // Whoever is behind in its own time is next.
  uint64_t most_evictions = 0;
  while (std::min(a.used_ns(), b.used_ns()) < RunNs(options) &&
         !world.failed()) {
    const uint64_t before = world.dma_evictions();
    (a.used_ns() <= b.used_ns() ? a : b).Step();
    most_evictions = std::max(most_evictions, world.dma_evictions() - before);
    world.Require(a.dma_pages() + b.dma_pages() <= iova_bytes >> kPageShift,
                  "they are charged for more than there is");
  }
  const double x = double(a.jobs()) / double(alone[0]);
  const double y = double(b.jobs()) / double(alone[1]);
  const double jain = (x + y) * (x + y) / (2 * (x * x + y * y));
  const std::string figures =
      absl::StrCat("progress ", x, " and ", y, " of what each does alone");
  world.Require(jain >= kLeastJain, absl::StrCat("Jain ", jain, ": ", figures));
  world.Require(std::min(x, y) > kLeastProgress, figures);
  // Bounded ping-pong: a job takes no more bos away than make up its own, but
  // for one in part at either end of the hole.
  const uint64_t bound = std::max<uint64_t>(
      1, std::max(behaviours[0].bo_bytes, behaviours[1].bo_bytes) /
                 std::min(behaviours[0].bo_bytes, behaviours[1].bo_bytes) +
             (behaviours[0].bo_bytes == behaviours[1].bo_bytes ? 0 : 1));
  world.Require(most_evictions <= bound,
                absl::StrCat("one job evicted ", most_evictions, " bos, and ",
                             bound, " are enough"));
  world.Require(world.dma_evictions() > 0, "nothing had to be evicted");
}

// A driver within its share keeps what it has, whatever the other wants.
void PlayWithinItsShare(const StressOptions& options, Verdict* verdict) {
  World world(TwoDriversOptions(options), verdict);
  if (!world.ok()) return;
  const uint64_t iova_bytes = kIova.In(options);
  TwoStepDriver within(&world, options, "within", {iova_bytes / 32, 1000, 1},
                       iova_bytes / 2);
  TwoStepDriver above(&world, options, "above", {8 * kKiB, 200, 1},
                      iova_bytes / 2);
  for (int i = 0; i < 12 && !world.failed(); ++i) within.Step();
  const uint64_t had = within.dma_pages();
  // Each of its bos a few times.
  for (uint64_t i = 0; i < 5 * SetBytes(options) / (8 * kKiB); ++i) {
    above.Step();
  }
  world.Require(within.dma_pages() == had,
                "a driver within its share had to give way");
  world.Require(above.dma_pages() + had == iova_bytes >> kPageShift,
                "addresses are left unused");
}

void PlayTwoDrivers(const StressOptions& options, Verdict* verdict) {
  std::mt19937_64 random(options.seed);
  const Behaviour first = SomeBehaviour(&random);
  const Behaviour second = SomeBehaviour(&random);
  PlayTogether({first, second}, options, verdict);
  PlayWithinItsShare(options, verdict);
}

// --- four-guests ---
// A host of 4 GiB, or a thousandth of it: coherent memory and frames, half and
// half. Each guest wants half of the host as coherent memory; what leaves the
// pool goes to frames, and from there to the swap store.

constexpr int kGuests = 4;
constexpr FullSize kHostMemory = {.bytes = 4 * kGiB, .backed = 4 * kMiB};
constexpr uint64_t kGuestBos = 32;
constexpr Placement kOfThePool = InTt(DmaType::kCoherent);

// A share is to hold a bo; one guest alone would be short of nothing.
int GuestsOf(const StressOptions& options) {
  return options.ThreadsOr(kGuests, 2, 16);
}

WorldOptions FourGuestsOptions(const StressOptions& options) {
  const uint64_t host_bytes = kHostMemory.In(options);
  WorldOptions world = SmallWorldOptions(options);
  MachineConfig& machine = world.machine;
  machine.dma32_bytes = host_bytes;
  machine.normal_bytes = 0;
  machine.coherent_bytes = host_bytes / 2;
  machine.cma_bytes = 0;
  machine.swiotlb.bytes = 0;
  machine.reserve_bytes = host_bytes / 16;
  machine.iommu.mode = IommuMode::kAbsent;
  // All that the guests have is half of it each.
  machine.swap_bytes =
      static_cast<uint64_t>(std::max(GuestsOf(options), kGuests)) * host_bytes;
  world.gpu.vram_bytes = 0;
  world.gpu.vram_visible_bytes = GpuConfig::kAllOfIt;
  world.gpu.aperture_bytes = 4 * host_bytes;
  world.clock =
      options.seed % 2 == 0 ? Clock::Kind::kVirtual : Clock::Kind::kReal;
  return world;
}

void PlayFourGuests(const StressOptions& options, Verdict* verdict) {
  World world(FourGuestsOptions(options), verdict);
  if (!world.ok()) return;
  const int guests = GuestsOf(options);
  const uint64_t wanted_bytes = kHostMemory.In(options) / 2;  // by each
  const uint64_t pool_pages = wanted_bytes >> kPageShift;
  std::vector<ClientRef> clients;
  for (int guest = 0; guest < guests; ++guest) {
    const auto share = pool_pages / static_cast<uint64_t>(guests);
    // Three of four may be at their limit and the pool is overcommitted; each
    // is left a part of its share, and gets its share as long as the others
    // are above theirs.
    auto client =
        world.host().CreateClient({.name = absl::StrCat("guest ", guest),
                                   .host = {.max_pages = pool_pages},
                                   .dma = {.min_pages = share / 4,
                                           .low_pages = share,
                                           .max_pages = share * 3 / 2}});
    if (!world.Expect(client.status(), "a client")) return;
    clients.push_back(*client);
  }
  PhysicalMemory& memory = world.machine().memory();
  Atomic<int> left{guests};
  const auto look = [&] {
    for (const ClientRef& client : clients) {
      for (const Resource resource : {Resource::kHost, Resource::kDma}) {
        const EvictionAccount& account = client->account(resource);
        world.Require(account.used_pages() <= account.budget().max_pages,
                      absl::StrCat(client->name(), " is above its limit"));
      }
    }
    world.Require(memory.unused_frames(Zone::kDma32) >=
                      memory.reserve_frames(Zone::kDma32),
                  "bos have frames of the host's reserve");
  };
  OnThreads(guests + 1, [&](int thread) {
    if (thread == guests) {
      for (uint64_t rounds = 0; left.load() != 0; ++rounds) {
        look();
        YieldFor(rounds % 32);
      }
      return;
    }
    std::mt19937_64 random(options.seed * 64 + static_cast<uint64_t>(thread));
    KnownBoList bos;
    while (bos.size() < kGuestBos) {
      bos.push_back(world.Make(wanted_bytes / kGuestBos, clients[thread]));
    }
    for (size_t i = 0; i < 3 * bos.size() && !world.failed(); ++i) {
      KnownBo* bo = bos[i < bos.size() ? i : random() % bos.size()];
      world.Expect(
          world.Submit(
              {.queue = thread, .uses = {{bo}}, .places = {&kOfThePool, 1}}),
          "a guest's submission");
    }
    left -= 1;
  });
  look();
  world.WaitForJobs();
  // All have begun again and again, and all wanted more than their shares.
  for (const ClientRef& client : clients) {
    const EvictionAccount& account = client->account(Resource::kDma);
    world.Require(account.used_pages() >= account.budget().min_pages,
                  absl::StrCat(client->name(), " has less than is its own"));
  }
  world.Require(world.dma_evictions() > 0, "nothing had to be evicted");
  world.Require(world.host().stats().swap_out_bytes.load() > 0,
                "the host was large enough");
}

}  // namespace

void AddDmaTenants(std::vector<Scenario>* scenarios) {
  scenarios->push_back(
      {"twostep", "two-drivers-one-iommu",
       "each wants three quarters of the IOVAs: neither starves, nobody takes "
       "more than it needs",
       PlayTwoDrivers});
  scenarios->push_back(
      {"twostep", "four-guests",
       "each wants half of the host as coherent memory: limits hold, the "
       "reserve is not touched",
       PlayFourGuests});
}

}  // namespace twostep
