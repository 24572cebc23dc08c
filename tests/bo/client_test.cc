// S27, S14, R13, R14: what clients may have, what is theirs, and what others
// can take from them.

#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"
#include "twostep/bo/exec.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kBo = 64 * kKiB;
constexpr PageCount kBoPages = 16;

// One resource of which there is 1 MiB, 16 bos.
struct Case {
  const char* name;
  Resource resource;
  Placement placement;
};
const Case kCases[] = {
    {"DeviceMemory", Resource::kDevice, kVram},
    {"IovaSpace", Resource::kDma, Tt(DmaType::kDynamic)},
    {"CoherentMemory", Resource::kDma, Tt(DmaType::kCoherent)},
};

class ClientTest : public testing::TestWithParam<Case> {
 protected:
  ClientRef MakeClient(const std::string& name, const Budget& budget) {
    ClientOptions options{.name = name};
    (GetParam().resource == Resource::kDevice ? options.device : options.dma) =
        budget;
    auto client = rig_.host().CreateClient(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *client;
  }
  std::vector<BoRef> Make(const ClientRef& client, int count) {
    std::vector<BoRef> bos;
    for (int i = 0; i < count; ++i) {
      bos.push_back(*rig_.host().CreateBo(kBo, client));
    }
    return bos;
  }
  absl::Status Place(const BoRef& bo) {
    return rig_.Validate(bo, GetParam().placement);
  }
  void PlaceAll(const std::vector<BoRef>& bos) {
    for (const BoRef& bo : bos) ASSERT_EQ(Place(bo), absl::OkStatus());
  }
  int InPlace(const std::vector<BoRef>& bos) {
    int count = 0;
    for (const BoRef& bo : bos) count += bo->Holds(GetParam().resource);
    return count;
  }
  uint64_t Used(const ClientRef& client) {
    return client->account(GetParam().resource).used_pages();
  }

  Rig rig_;
  std::vector<BoRef> pinned_;
};

TEST_P(ClientTest, S27IsChargedForWhatItsBosTakeUp) {
  const ClientRef client = MakeClient("a", {});
  std::vector<BoRef> bos = Make(client, 3);
  EXPECT_EQ(Used(client), 0);
  PlaceAll(bos);
  EXPECT_EQ(Used(client), 3 * kBoPages);
  ASSERT_EQ(rig_.Validate(bos[0], kSystem), absl::OkStatus());
  EXPECT_EQ(Used(client), 2 * kBoPages);
  bos.resize(2);
  EXPECT_EQ(Used(client), kBoPages);
  rig_.CpuFill(bos[0], 1);
  EXPECT_GE(client->account(Resource::kHost).used_pages(), kBoPages);
  EXPECT_EQ(rig_.Broken(), "");
  bos.clear();
  for (const Resource resource :
       {Resource::kHost, Resource::kDma, Resource::kDevice}) {
    EXPECT_EQ(client->account(resource).used_pages(), 0) << NameOf(resource);
  }
}

TEST_P(ClientTest, R14WhoIsAtItsLimitEvictsItsOwn) {
  const ClientRef client = MakeClient("a", {.max_pages = 4 * kBoPages});
  const std::vector<BoRef> others = Make(nullptr, 4);
  const std::vector<BoRef> own = Make(client, 8);
  PlaceAll(others);  // the least recent of all
  for (size_t i = 0; i < own.size(); ++i) {
    rig_.CpuFill(own[i], i);
    ASSERT_EQ(Place(own[i]), absl::OkStatus());
    EXPECT_LE(Used(client), 4 * kBoPages);
  }
  EXPECT_EQ(InPlace(others), 4);
  EXPECT_EQ(InPlace(own), 4);
  EXPECT_TRUE(own[7]->Holds(GetParam().resource));
  EXPECT_EQ(rig_.Broken(), "");
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_EQ(rig_.CpuWrongBytes(own[i], i), 0);
  }
}

