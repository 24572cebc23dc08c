// What is shared: a bo of three devices whose owners die in every order, and
// global names that somebody guesses and makes without end.

#include <algorithm>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/bo/handle_table.h"
#include "twostep/bo/shared_buffer.h"
#include "twostep/machine/page_pattern.h"
#include "twostep/stress/families.h"
#include "twostep/stress/small_world.h"
#include "twostep/stress/threads.h"

namespace twostep {
namespace {

using Attachment = std::unique_ptr<SharedAttachment>;
constexpr uint64_t kBytes = 8 * kPageSize;
constexpr uint64_t kMachines = 4;

// --- share-and-die ---

// Bare metal, an IOMMU, all that is streamed bounces, or a device that does not
// see the CPU's caches.
WorldOptions ShareOptions(const StressOptions& options, uint64_t machine) {
  WorldOptions world = SmallWorldOptions(options);
  world.machine.iommu.mode =
      machine == 1 ? IommuMode::kTranslated : IommuMode::kAbsent;
  world.machine.iommu.domains = 2;
  world.gpu.aperture_bytes = 8 * kMiB;
  if (machine == 2) {
    world.machine.swiotlb.forced = true;
    world.gpu.dma_mask_bits = 32;
  }
  world.gpu.coherent = machine != 3;
  return world;
}

// A world in which devices may go with bos still bound to them: that is
// reported, and it is what is asked for here.
class SharingWorld {
 public:
  SharingWorld(WorldOptions options, Verdict* verdict)
      : like_(options.gpu), world_(Handling(&options), verdict) {
    like_.vram_bytes = 0;
    like_.vram_visible_bytes = GpuConfig::kAllOfIt;
    like_.aperture_bytes = 0;
  }
  ~SharingWorld() {
    world_.Require(misuses_.load() == 0, "misuse was reported that was none");
  }

  World& world() { return world_; }
  // Like the first, without memory of its own.
  std::unique_ptr<Device> MakeDevice(const char* name, uint32_t domain) {
    GpuConfig config = like_;
    config.name = name;
    config.domain = domain;
    auto device = Device::Create(world_.host(), config);
    return world_.Expect(device.status(), name) ? *std::move(device) : nullptr;
  }
  // One that follows moves, or one that pins.
  Attachment Attach(const SharedBuffer& shared, Device& device, bool pinning) {
    AttachOptions options;
    if (!pinning) {
      options.moved = [this](SharedAttachment& gone) {
        world_.Require(!gone.mapped(), "told of a move while still mapped");
        gone.bo().AssertHeld();
      };
    }
    auto attachment = shared.Attach(device, options);
    return world_.Expect(attachment.status(), "attaching")
               ? *std::move(attachment)
               : nullptr;
  }
  template <typename Act>
  bool Run(BufferObject& held, Act act) {
    ValidateContext context;
    return world_.Expect(
        WithReserved(
            held, &context,
            [&] { return world_.Absorb([&] { return act(&context); }); }),
        "with a shared bo");
  }
  // Whether somebody sees the bytes at the addresses.
  void CheckAt(Device& device, const SharedAttachment& attachment,
               uint64_t seed) {
    for (PageCount page = 0; page < attachment.bo().page_count(); ++page) {
      world_.CheckPage(
          device.port().Resolve(attachment.Address(page), Access::kRead), seed,
          page);
    }
    world_.NoteOperation();
  }

 private:
  WorldOptions Handling(WorldOptions* options) {
    options->host.misuse_handler = [this](const Misuse& misuse) {
      if (misuse.kind != Misuse::Kind::kLiveAtTeardown) misuses_ += 1;
    };
    return *options;
  }

  GpuConfig like_;
  Atomic<uint64_t> misuses_{0};
  World world_;
};

// One bo, shared by three devices, in each of which it is mapped.
class ShareAndDie {
 public:
  // In a step each of these is no more. The client has the exported bo.
  enum Who { kExporter, kClient, kCamera, kDisplay, kNic, kAll };
  static constexpr Who kImporters[] = {kCamera, kDisplay, kNic};

  struct Death {
    uint64_t machine;
    Placement at;
    // An importer's device goes before its attachment.
    bool bad_manners;
    bool pinning;
  };

