// What clients do to one another: the KFD's eviction tests (3), the overcommit
// of xe_evict_ccs (9), and the race of gem_lmem_evict (1).

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/stress/compute_context.h"
#include "twostep/stress/families.h"
#include "twostep/stress/small_world.h"
#include "twostep/stress/threads.h"
#include "twostep/stress/world.h"

namespace twostep {
namespace {

void AddTo(std::vector<Scenario>* scenarios, const char* family,
           std::string name, std::string what,
           std::function<void(const StressOptions&, Verdict*)> play,
           FaultSet faults) {
  scenarios->push_back(
      {family, std::move(name), std::move(what), std::move(play), faults});
}

// --- KFD ---
// Compute contexts of two clients hold 7/8 of VRAM; each client also has
// graphics jobs on bos of its own, which do not fit beside that.

enum class Queues { kNone, kRunning, kBursty };
constexpr int kKfdClients = 2;
constexpr int kKfdBos = 7;
constexpr int kKfdRounds = 12;

void PlayKfd(Queues queues, const StressOptions& options, Verdict* verdict) {
  TwoTierDriver hooks(DmaType::kDynamic);
  WorldOptions world_options = WorldOptions::Of(options);
  const uint64_t vram = options.gpu.vram_bytes;
  // Only VRAM is short: see xe_evict.
  world_options.gpu.aperture_bytes =
      std::max(world_options.gpu.aperture_bytes, 4 * vram);
  world_options.machine.normal_bytes =
      std::max(world_options.machine.normal_bytes, 4 * vram);
  world_options.machine.iommu.iova_bytes =
      std::max(world_options.machine.iommu.iova_bytes, 8 * vram);
  world_options.clock = Clock::Kind::kReal;
  world_options.hooks = &hooks;
  World world(world_options, verdict);
  if (!world.ok()) return;
  const int clients = options.ThreadsOr(kKfdClients);
  const auto compute = [&](int client) {
    std::mt19937_64 random(options.seed * 64 + static_cast<uint64_t>(client));
    ComputeContext context(world, {&kInVram, 1});
    std::vector<KnownBo*> bos;
    for (int i = 0; i < kKfdBos; ++i) {
      bos.push_back(world.Make(vram * 7 / 8 / kKfdBos /
                               static_cast<uint64_t>(clients) / kPageSize *
                               kPageSize));
      if (bos.back() == nullptr) return;
      context.Add(bos.back());
    }
    for (int round = 0; round < kKfdRounds; ++round) {
      if (queues == Queues::kNone) {
        world.Expect(context.Resume(), "restoring bos");
        world.NoteOperation();
      } else {
        for (size_t i = 0; i < bos.size(); ++i) {
          world.Expect(context.Run(bos[i], static_cast<int>(i)),
                       "a compute job");
        }
      }
      if (queues == Queues::kBursty) {
        context.Stop();
        YieldFor(random() % 200);
      }
    }
  };
  const auto graphics = [&](int client) {
    std::vector<KnownBo*> bos{world.Make(vram / 4), world.Make(vram / 4)};
    if (bos[0] == nullptr || bos[1] == nullptr) return;
    for (int round = 0; round < kKfdRounds; ++round) {
      world.Expect(
          world.Submit({.queue = client,
                        .uses = {{bos[static_cast<size_t>(round) % 2]}},
                        .places = {&kInVram, 1}}),
          "a graphics job");
    }
  };
  OnThreads(2 * clients, [&](int thread) {
    thread % 2 == 0 ? compute(thread / 2) : graphics(thread / 2);
  });
  world.ExpectEvictions();
}

// --- xe_evict_ccs ---
// A tenth more than VRAM in bos of all sizes, each with a table of 1/256 of its
// size that is used with it.

struct CcsRow {
  std::string name;
  bool simple = false;
  bool parallel = false;
  bool instant_free = false;
  bool reopen = false;
};
constexpr int kCcsClients = 8;

class XeEvictCcs {
 public:
  XeEvictCcs(const CcsRow& row, const StressOptions& options, Verdict* verdict)
      : row_(row),
        vram_bytes_(options.gpu.vram_bytes),
        seed_(options.seed),
        clients_(row.parallel ? options.ThreadsOr(kCcsClients) : 1),
        world_(OptionsOf(options), verdict) {}

  void Play() {
    if (!world_.ok()) return;
    OnThreads(clients_, [this](int client) { PlayClient(client); });
    if (!row_.instant_free) world_.ExpectEvictions();
  }

 private:
  WorldOptions OptionsOf(const StressOptions& options) const {
    WorldOptions world = WorldOptions::Of(options);
    world.alone = clients_ == 1;
    return world;
  }
  ClientRef NewClient() {
    auto client = world_.host().CreateClient({.name = "fd"});
    world_.Expect(client.status(), "a client");
    return client.ok() ? *client : nullptr;
  }
  bool Use(KnownBo* bo, KnownBo* table, BoUse::Does does) {
    return world_.Expect(world_.Submit({.uses = {{bo, does}, {table, does}},
                                        .places = {&kInVram, 1}}),
                         "a submission");
  }