TEST_P(ClientTest, R11RoomUnderALimitIsForWhoMakesIt) {
  BoRef small;
  Rig* rig = nullptr;
  Atomic<int> tried{0};
  RigOptions options = RigOptions::Small();
  // As the first of several victims has gone.
  options.host.events.callback = [&](const Event& event) {
    if (small == nullptr || event.kind != EventKind::kEvict ||
        tried.fetch_add(1) != 0) {
      return;
    }
    Thread other([&] {
      ValidateContext context;
      context.wait = WaitLimit{WaitLimit::Mode::kNoWait};
      EXPECT_EQ(KindOf(rig->Validate(small, {GetParam().placement}, &context)),
                ErrorKind::kBusy);
    });
  };
  Rig own_rig(options);
  rig = &own_rig;
  const Budget budget{.max_pages = 4 * kBoPages};
  const bool device = GetParam().resource == Resource::kDevice;
  const ClientRef client =
      *own_rig.host().CreateClient({.name = "a",
                                    .dma = device ? Budget{} : budget,
                                    .device = device ? budget : Budget{}});
  const auto make = [&](uint64_t bytes) {
    return *own_rig.host().CreateBo(bytes, client);
  };
  std::vector<BoRef> bos;
  for (int i = 0; i < 4; ++i) {
    bos.push_back(make(kBo));
    ASSERT_EQ(own_rig.Validate(bos.back(), GetParam().placement),
              absl::OkStatus());
  }
  const BoRef big = make(3 * kBo);
  small = make(kBo);
  EXPECT_EQ(own_rig.Validate(big, GetParam().placement), absl::OkStatus());
  EXPECT_GE(tried, 1);
  EXPECT_TRUE(big->Holds(GetParam().resource));
  EXPECT_FALSE(small->Holds(GetParam().resource));
  EXPECT_EQ(own_rig.Broken(), "");
  small = nullptr;
}

TEST_P(ClientTest, R14AtALimitOfPinnedBosTheErrorNamesTheClientAndTheLimit) {
  const ClientRef client = MakeClient("greedy", {.max_pages = kBoPages});
  const std::vector<BoRef> bos = Make(client, 2);
  PlaceAll({bos[0]});
  rig_.Pin(bos[0]);
  const absl::Status refused = Place(bos[1]);
  EXPECT_EQ(KindOf(refused), ErrorKind::kCannotFit) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr(std::string("greedy's limit of ") +
                        NameOf(GetParam().resource) +
                        " is full (64 KiB wanted, 0 KiB free)"));
  EXPECT_EQ(rig_.Broken(), "");
  rig_.Unpin(bos[0]);
  EXPECT_EQ(Place(bos[1]), absl::OkStatus());
  const BoRef big = *rig_.host().CreateBo(2 * kBo, client);
  EXPECT_EQ(KindOf(Place(big)), ErrorKind::kNeverFits);
}

TEST_P(ClientTest, R14TheUnprotectedGoFirstThenWhoIsFurthestAboveItsLow) {
  const ClientRef safe = MakeClient("safe", {.low_pages = 4 * kBoPages});
  const ClientRef above = MakeClient("above", {.low_pages = 2 * kBoPages});
  const std::vector<BoRef> safe_bos = Make(safe, 4);
  const std::vector<BoRef> above_bos = Make(above, 6);
  const std::vector<BoRef> others = Make(nullptr, 6);
  PlaceAll(safe_bos);
  PlaceAll(above_bos);
  PlaceAll(others);  // the most recent, and yet
  const std::vector<BoRef> more = Make(nullptr, 3);
  PlaceAll(more);
  EXPECT_EQ(InPlace(others), 3);
  EXPECT_EQ(InPlace(above_bos), 6);
  for (const BoRef& bo : others) rig_.Pin(bo);
  for (const BoRef& bo : more) rig_.Pin(bo);
  for (const BoRef& bo : Make(nullptr, 4)) {
    PlaceAll({bo});
    rig_.Pin(bo);  // unprotected, it would be the next to go
    pinned_.push_back(bo);
  }
  EXPECT_EQ(InPlace(above_bos), 2);
  EXPECT_EQ(InPlace(safe_bos), 4);
  EXPECT_EQ(rig_.Broken(), "");
}