  ShareAndDie(const Death& death, const StressOptions& options,
              Verdict* verdict)
      : death_(death),
        sharing_(ShareOptions(options, death.machine), verdict) {}

  void Play(const Who (&order)[kAll]) {
    if (!SetUp()) return;
    for (const Who who : order) {
      Kill(who);
      alive_[who] = false;
      CheckSurvivors();
    }
  }

 private:
  bool SetUp() {
    World& world = sharing_.world();
    if (!world.ok()) return false;
    devices_[kCamera] = sharing_.MakeDevice("camera", 0);
    devices_[kDisplay] = sharing_.MakeDevice("display", 0);
    devices_[kNic] = sharing_.MakeDevice("nic", 1);
    KnownBo* known = world.Make(kBytes);
    if (known == nullptr ||
        !world.Expect(
            world.Submit({.uses = {{known}}, .places = {&death_.at, 1}}),
            "the exporter's")) {
      return false;
    }
    world.WaitForJobs();
    known_ = *known;
    world.Drop(known);
    auto shared = SharedBuffer::Export(known_.bo, world.device());
    if (!world.Expect(shared.status(), "exporting")) return false;
    shared_.push_back(*shared);
    for (const Who who : kImporters) {
      if (devices_[who] == nullptr) return false;
      attachments_[who] =
          sharing_.Attach(*shared, *devices_[who], death_.pinning);
      if (attachments_[who] == nullptr || !Map(who)) return false;
    }
    return true;
  }
  bool Map(Who who) {
    SharedAttachment& attachment = *attachments_[who];
    return sharing_.Run(attachment.bo(), [&](ValidateContext* context) {
      return attachment.Map(context);
    });
  }
  void Kill(Who who) {
    switch (who) {
      case kExporter:
        sharing_.world().Remove(sharing_.world().first());
        break;
      case kClient:
        shared_.clear();
        known_.bo.reset();
        break;
      default:
        if (!death_.bad_manners) attachments_[who].reset();
        devices_[who].reset();
        attachments_[who].reset();
    }
  }
  void CheckSurvivors() {
    World& world = sharing_.world();
    world.CheckRules();
    for (const Who who : kImporters) {
      if (!alive_[who] || !Map(who)) continue;
      sharing_.CheckAt(*devices_[who], *attachments_[who], known_.seed);
    }
    if (!alive_[kClient]) return;
    world.CheckByCpu(known_);
    for (const Who who : kImporters) {
      if (alive_[who]) Map(who);
    }
    world.CheckRules();
  }

  const Death death_;
  SharingWorld sharing_;
  std::unique_ptr<Device> devices_[kAll];
  KnownBo known_;
  std::vector<SharedBuffer> shared_;
  Attachment attachments_[kAll];
  bool alive_[kAll] = {true, true, true, true, true};
};

// All at once: an exporter, three importers, a client with handles and somebody
// who squeezes them, each in a thread, until each dies at a time of its own, in
// good order or leaving all as it is.
class EverybodyDies {
 public:
  EverybodyDies(const StressOptions& options, Verdict* verdict)
      : seed_(options.seed),
        sharing_(Named(ShareOptions(options, options.seed % kMachines),
                       options.seed),
                 verdict) {}

  void Play() {
    if (!SetUp()) return;
    std::mt19937_64 random(seed_);
    std::vector<Thread> threads;
    for (size_t number = 0; number < importers_.size(); ++number) {
      threads.emplace_back([this, number, shared = shared_, chance = random()] {
        Import(number, shared, chance);
      });
    }
    threads.emplace_back(
        [this, bos = bos_, chance = random()] { Export(bos, chance); });
    threads.emplace_back(
        [this, bos = bos_, chance = random()] { Hold(bos, chance); });
    threads.emplace_back([this, chance = random()] { Squeeze(chance); });
    // At times somebody survives them all.
    KnownBo survivor;
    if (random() % 2 == 0) survivor.bo = bos_[0];
    bos_.clear();
    shared_.clear();
    threads.clear();
    World& world = sharing_.world();
    world.CheckRules();
    world.Require(world.host().names().size() == 0, "a name was left behind");
    if (survivor.bo == nullptr) return;
    survivor.seed = seeds_[0];
    world.CheckByCpu(survivor);
    survivor.bo->Reserve();
    world.Require(!survivor.bo->pinned(), "a pin was left behind");
    survivor.bo->UnreserveUnused();
  }