  void PlayClient(int number) {
    std::mt19937_64 random(seed_ * 64 + static_cast<uint64_t>(number));
    std::vector<std::pair<KnownBo*, KnownBo*>> kept;
    ClientRef client = NewClient();
    uint64_t left = vram_bytes_ * 11 / 10 / static_cast<uint64_t>(clients_);
    while (left >= kPageSize) {
      if (row_.reopen) client = NewClient();
      const uint64_t bytes = std::min(left, SizeOf(&random));
      left -= bytes;
      KnownBo* bo = world_.Make(bytes, client);
      KnownBo* table =
          world_.Make(std::max<uint64_t>(bytes / 256, kPageSize), client);
      if (bo == nullptr || table == nullptr ||
          !Use(bo, table, BoUse::Does::kWrite) ||
          !Use(bo, table, BoUse::Does::kRead)) {
        return;
      }
      if (row_.instant_free) {
        // While the jobs may still be at work.
        world_.Drop(bo);
        world_.Drop(table);
      } else {
        kept.emplace_back(bo, table);
      }
    }
    for (const auto& [bo, table] : kept) {
      if (!Use(bo, table, BoUse::Does::kRead)) return;
    }
  }
  // 64 KiB to a quarter of VRAM, small ones as often as large ones.
  uint64_t SizeOf(std::mt19937_64* random) const {
    if (row_.simple) return vram_bytes_ / 8;
    uint64_t bytes = 64 * kKiB;
    while (bytes < vram_bytes_ / 4 && (*random)() % 3 != 0) bytes *= 2;
    return std::min(bytes, vram_bytes_ / 4);
  }

  const CcsRow row_;
  const uint64_t vram_bytes_;
  const uint64_t seed_;
  const int clients_;
  World world_;
};

// --- gem_lmem_evict ---
// A bo that is busy is declared worthless while its eviction is queued behind
// its work: either it is dropped, and says so, or it keeps its bytes.

constexpr int kRaces = 40;

void PlayDontneedRace(const StressOptions& options, Verdict* verdict) {
  World world(WorldOptions::Of(options), verdict);
  if (!world.ok()) return;
  std::mt19937_64 random(options.seed);
  const uint64_t bytes = options.gpu.vram_bytes * 3 / 4 / kPageSize * kPageSize;
  KnownBo* victim = world.Make(bytes);
  KnownBo* other = world.Make(bytes);
  if (victim == nullptr || other == nullptr) return;
  const auto use = [&](KnownBo* bo, BoUse::Does does) {
    world.Expect(world.Submit({.uses = {{bo, does}}, .places = {&kInVram, 1}}),
                 "a submission");
  };
  const auto declare = [&](bool worthless) {
    victim->bo->Reserve();
    if (!worthless && victim->bo->purged()) victim->seed = 0;
    victim->bo->SetWorthless(worthless);
    victim->bo->UnreserveUnused();
  };
  for (int race = 0; race < kRaces; ++race) {
    use(victim, BoUse::Does::kWrite);
    {
      Thread evicts([&] { use(other, BoUse::Does::kWrite); });
      YieldFor(random() % 40);
      declare(true);
    }
    declare(false);
    use(victim, BoUse::Does::kRead);
  }
  world.ExpectEvictions();
}

}  // namespace

void AddClientEvict(std::vector<Scenario>* scenarios) {
  const std::pair<const char*, Queues> kfd[] = {{"basic", Queues::kNone},
                                                {"queue", Queues::kRunning},
                                                {"bursty", Queues::kBursty}};
  for (const auto& [name, queues] : kfd) {
    AddTo(
        scenarios, "kfd_evict", name,
        absl::StrCat("two clients' compute contexts on 7/8 of VRAM, evicted "
                     "and restored",
                     queues == Queues::kNone      ? ", idle"
                     : queues == Queues::kRunning ? ", at work"
                                                  : ", in bursts"),
        [queues = queues](const StressOptions& options, Verdict* verdict) {
          PlayKfd(queues, options, verdict);
        },
        kAllFaultsButLost);
  }
  std::vector<CcsRow> rows = {{"evict-overcommit-simple", true}};
  for (int bits = 0; bits < 8; ++bits) {
    CcsRow row;
    row.parallel = (bits & 4) != 0;
    row.instant_free = (bits & 2) != 0;
    row.reopen = (bits & 1) != 0;
    row.name = absl::StrCat("evict-overcommit-",
                            row.parallel ? "parallel" : "standalone",
                            row.instant_free ? "-instantfree" : "-nofree",
                            row.reopen ? "-reopen" : "-samefd");
    rows.push_back(row);
  }
  for (const CcsRow& row : rows) {
    AddTo(
        scenarios, "xe_evict_ccs", row.name,
        absl::StrCat("1.1 of VRAM in bos with side tables",
                     row.parallel ? ", from many clients" : "",
                     row.instant_free ? ", each dropped while it is busy" : "",
                     row.reopen ? ", each a client's of its own" : ""),
        [row](const StressOptions& options, Verdict* verdict) {
          XeEvictCcs(row, options, verdict).Play();
        },
        kAllFaults);
  }
  AddTo(scenarios, "gem_lmem_evict", "dontneed-evict-race",
        "a busy bo is declared worthless while it is evicted", PlayDontneedRace,
        kAllFaultsButLost);
}

}  // namespace twostep