// Low protection yields when there is nothing else; min never does.
TEST_P(ClientTest, R14MinIsNeverTakenByOthers) {
  const ClientRef low = MakeClient("low", {.low_pages = 8 * kBoPages});
  const ClientRef min = MakeClient("min", {.min_pages = 8 * kBoPages});
  const std::vector<BoRef> low_bos = Make(low, 8);
  const std::vector<BoRef> min_bos = Make(min, 8);
  PlaceAll(low_bos);
  PlaceAll(min_bos);
  const std::vector<BoRef> others = Make(nullptr, 9);
  for (int i = 0; i < 8; ++i) {
    ASSERT_EQ(Place(others[i]), absl::OkStatus());
    rig_.Pin(others[i]);
  }
  EXPECT_EQ(InPlace(low_bos), 0);
  EXPECT_EQ(InPlace(min_bos), 8);
  EXPECT_EQ(KindOf(Place(others[8])), ErrorKind::kCannotFit);
  // It may itself.
  const std::vector<BoRef> own = Make(min, 1);
  EXPECT_EQ(Place(own[0]), absl::OkStatus());
  EXPECT_EQ(InPlace(min_bos), 7);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ClientTest, S27TheReportAddsUp) {
  const ClientRef a = MakeClient("a", {});
  const ClientRef b = MakeClient("b", {.max_pages = 6 * kBoPages});
  const std::vector<BoRef> a_bos = Make(a, 3);
  const std::vector<BoRef> b_bos = Make(b, 8);
  const std::vector<BoRef> others = Make(nullptr, 2);
  PlaceAll(a_bos);
  PlaceAll(b_bos);
  PlaceAll(others);
  BoRef leaving = *rig_.host().CreateBo(kBo, a);
  ASSERT_EQ(Place(leaving), absl::OkStatus());
  rig_.KeepBusy(leaving);
  leaving = nullptr;
  const UsageReport report = rig_.host().Report();
  ASSERT_EQ(report.lines.size(), 3u);
  EXPECT_EQ(report.lines[1].client, "a");
  EXPECT_EQ(report.lines[2].bos, 8u);
  for (int i = 0; i < kResources; ++i) {
    EXPECT_EQ(report.lines[1].pages[i] + report.lines[1].pending_pages[i],
              a->account(static_cast<Resource>(i)).used_pages());
  }
  // What the machine itself says.
  EXPECT_EQ(report.total_pages[static_cast<int>(Resource::kDevice)],
            rig_.device().manager(MemoryType::kVram)->used_pages());
  uint64_t bound = 0;
  for (const DmaType type :
       {DmaType::kDynamic, DmaType::kCoherent, DmaType::kCma}) {
    if (rig_.host().binder(type).can_run_out()) {
      bound += rig_.host().binder(type).bound_pages_now();
    }
  }
  EXPECT_EQ(report.total_pages[static_cast<int>(Resource::kDma)], bound);
  PhysicalMemory& memory = rig_.machine().memory();
  const uint64_t pools =
      rig_.host().binder(DmaType::kCoherent).bound_pages_now();
  EXPECT_EQ(report.total_pages[static_cast<int>(Resource::kHost)],
            memory.used_frames(Zone::kDma32) +
                memory.used_frames(Zone::kNormal) + pools);
}