 private:
  static constexpr size_t kBos = 3;
  static WorldOptions Named(WorldOptions options, uint64_t seed) {
    options.host.name_seed = seed;
    return options;
  }

  bool SetUp() {
    World& world = sharing_.world();
    if (!world.ok()) return false;
    GpuConfig config =
        ShareOptions(StressOptions{.seed = seed_}, seed_ % kMachines).gpu;
    config.name = "squeezer";
    auto squeezer = Device::Create(world.host(), config);
    if (!world.Expect(squeezer.status(), "a device")) return false;
    squeezer_ = *std::move(squeezer);
    importers_.push_back(sharing_.MakeDevice("camera", 0));
    importers_.push_back(sharing_.MakeDevice("display", 0));
    importers_.push_back(sharing_.MakeDevice("nic", 1));
    for (size_t i = 0; i < kBos; ++i) {
      KnownBo* known = world.Make(kBytes);
      if (known == nullptr) return false;
      auto mapping = CpuMapping::Create(known->bo);
      if (!world.Expect(mapping.status(), "mapping a bo")) return false;
      world.WriteThrough(**mapping, known);
      auto shared = SharedBuffer::Export(known->bo, world.device());
      if (!world.Expect(shared.status(), "exporting")) return false;
      seeds_[i] = known->seed;
      bos_.push_back(known->bo);
      shared_.push_back(*shared);
      world.Drop(known);
    }
    return importers_[0] && importers_[1] && importers_[2];
  }

  // Maps, reads what the last one wrote, and at times writes something else or
  // leaves work behind.
  void Use(Device& device, size_t number, SharedAttachment& attachment,
           Timeline& ring, std::mt19937_64* random) {
    BufferObject& bo = attachment.bo();
    sharing_.Run(bo, [&](ValidateContext* context) {
      absl::Status status = attachment.Map(context);
      if (status.ok()) status = bo.fences().Wait(FenceUse::kRead, WaitLimit{});
      if (!status.ok()) return status;
      sharing_.CheckAt(device, attachment, seeds_[number]);
      if ((*random)() % 2 == 0) {
        seeds_[number] += 1000;
        for (PageCount page = 0; page < bo.page_count(); ++page) {
          std::byte* at =
              device.port().Resolve(attachment.Address(page), Access::kWrite);
          if (at != nullptr) FillPattern(seeds_[number], page, at);
        }
      }
      if ((*random)() % 4 == 0) {
        const Fence fence =
            ring.Emit(sharing_.world().machine().clock().now_ns() + 1000);
        ring.Complete(fence.point);
        bo.fences().Add(fence, FenceUse::kRead);
      }
      if ((*random)() % 2 == 0) attachment.Unmap();
      return status;
    });
  }
  void Import(size_t number, std::vector<SharedBuffer> shared,
              uint64_t chance) {
    std::mt19937_64 random(chance);
    World& world = sharing_.world();
    Timeline& ring = world.machine().NewTimeline("importer");
    std::unique_ptr<Device>& device = importers_[number];
    std::vector<std::pair<size_t, Attachment>> attachments;
    const uint64_t rounds = 20 + random() % 100;
    for (uint64_t round = 0; round < rounds && !world.failed(); ++round) {
      if (attachments.size() < 4) {
        const size_t which = random() % shared.size();
        attachments.emplace_back(
            which, sharing_.Attach(shared[which], *device, random() % 4 == 0));
        if (attachments.back().second == nullptr) return;
      }
      const auto& [which, used] = attachments[random() % attachments.size()];
      Use(*device, which, *used, ring, &random);
      // What pins for long leaves no room for others.
      sharing_.Run(used->bo(), [&used = used, &random](ValidateContext*) {
        if (random() % 2 == 0) used->Unmap();
        return absl::OkStatus();
      });
      if (random() % 3 == 0) {
        attachments.erase(
            attachments.begin() +
            static_cast<std::ptrdiff_t>(random() % attachments.size()));
      }
    }
    switch (random() % 3) {
      case 0:
        attachments.clear();
        device.reset();
        break;
      case 1:  // reported, and its attachments are of no use any more
        device.reset();
        shared.clear();
        break;
      default:  // the client goes before the device
        shared.clear();
        attachments.clear();
        device.reset();
    }
  }
  void Export(std::vector<BoRef> bos, uint64_t chance) {
    static constexpr Placement kPlaces[] = {kInVram, InTt(DmaType::kDynamic),
                                            kInSystem, InTt(DmaType::kCoherent),
                                            InTt(DmaType::kNone)};
    std::mt19937_64 random(chance);
    World& world = sharing_.world();
    const uint64_t rounds = 20 + random() % 200;
    for (uint64_t round = 0; round < rounds; ++round) {
      BufferObject& bo = *bos[random() % bos.size()];
      const Placement& place = kPlaces[random() % std::size(kPlaces)];
      sharing_.Run(bo, [&](ValidateContext* context) {
        // Somebody may need it where it is.
        if (bo.pinned()) return absl::OkStatus();
        return world.device().Validate(bo, {&place, 1}, context);
      });
      world.NoteOperation();
    }
    if (random() % 2 == 0) bos.clear();
    world.Remove(world.first());
  }
  void Hold(std::vector<BoRef> bos, uint64_t chance) {
    std::mt19937_64 random(chance);
    World& world = sharing_.world();
    const auto client = world.host().CreateClient({.name = "client"});
    const auto other = world.host().CreateClient({.name = "friend"});
    if (!world.Expect(client.status(), "a client") ||
        !world.Expect(other.status(), "a client")) {
      return;
    }
    HandleTable mine(*client);
    HandleTable others(*other);
    for (int round = 0; round < 200 && !bos.empty(); ++round) {
      const auto handle = mine.Add(bos[random() % bos.size()]);
      if (!world.Expect(handle.status(), "a handle")) return;
      const auto name = mine.Publish(*handle);
      if (!world.Expect(name.status(), "a name") ||
          !world.Expect(others.Open(*name).status(), "opening a name")) {
        return;
      }
      if (random() % 2 == 0) world.Expect(mine.Close(*handle), "closing");
      if (random() % 20 == 0) bos.pop_back();
    }
  }
  void Squeeze(uint64_t chance) {
    static constexpr Placement kPlaces[] = {InTt(DmaType::kDynamic),
                                            InTt(DmaType::kCoherent),
                                            InTt(DmaType::kNone)};
    std::mt19937_64 random(chance);
    World& world = sharing_.world();
    const uint64_t rounds = 5 + random() % 25;
    for (uint64_t round = 0; round < rounds; ++round) {
      const Placement& place = kPlaces[random() % std::size(kPlaces)];
      std::vector<BoRef> hogs;
      for (int i = 0; i < 8; ++i) {
        auto hog = world.host().CreateBo(kMiB / 8);
        if (!world.Expect(hog.status(), "a bo")) return;
        hogs.push_back(*hog);
        sharing_.Run(*hogs.back(), [&](ValidateContext* context) {
          return squeezer_->Validate(*hogs.back(), {&place, 1}, context);
        });
      }
    }
    squeezer_.reset();
  }

  const uint64_t seed_;
  SharingWorld sharing_;
  std::unique_ptr<Device> squeezer_;
  std::vector<std::unique_ptr<Device>> importers_;
  std::vector<BoRef> bos_;
  std::vector<SharedBuffer> shared_;
  uint64_t seeds_[kBos];  // each guarded by the reservation of its bo
};

void PlayShareAndDie(const StressOptions& options, Verdict* verdict) {
  constexpr ShareAndDie::Death kDeaths[] = {
      {0, kInVram, false, false},
      {0, InTt(DmaType::kCma), true, true},
      {1, InTt(DmaType::kDynamic), false, true},
      {1, InTt(DmaType::kCoherent), true, false},
      {2, InTt(DmaType::kDynamic), true, true},
      {3, InTt(DmaType::kNone), false, false}};
  // A fifth of the 120 orders of one of these: thirty seeds have all.
  constexpr uint64_t kFifths = 5;
  const ShareAndDie::Death& death = kDeaths[options.seed % std::size(kDeaths)];
  const uint64_t fifth = options.seed / std::size(kDeaths) % kFifths;
  ShareAndDie::Who order[] = {ShareAndDie::kExporter, ShareAndDie::kClient,
                              ShareAndDie::kCamera, ShareAndDie::kDisplay,
                              ShareAndDie::kNic};
  uint64_t number = 0;
  do {
    if (number++ % kFifths != fifth) continue;
    ShareAndDie(death, options, verdict).Play(order);
    if (!verdict->clean()) return;
  } while (std::next_permutation(std::begin(order), std::end(order)));
  EverybodyDies(options, verdict).Play();
}

// --- flink-storm ---

constexpr int kAttackers = 3;
constexpr int kFriends = 2;

// Clients that guess handles and names, and open and name a bo without end,
// while others share theirs.
class FlinkStorm {
 public:
  FlinkStorm(const WorldOptions& options, Verdict* verdict)
      : world_(options, verdict) {}