// R14: what the device still uses is its client's, bo or no bo.
TEST(Client, R13_StorageLeftBehindIsChargedUntilTheDeviceIsDone) {
  Rig rig;
  const ClientRef client = *rig.host().CreateClient(
      {.name = "hasty", .host = {.max_pages = 2 * kBoPages}});
  const auto used = [&] {
    return client->account(Resource::kHost).used_pages();
  };
  for (int i = 0; i < 2; ++i) {
    BoRef bo = *rig.host().CreateBo(kBo, client);
    ASSERT_EQ(rig.Validate(bo, Tt(DmaType::kDynamic)), absl::OkStatus());
    rig.KeepBusy(bo);
  }
  EXPECT_EQ(used(), 2 * kBoPages);
  EXPECT_EQ(rig.host().Report().lines[1].pending_pages[0], 2 * kBoPages);
  EXPECT_EQ(rig.Broken(), "");
  // Not to be had without waiting; there for who waits.
  BoRef third = *rig.host().CreateBo(kBo, client);
  ValidateContext no_wait{.wait = {WaitLimit::Mode::kNoWait}};
  EXPECT_EQ(KindOf(rig.Validate(third, {Tt(DmaType::kDynamic)}, &no_wait)),
            ErrorKind::kBusy);
  ASSERT_EQ(rig.Validate(third, Tt(DmaType::kDynamic)), absl::OkStatus());
  third = nullptr;
  while (rig.host().ReapGhosts(WaitLimit{})) {
  }
  EXPECT_EQ(used(), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// A hole takes several bos at once.
TEST_P(ClientTest, R14AHoleForOthersLeavesAClientItsMin) {
  const ClientRef client = MakeClient("sure", {.min_pages = 12 * kBoPages});
  const std::vector<BoRef> bos = Make(client, 16);
  PlaceAll(bos);
  const BoRef big = rig_.Make(8 * kBo);
  EXPECT_EQ(KindOf(Place(big)), ErrorKind::kCannotFit);
  EXPECT_GE(Used(client), 12 * kBoPages);
  const BoRef fits = rig_.Make(4 * kBo);
  EXPECT_EQ(Place(fits), absl::OkStatus());
  EXPECT_EQ(Used(client), 12 * kBoPages);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ClientTest, R14ABoOfWhichAPartIsProtectedStays) {
  const ClientRef client = MakeClient("sure", {.min_pages = 16 * kBoPages - 1});
  const std::vector<BoRef> bos = Make(client, 16);
  PlaceAll(bos);
  EXPECT_EQ(KindOf(Place(rig_.Make(kPageSize))), ErrorKind::kCannotFit);
  EXPECT_EQ(InPlace(bos), 16);
  // Its own may take it.
  const BoRef own = *rig_.host().CreateBo(kPageSize, client);
  EXPECT_EQ(Place(own), absl::OkStatus());
  EXPECT_EQ(InPlace(bos), 15);
}

INSTANTIATE_TEST_SUITE_P(All, ClientTest, testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

// A device, and a number of clients each of which has some of its VRAM; the
// rest is pinned.
class Crowd {
 public:
  static constexpr PageCount kVramPages = 1024;

  static RigOptions Options() {
    RigOptions options = RigOptions::Small();
    options.options.backing = Backing::kUnbacked;
    options.gpu.vram_bytes = PagesToBytes(kVramPages);
    options.gpu.vram_visible_bytes = GpuConfig::kAllOfIt;
    options.machine.normal_bytes = 64 * kMiB;
    return options;
  }
  void Add(const Budget& budget, PageCount count) {
    clients.push_back(
        *rig.host().CreateClient({.name = "one", .device = budget}));
    for (PageCount i = 0; i < count; ++i) {
      bos.push_back(*rig.host().CreateBo(kPageSize, clients.back()));
      EXPECT_EQ(rig.Validate(bos.back(), kVram), absl::OkStatus());
    }
  }
  // Takes a page for good.
  absl::Status PinOne() {
    BoRef bo = rig.Make(kPageSize);
    absl::Status placed = rig.Validate(bo, kVram);
    if (placed.ok()) {
      rig.Pin(bo);
      pinned.push_back(std::move(bo));
    }
    return placed;
  }
  void PinTheRest() {
    for (size_t i = bos.size(); i < kVramPages; ++i) {
      EXPECT_EQ(PinOne(), absl::OkStatus());
    }
  }
  uint64_t Used(size_t client) const {
    return clients[client]->account(Resource::kDevice).used_pages();
  }
  ~Crowd() {
    for (const BoRef& bo : pinned) rig.Unpin(bo);
  }

  Rig rig{Options()};
  std::vector<ClientRef> clients;
  std::vector<BoRef> bos;
  std::vector<BoRef> pinned;
};

// A hole takes two, of which one leaves its client just its min. While the
// other goes, somebody else takes from that client elsewhere: not any more.
TEST(Client, R14NobodyIsEvictedForAHoleThatProtectionKeepsShut) {
  class Hooks final : public DeviceHooks {
   public:
    void Notify(const BufferObject&, BoEvent event) override {
      if (event != BoEvent::kMoved || !amid) return;
      std::function<void()> once;
      once.swap(amid);
      Thread other(once);
    }
    std::function<void()> amid;
  };
  Hooks hooks;
  RigOptions options = RigOptions::Small();
  options.gpu.vram_bytes = options.gpu.vram_visible_bytes = 2 * kBo;
  options.hooks = &hooks;
  Rig rig(options);
  GpuConfig config = options.gpu;
  config.name = "second";
  config.vram_bytes = config.vram_visible_bytes = kBo;
  const auto second = *Device::Create(rig.host(), config);
  const auto place_there = [&](const BoRef& bo, const WaitLimit& wait) {
    ValidateContext context{.wait = wait};
    bo->Reserve();
    const absl::Status status = second->Validate(*bo, {&kVram, 1}, &context);
    bo->Unreserve();
    return status;
  };
  const ClientRef client = *rig.host().CreateClient(
      {.name = "sure", .device = {.min_pages = kBoPages}});
  const BoRef anybodys = rig.Make(kBo);
  const BoRef here = *rig.host().CreateBo(kBo, client);
  const BoRef there = *rig.host().CreateBo(kBo, client);
  ASSERT_EQ(rig.Validate(anybodys, kVram), absl::OkStatus());
  ASSERT_EQ(rig.Validate(here, kVram), absl::OkStatus());
  ASSERT_EQ(place_there(there, {}), absl::OkStatus());
  const BoRef newcomers[] = {rig.Make(2 * kBo), rig.Make(kBo)};
  absl::Status other;
  hooks.amid = [&] {
    other = place_there(newcomers[1], {WaitLimit::Mode::kNoWait});
  };
  EXPECT_EQ(rig.Validate(newcomers[0], kVram), absl::OkStatus());
  EXPECT_EQ(KindOf(other), ErrorKind::kBusy) << other;
  EXPECT_FALSE(anybodys->manager().fixed());
  EXPECT_FALSE(here->manager().fixed());
  EXPECT_TRUE(there->manager().fixed());
  EXPECT_EQ(client->account(Resource::kDevice).used_pages(), kBoPages);
  rig.device().Unplug({});
  second->Unplug({});
}

TEST(Client, R14OfManyTheOneFurthestAboveItsLowGivesFirst) {
  Crowd crowd;
  std::vector<uint64_t> low;
  for (PageCount i = 0; i < 40; ++i) {
    low.push_back(1 + i * 7 % 11);
    crowd.Add({.low_pages = low.back()}, 12 + i * 13 % 37 / 3);
  }
  crowd.PinTheRest();
  std::vector<uint64_t> has(40);
  for (size_t i = 0; i < 40; ++i) has[i] = crowd.Used(i);
  for (int round = 0; round < 250; ++round) {
    size_t next = 0;
    for (size_t i = 1; i < 40; ++i) {
      if (has[i] + low[next] > has[next] + low[i]) next = i;
    }
    ASSERT_GT(has[next], low[next]);
    --has[next];
    ASSERT_EQ(crowd.PinOne(), absl::OkStatus());
    for (size_t i = 0; i < 40; ++i) {
      ASSERT_EQ(crowd.Used(i), has[i]) << round << " " << i;
    }
  }
  EXPECT_EQ(crowd.rig.Broken(), "");
}

TEST(Client, R10OfManyTheOneThatGrewElsewhereIsNotMissed) {
  Crowd crowd;
  for (int i = 0; i < 900; ++i) crowd.Add({.min_pages = 1}, 1);
  crowd.PinTheRest();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(KindOf(crowd.PinOne()), ErrorKind::kCannotFit);
  }
  GpuConfig config = RigOptions::Small().gpu;
  config.name = "second";
  const auto second = *Device::Create(crowd.rig.host(), config);
  const BoRef more = *crowd.rig.host().CreateBo(kPageSize, crowd.clients[37]);
  more->Reserve();
  ValidateContext context;
  ASSERT_EQ(second->Validate(*more, {&kVram, 1}, &context), absl::OkStatus());
  more->Unreserve();
  EXPECT_EQ(crowd.PinOne(), absl::OkStatus());
  EXPECT_FALSE(crowd.bos[37]->Holds(Resource::kDevice));
  EXPECT_EQ(KindOf(crowd.PinOne()), ErrorKind::kCannotFit);
  EXPECT_EQ(crowd.rig.Broken(), "");
}

TEST(Client, ClientsThatComeAndGoLeaveNobodyOut) {
  Crowd crowd;
  for (int round = 0; round < 50; ++round) {
    crowd.bos.clear();
    crowd.clients.clear();
    for (int i = 0; i < 10; ++i) crowd.Add({.max_pages = 5}, 5);
  }
  crowd.PinTheRest();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(crowd.PinOne(), absl::OkStatus());
  EXPECT_EQ(KindOf(crowd.PinOne()), ErrorKind::kCannotFit);
  EXPECT_EQ(crowd.rig.Broken(), "");
}

TEST(Client, BudgetsThatProtectMoreThanTheyAllowAreRefused) {
  Rig rig;
  const auto client = rig.host().CreateClient(
      {.name = "odd", .dma = {.min_pages = 2, .max_pages = 1}});
  EXPECT_EQ(client.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(client.status().message()),
              HasSubstr("odd: of DMA resources"));
}

// Orders in which it has nothing are none of its business.
TEST(Client, R14WhoIsAtItsLimitLeavesOtherDmaTypesAlone) {
  Rig rig;
  const ClientRef client = *rig.host().CreateClient(
      {.name = "small", .dma = {.max_pages = kBoPages}});
  const BoRef others = rig.Make(kBo);
  ASSERT_EQ(rig.Validate(others, Tt(DmaType::kDynamic)), absl::OkStatus());
  for (int i = 0; i < 3; ++i) {
    const BoRef own = *rig.host().CreateBo(kBo, client);
    const BoRef next = *rig.host().CreateBo(kBo, client);
    ASSERT_EQ(rig.Validate(own, Tt(DmaType::kCoherent)), absl::OkStatus());
    ASSERT_EQ(rig.Validate(next, Tt(DmaType::kCoherent)), absl::OkStatus());
    EXPECT_FALSE(own->Holds(Resource::kDma));
    EXPECT_TRUE(others->Holds(Resource::kDma));
  }
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Client, AHostMemoryLimitSwapsOutItsOwn) {
  Rig rig;
  const ClientRef client = *rig.host().CreateClient(
      {.name = "small", .host = {.max_pages = 2 * kBoPages}});
  std::vector<BoRef> bos;
  for (int i = 0; i < 5; ++i) {
    bos.push_back(*rig.host().CreateBo(kBo, client));
    rig.CpuFill(bos.back(), i);
    EXPECT_LE(client->account(Resource::kHost).used_pages(), 2 * kBoPages);
  }
  EXPECT_EQ(rig.host().stats().swap_out_bytes, 3 * kBo);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// What is in coherent memory counts as host memory: it is no reason to refuse
// that leaving it takes a copy first.
TEST(Client, R10AHostMemoryLimitSwapsOutItsOwnFromCoherentMemory) {
  Rig rig;
  const ClientRef client = *rig.host().CreateClient(
      {.name = "small", .host = {.max_pages = 2 * kBoPages}});
  std::vector<BoRef> bos;
  for (int i = 0; i < 5; ++i) {
    bos.push_back(*rig.host().CreateBo(kBo, client));
    rig.CpuFill(bos.back(), i);
    EXPECT_EQ(rig.Validate(bos.back(), Tt(DmaType::kCoherent)),
              absl::OkStatus());
    EXPECT_LE(client->account(Resource::kHost).used_pages(), 2 * kBoPages);
  }
  EXPECT_EQ(rig.host().stats().swap_out_bytes, 3 * kBo);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// S14, scaled down by 1,024: four guests that each may have 2 MiB of coherent
// memory, over a host with 4 MiB of it.
TEST(Client, S14FourGuestsOverOnePool) {
  constexpr uint64_t kGuestPages = 2 * kMiB / kPageSize;
  constexpr uint64_t kFairPages = kGuestPages / 2;
  RigOptions options = RigOptions::Small();
  options.machine.coherent_bytes = 4 * kMiB;
  options.machine.iommu.iova_bytes = 64 * kMiB;
  options.gpu.aperture_bytes = 64 * kMiB;
  Rig rig(options);
  const Placement coherent = Tt(DmaType::kCoherent);
  std::vector<ClientRef> guests;
  std::vector<std::vector<BoRef>> bos(4);
  for (int g = 0; g < 4; ++g) {
    guests.push_back(*rig.host().CreateClient(
        {.name = "guest" + std::to_string(g),
         .dma = {.low_pages = kFairPages, .max_pages = kGuestPages}}));
    for (int i = 0; i < 32; ++i) {
      bos[g].push_back(*rig.host().CreateBo(kBo, guests[g]));
    }
  }
  // The first takes all it may have, before the others come.
  for (const BoRef& bo : bos[0]) {
    ASSERT_EQ(rig.Validate(bo, coherent), absl::OkStatus());
  }
  EXPECT_EQ(guests[0]->account(Resource::kDma).used_pages(), kGuestPages);
  std::vector<Thread> threads;
  for (int g = 0; g < 4; ++g) {
    threads.emplace_back([&, g] {
      for (int round = 0; round < 4; ++round) {
        for (const BoRef& bo : bos[g]) {
          Exec exec(rig.device());
          exec.Add(*bo, {&coherent, 1}, FenceUse::kWrite);
          ValidateContext context;
          ASSERT_EQ(exec.Run(&context), absl::OkStatus());
          exec.Finish(Fence{});
          ASSERT_LE(guests[g]->account(Resource::kDma).used_pages(),
                    kGuestPages);
        }
      }
    });
  }
  threads.clear();
  // All wanted more than there is, so each is left with its share.
  for (const ClientRef& guest : guests) {
    EXPECT_EQ(guest->account(Resource::kDma).used_pages(), kFairPages)
        << guest->name();
  }
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