  void Play(uint64_t seed) {
    if (!world_.ok()) return;
    GlobalNames& names = world_.host().names();
    KnownBo* shared = world_.Make(4 * kPageSize);
    if (shared == nullptr ||
        !world_.Expect(
            world_.Submit({.uses = {{shared}}, .places = {&kInVram, 1}}),
            "a submission")) {
      return;
    }
    HandleTable owner(NewClient("owner", {}));
    const auto handle = owner.Add(shared->bo);
    if (!world_.Expect(handle.status(), "a handle")) return;
    const auto known = owner.Publish(*handle);
    if (!world_.Expect(known.status(), "a name")) return;

    std::mt19937_64 random(seed);
    size_t most_names = 1;
    std::vector<std::unique_ptr<Attacker>> attackers;
    std::vector<Thread> threads;
    for (int t = 0; t < kAttackers; ++t) {
      const HandleLimits limits{
          .handles = 1 + static_cast<uint32_t>(random() % 100),
          .names = static_cast<uint32_t>(random() % 20)};
      most_names += limits.names;
      attackers.push_back(
          std::make_unique<Attacker>(NewClient("attacker", limits)));
      threads.emplace_back([this, t, attacker = attackers.back().get(),
                            name = *known, chance = random()] {
        Storm(attacker, name, chance);
        Hoard(attacker->client, t);
      });
    }
    for (int t = 0; t < kFriends; ++t) {
      threads.emplace_back([this] { Share(); });
    }
    threads.clear();
    world_.Require(names.size() <= most_names, "more names than the limits");
    world_.Require(world_.host().bo_count() == 1 + kAttackers * kHoarded,
                   "bos were left behind");
    attackers.clear();
    world_.Require(names.size() == 1, "names were left behind");
    world_.Expect(owner.Close(*handle), "closing");
  }

 private:
  static constexpr int kGuesses = 3000;
  static constexpr PageCount kMostPages = 32;
  static constexpr int kHoarded = 16;

  // A client that hopes for twice its limits from a second table.
  struct Attacker {
    explicit Attacker(ClientRef owner)
        : client(std::move(owner)),
          tables{HandleTable(client), HandleTable(client)} {}
    const ClientRef client;
    HandleTable tables[2];
  };
  struct Opened {
    HandleTable* table;
    BoHandle handle;
  };

  ClientRef NewClient(const char* name, const HandleLimits& limits) {
    return *world_.host().CreateClient(
        {.name = name, .host = {.max_pages = kMostPages}, .handles = limits});
  }

  // Near what the attacker was told, small as a count's, all of 32 bits beside
  // a half that is right, or anywhere.
  static BoName Guess(BoName known, std::mt19937_64* random) {
    const auto near = static_cast<uint64_t>(known);
    const uint64_t chance = (*random)();
    switch (chance % 5) {
      case 0:
        return BoName{near + 1 + chance % 1000};
      case 1:
        return BoName{near ^ uint64_t{1} << (chance >> 8) % 64};
      case 2:
        return BoName{(near & ~uint64_t{0xffffffff}) |
                      (near + 1 + (chance >> 32) % 0xffffffff) % (1ull << 32)};
      case 3:
        return BoName{chance >> 32};
      default:
        return BoName{(*random)()};
    }
  }
  // Opens, names and closes as its limits allow; each guess must fail.
  void Storm(Attacker* attacker, BoName known, uint64_t chance) {
    std::mt19937_64 random(chance);
    const Client& client = *attacker->client;
    const HandleLimits& limits = client.handle_limits();
    std::vector<Opened> mine;
    for (int i = 0; i < kGuesses && !world_.failed(); ++i) {
      HandleTable& table = attacker->tables[random() % 2];
      const bool full = mine.size() == limits.handles;
      world_.Require(KindOf(table.Open(Guess(known, &random)).status()) ==
                         (full ? ErrorKind::kOverLimit : ErrorKind::kAbsent),
                     "a name was guessed");
      const BoHandle stray{static_cast<uint32_t>(random())};
      const auto is_stray = [&](const Opened& one) {
        return one.table == &table && one.handle == stray;
      };
      if (std::none_of(mine.begin(), mine.end(), is_stray)) {
        world_.Require(
            KindOf(table.Find(stray).status()) == ErrorKind::kAbsent &&
                KindOf(table.Close(stray)) == ErrorKind::kAbsent,
            "a handle was guessed");
      }
      const auto opened = table.Open(known);
      world_.Require(opened.ok() == !full, "handles and their limit");
      if (opened.ok()) mine.push_back({&table, *opened});
      const Opened& any = mine[random() % mine.size()];
      const auto named = any.table->Publish(any.handle);
      world_.Require(
          named.ok() || (KindOf(named.status()) == ErrorKind::kOverLimit &&
                         client.names() == limits.names),
          "names and their limit");
      if (i % 100 == 0) world_.NoteOperation();
      if (random() % 50 != 0) continue;
      const size_t place = random() % mine.size();
      world_.Expect(mine[place].table->Close(mine[place].handle), "closing");
      mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(place));
    }
    world_.Require(
        client.handles() == mine.size() && client.names() <= limits.names,
        "an attacker has more than it asked for");
  }
  // Makes and fills four times the bos that it may have in memory.
  void Hoard(const ClientRef& client, int queue) {
    static constexpr Placement kShown = InTt(DmaType::kNone);
    for (int i = 0; i < kHoarded && !world_.failed(); ++i) {
      KnownBo* bo = world_.Make(PagesToBytes(kMostPages / 4), client);
      if (bo == nullptr) return;
      world_.Expect(
          world_.Submit(
              {.queue = queue, .uses = {{bo}}, .places = {&kShown, 1}}),
          "an attacker's submission");
      world_.Require(
          client->account(Resource::kHost).used_pages() <= kMostPages,
          "an attacker has more memory than it may");
    }
  }
  // Two who share a bo after the other: every step must work.
  void Share() {
    HandleTable a(NewClient("a", {}));
    HandleTable b(NewClient("b", {}));
    for (int i = 0; i < 300 && !world_.failed(); ++i) {
      auto bo = world_.host().CreateBo(kPageSize);
      if (!world_.Expect(bo.status(), "a bo")) return;
      const auto mine = a.Add(*bo);
      if (!world_.Expect(mine.status(), "a friend's handle")) return;
      const auto name = a.Publish(*mine);
      if (!world_.Expect(name.status(), "a friend's name")) return;
      const auto theirs = b.Open(*name);
      if (!world_.Expect(theirs.status(), "opening a friend's name")) return;
      world_.Require(*b.Find(*theirs) == *bo, "a name of another bo");
      world_.Expect(a.Close(*mine), "closing");
      world_.Require(KindOf(b.Open(*name).status()) == ErrorKind::kAbsent,
                     "a name that was withdrawn is known");
      world_.Expect(b.Close(*theirs), "closing");
      world_.NoteOperation();
    }
  }

  World world_;
};

void PlayFlinkStorm(const StressOptions& options, Verdict* verdict) {
  WorldOptions world_options = SmallWorldOptions(options);
  world_options.host.name_seed = options.seed;
  FlinkStorm(world_options, verdict).Play(options.seed);
}

}  // namespace

void AddSharing(std::vector<Scenario>* scenarios) {
  scenarios->push_back(
      {"twostep", "share-and-die",
       "exporter, importers and clients of shared bos go in every order: "
       "nothing leaks, survivors keep the bytes",
       PlayShareAndDie,
       // What leaves a device that goes, and cannot be copied, is lost.
       FaultsOf({FaultKind::kFrame, FaultKind::kIova, FaultKind::kSlot,
                 FaultKind::kCma, FaultKind::kCoherent, FaultKind::kTable,
                 FaultKind::kBackoff, FaultKind::kSwap})});
  scenarios->push_back(
      {"twostep", "flink-storm",
       "clients guess and make names without end: they hit their own limits",
       PlayFlinkStorm});
}

}  // namespace twostep
