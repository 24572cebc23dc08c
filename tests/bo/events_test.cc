// What a host tells of its bos, event by event.

#include "twostep/bo/events.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "tests/bo/rig.h"
#include "twostep/bo/exec.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

RigOptions WithRings(RigOptions options = RigOptions::Small()) {
  options.host.events.ring_events = 1024;
  return options;
}

std::vector<Event> Take(Rig& rig) {
  Events::Taken taken = rig.host().events()->Take();
  EXPECT_EQ(taken.lost, 0u);
  return std::move(taken.events);
}

// What happened to `bo`, as "create dma-bind".
std::string Story(const std::vector<Event>& events, const BoRef& bo) {
  std::vector<std::string> words;
  for (const Event& event : events) {
    if (event.bo == bo->id()) words.push_back(NameOf(event.kind));
  }
  return absl::StrJoin(words, " ");
}

std::vector<Event> Of(const std::vector<Event>& events, EventKind kind) {
  std::vector<Event> of;
  std::copy_if(events.begin(), events.end(), std::back_inserter(of),
               [&](const Event& event) { return event.kind == kind; });
  return of;
}

uint64_t Pages(const std::vector<Event>& events, EventKind kind) {
  uint64_t pages = 0;
  for (const Event& event : Of(events, kind)) pages += event.pages;
  return pages;
}

// The only one of its kind.
Event One(const std::vector<Event>& events, EventKind kind) {
  const std::vector<Event> of = Of(events, kind);
  EXPECT_EQ(of.size(), 1u) << NameOf(kind);
  return of.empty() ? Event{} : of[0];
}

std::string Name(Rig& rig, uint8_t place) {
  const Events::Place known = rig.host().events()->PlaceOf(place);
  return known.device.empty() ? known.name : known.device + "." + known.name;
}

std::string FenceName(Rig& rig, const Event& event) {
  const Timeline* timeline = rig.machine().timeline(event.fence_timeline);
  return timeline == nullptr ? "" : timeline->name();
}

TEST(EventsTest, OffThereAreNone) {
  Rig rig;
  EXPECT_EQ(rig.host().events(), nullptr);
  const BoRef bo = rig.Make(kPageSize);
  EXPECT_TRUE(rig.Validate(bo, kVram).ok());
}

TEST(EventsTest, BothStepsAndTheWayToVram) {
  Rig rig(WithRings());
  BoRef bo = rig.Make(2 * kPageSize);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  std::vector<Event> events = Take(rig);
  EXPECT_EQ(Story(events, bo), "create dma-bind sync-for-device gpu-bind");
  EXPECT_EQ(Name(rig, One(events, EventKind::kDmaBind).to), "dynamic");
  EXPECT_EQ(Name(rig, One(events, EventKind::kGpuBind).to), "gpu0.tt");
  EXPECT_EQ(One(events, EventKind::kCreate).bytes(), 2 * kPageSize);

  ASSERT_TRUE(rig.Validate(bo, kVram).ok());
  events = Take(rig);
  EXPECT_EQ(Story(events, bo), "move gpu-unbind dma-unbind");
  const Event move = One(events, EventKind::kMove);
  EXPECT_EQ(Name(rig, move.from), "gpu0.tt");
  EXPECT_EQ(Name(rig, move.to), "gpu0.vram");
  EXPECT_EQ(move.pages, 2u);
  EXPECT_EQ(FenceName(rig, move), "gpu0.copy");
  EXPECT_EQ(move.fence_point, 1u);
  EXPECT_EQ(move.for_bo, 0u);

  // A hit is no news.
  ASSERT_TRUE(rig.Validate(bo, kVram).ok());
  EXPECT_TRUE(Take(rig).empty());
  const uint64_t id = bo->id();
  bo.reset();
  EXPECT_EQ(One(Take(rig), EventKind::kDestroy).bo, id);
}

TEST(EventsTest, NoContentsAreClearedNotMoved) {
  Rig rig(WithRings());
  const BoRef bo = rig.Make(kPageSize);
  ASSERT_TRUE(rig.Validate(bo, kVram).ok());
  const std::vector<Event> events = Take(rig);
  EXPECT_EQ(Story(events, bo), "create clear");
  EXPECT_EQ(One(events, EventKind::kClear).from, Events::kNowhere);
  EXPECT_EQ(rig.host().stats().to_fixed_bytes, 0u);
}

TEST(EventsTest, AVictimAndForWhom) {
  Rig rig(WithRings());
  const BoRef first = rig.Make(kMiB / 2);
  const BoRef second = rig.Make(kMiB / 2);
  const BoRef third = rig.Make(kMiB / 2);
  ASSERT_TRUE(rig.Validate(first, kVram).ok());
  ASSERT_TRUE(rig.Validate(second, kVram).ok());
  Take(rig);
  Exec exec(rig.device());
  exec.Add(*third, {&kVram, 1}, FenceUse::kWrite);
  ValidateContext context;
  ASSERT_TRUE(exec.Run(&context).ok());
  EXPECT_EQ(exec.submission(), 1u);
  exec.Finish(Fence{});

  const std::vector<Event> events = Take(rig);
  EXPECT_EQ(Story(events, first), "move evict");
  EXPECT_EQ(Story(events, second), "");
  EXPECT_EQ(Story(events, third), "clear");
  const Event evict = One(events, EventKind::kEvict);
  EXPECT_EQ(evict.for_bo, third->id());
  EXPECT_EQ(evict.limit, EventLimit::kMemoryType);
  EXPECT_EQ(Name(rig, evict.limit_of), "gpu0.vram");
  EXPECT_EQ(Name(rig, evict.from), "gpu0.vram");
  EXPECT_EQ(Name(rig, evict.to), "system");
  EXPECT_EQ(evict.submission, 1u);
  EXPECT_EQ(evict.pass, 2);
  EXPECT_EQ(evict.bytes(), kMiB / 2);
  // The victim's move says why, too; the other one's has no other reason.
  const Event move = One(events, EventKind::kMove);
  EXPECT_EQ(move.for_bo, third->id());
  EXPECT_EQ(move.limit, EventLimit::kMemoryType);
  const Event clear = One(events, EventKind::kClear);
  EXPECT_EQ(clear.for_bo, 0u);
  EXPECT_EQ(clear.limit, EventLimit::kNone);
  EXPECT_EQ(clear.submission, 1u);
  // The next exec has the next number; by hand there is none.
  ASSERT_TRUE(rig.Validate(first, kVram).ok());
  EXPECT_EQ(One(Take(rig), EventKind::kEvict).submission, 0u);
}

TEST(EventsTest, AnEvictionWithinAnEviction) {
  class ToTt : public DeviceHooks {
   public:
    PlacementList EvictTo(const BufferObject&) override {
      static constexpr Placement kTt = Tt(DmaType::kDynamic);
      return {&kTt, 1};
    }
  } hooks;
  RigOptions options = WithRings();
  options.hooks = &hooks;
  options.gpu.aperture_bytes = kMiB;
  options.machine.iommu.iova_bytes = 4 * kMiB;
  Rig rig(options);
  const BoRef in_tt = rig.Make(kMiB);
  const BoRef in_vram = rig.Make(kMiB);
  const BoRef comes = rig.Make(kMiB);
  ASSERT_TRUE(rig.Validate(in_tt, Tt(DmaType::kDynamic)).ok());
  ASSERT_TRUE(rig.Validate(in_vram, kVram).ok());
  Take(rig);
  ASSERT_TRUE(rig.Validate(comes, kVram).ok());
  const std::vector<Event> evicted = Of(Take(rig), EventKind::kEvict);
  ASSERT_EQ(evicted.size(), 2u);
  EXPECT_EQ(evicted[0].bo, in_tt->id());
  EXPECT_EQ(evicted[0].for_bo, in_vram->id());
  EXPECT_EQ(Name(rig, evicted[0].limit_of), "gpu0.tt");
  // It stays DMA-bound.
  EXPECT_EQ(Name(rig, evicted[0].to), "dynamic");
  EXPECT_EQ(evicted[1].bo, in_vram->id());
  EXPECT_EQ(evicted[1].for_bo, comes->id());
  EXPECT_EQ(Name(rig, evicted[1].limit_of), "gpu0.vram");
  EXPECT_EQ(Name(rig, evicted[1].to), "gpu0.tt");
}

TEST(EventsTest, WhoWasPassedOver) {
  Rig rig(WithRings());
  std::vector<BoRef> bos;
  for (int i = 0; i < 8; ++i) {
    bos.push_back(rig.Make(kMiB / 8));
    ASSERT_TRUE(rig.Validate(bos.back(), kVram).ok());
  }
  rig.Pin(bos[0]);
  // Of another thread; and of this exec.
  Atomic<int> step{0};
  Thread other([&] {
    bos[1]->Reserve();
    step.store(1);
    for (uint64_t i = 0; step.load() != 2; ++i) YieldFor(i);
    bos[1]->UnreserveUnused();
  });
  for (uint64_t i = 0; step.load() != 1; ++i) YieldFor(i);
  Take(rig);
  const BoRef comes = rig.Make(kMiB / 8);
  Exec exec(rig.device());
  exec.Add(*bos[2], {&kVram, 1}, FenceUse::kRead);
  exec.Add(*bos[3], {&kVram, 1}, FenceUse::kRead);
  exec.Add(*comes, {&kVram, 1}, FenceUse::kWrite);
  ValidateContext context;
  ASSERT_TRUE(exec.Run(&context).ok());
  exec.Finish(Fence{});
  step.store(2);
  const Event evict = One(Take(rig), EventKind::kEvict);
  EXPECT_EQ(evict.bo, bos[4]->id());
  EXPECT_EQ(evict.pinned_pages, kMiB / 8 / kPageSize);
  EXPECT_EQ(evict.skipped.reserved, 1);
  EXPECT_EQ(evict.skipped.mine, 2);
  EXPECT_EQ(evict.skipped.stuck, 0);
  EXPECT_EQ(evict.skipped.protected_bos, 0);
  EXPECT_EQ(evict.skipped.unhelpful, 0);
}

TEST(EventsTest, WhoStandsInTheWrongPlace) {
  Rig rig(WithRings());
  // In turn: a small one between two that are wanted together.
  std::vector<BoRef> bos;
  for (const uint64_t eighths : {1, 2, 1, 2, 2}) {
    bos.push_back(rig.Make(eighths * kMiB / 8));
    ASSERT_TRUE(rig.Validate(bos.back(), kVram).ok());
  }
  // The first alone makes no hole of three eighths, and it has no neighbour
  // among those that come next.
  rig.Touch(bos[1]);
  Take(rig);
  const BoRef comes = rig.Make(3 * kMiB / 8);
  ASSERT_TRUE(rig.Validate(comes, kVram).ok());
  const std::vector<Event> evicted = Of(Take(rig), EventKind::kEvict);
  ASSERT_EQ(evicted.size(), 2u);
  EXPECT_EQ(evicted[0].bo, bos[2]->id());
  EXPECT_EQ(evicted[1].bo, bos[3]->id());
  for (const Event& evict : evicted) {
    EXPECT_EQ(evict.for_bo, comes->id());
    EXPECT_EQ(evict.skipped.unhelpful, 1);
  }
}

TEST(EventsTest, WhoCannotGo) {
  RigOptions options = WithRings();
  // Nothing can leave VRAM for frames.
  options.machine.normal_bytes = 0;
  options.machine.dma32_bytes = 4 * kMiB;
  options.machine.swap_bytes = 0;
  options.machine.cma_bytes = 0;
  Rig rig(options);
  std::vector<BoRef> bos;
  for (int i = 0; i < 4; ++i) {
    bos.push_back(rig.Make(kMiB / 4));
    ASSERT_TRUE(rig.Validate(bos.back(), kVram).ok());
  }
  rig.machine().memory().SetPageLimit(1);
  bos[2]->Reserve();
  bos[2]->SetWorthless(true);
  bos[2]->UnreserveUnused();
  Take(rig);
  const BoRef comes = rig.Make(kMiB / 4);
  ASSERT_TRUE(rig.Validate(comes, kVram).ok());
  const Event evict = One(Take(rig), EventKind::kEvict);
  EXPECT_EQ(evict.bo, bos[2]->id());
  EXPECT_EQ(evict.to, Events::kNowhere);
  EXPECT_EQ(evict.skipped.stuck, 2);
}

TEST(EventsTest, WhoIsProtected) {
  Rig rig(WithRings());
  const ClientRef guarded = *rig.host().CreateClient(
      {.name = "guarded", .device = {.min_pages = kMiB / 2 / kPageSize}});
  const ClientRef other = *rig.host().CreateClient({.name = "other"});
  std::vector<BoRef> bos;
  for (const ClientRef& client : {guarded, guarded, other, other}) {
    bos.push_back(*rig.host().CreateBo(kMiB / 4, client));
    ASSERT_TRUE(rig.Validate(bos.back(), kVram).ok());
  }
  std::vector<Event> events = Take(rig);
  const std::vector<Event> made = Of(events, EventKind::kCreate);
  ASSERT_EQ(made.size(), 4u);
  EXPECT_EQ(rig.host().events()->ClientName(made[0].client), "guarded");
  const BoRef comes = *rig.host().CreateBo(kMiB / 4, other);
  ASSERT_TRUE(rig.Validate(comes, kVram).ok());
  const Event evict = One(Take(rig), EventKind::kEvict);
  EXPECT_EQ(evict.bo, bos[2]->id());
  EXPECT_EQ(evict.skipped.protected_bos, 2);
  EXPECT_EQ(rig.host().events()->ClientName(evict.client), "other");
}

TEST(EventsTest, AClientAtItsLimit) {
  Rig rig(WithRings());
  const uint64_t pages = kMiB / 4 / kPageSize;
  const ClientRef device =
      *rig.host().CreateClient({.name = "d", .device = {.max_pages = pages}});
  const ClientRef dma =
      *rig.host().CreateClient({.name = "m", .dma = {.max_pages = pages}});
  const ClientRef frames =
      *rig.host().CreateClient({.name = "f", .host = {.max_pages = pages}});
  for (const auto& [client, placement, limit] :
       {std::tuple{device, kVram, EventLimit::kClientDevice},
        {dma, Tt(DmaType::kDynamic), EventLimit::kClientDma},
        {frames, Tt(DmaType::kNone), EventLimit::kClientHost}}) {
    const BoRef first = *rig.host().CreateBo(kMiB / 4, client);
    const BoRef second = *rig.host().CreateBo(kMiB / 4, client);
    ASSERT_TRUE(rig.Validate(first, placement).ok());
    ASSERT_TRUE(rig.Validate(second, placement).ok());
    const Event evict = One(Take(rig), EventKind::kEvict);
    EXPECT_EQ(evict.bo, first->id());
    EXPECT_EQ(evict.for_bo, second->id());
    EXPECT_EQ(evict.limit, limit);
    EXPECT_EQ(rig.host().events()->ClientName(evict.limit_of), client->name());
  }
}

TEST(EventsTest, DmaResourcesAndAddresses) {
  Rig rig(WithRings());
  for (const auto& [type, limit, name] :
       {std::tuple{DmaType::kCoherent, EventLimit::kDmaType, "coherent"},
        {DmaType::kDynamic, EventLimit::kIova, "dynamic"}}) {
    RigOptions options = WithRings();
    options.machine.iommu.mode =
        type == DmaType::kDynamic ? IommuMode::kTranslated : IommuMode::kAbsent;
    Rig own(options);
    const BoRef first = own.Make(kMiB);
    const BoRef second = own.Make(kMiB);
    ASSERT_TRUE(own.Validate(first, Tt(type)).ok());
    ASSERT_TRUE(own.Validate(second, Tt(type)).ok());
    const std::vector<Event> events = Take(own);
    const Event evict = One(events, EventKind::kEvict);
    EXPECT_EQ(evict.bo, first->id());
    EXPECT_EQ(evict.for_bo, second->id());
    EXPECT_EQ(evict.limit, limit);
    EXPECT_EQ(Name(own, evict.limit_of), name);
    EXPECT_EQ(Name(own, evict.from), name);
    EXPECT_EQ(One(events, EventKind::kDmaUnbind).limit, limit);
  }
}

TEST(EventsTest, SwappedForFramesAndByTheHost) {
  RigOptions options = WithRings();
  options.host.events.ring_events = 1 << 14;  // each page faults
  options.machine.cma_bytes = 0;
  options.machine.coherent_bytes = 0;
  Rig rig(options);
  const uint64_t free =
      PagesToBytes(rig.machine().memory().free_frames(kNoFrame - 1));
  const BoRef first = rig.Make(free - kMiB);
  const BoRef second = rig.Make(2 * kMiB);
  rig.CpuFill(first, 1);
  Take(rig);
  auto mapping = *CpuMapping::Create(second);
  ASSERT_TRUE(mapping->Touch({0, 1}, Access::kWrite).ok());
  std::vector<Event> events = Take(rig);
  Event evict = One(events, EventKind::kEvict);
  EXPECT_EQ(Story(events, first), "swap-out evict");
  EXPECT_EQ(evict.limit, EventLimit::kFrames);
  EXPECT_EQ(evict.for_bo, second->id());
  EXPECT_EQ(Name(rig, evict.to), "swap");
  mapping.reset();
  EXPECT_NE(rig.host().Shrink(1).bo_pages, 0u);
  events = Take(rig);
  evict = One(events, EventKind::kEvict);
  EXPECT_EQ(evict.bo, second->id());
  EXPECT_EQ(evict.limit, EventLimit::kReclaim);
  EXPECT_EQ(evict.for_bo, 0u);
  ASSERT_TRUE(rig.Validate(second, Tt(DmaType::kNone)).ok());
  EXPECT_EQ(Story(Take(rig), second), "swap-in dma-bind gpu-bind");
}

TEST(EventsTest, TheFenceThatWasWaitedFor) {
  RigOptions options = WithRings();
  options.gpu.aperture_bytes = kMiB;
  Rig rig(options);
  const BoRef first = rig.Make(kMiB);
  const BoRef second = rig.Make(kMiB / 2);
  ASSERT_TRUE(rig.Validate(first, Tt(DmaType::kNone)).ok());
  const Fence fence = rig.KeepBusy(first);
  Take(rig);
  ASSERT_TRUE(rig.Validate(second, Tt(DmaType::kNone)).ok());
  const std::vector<Event> events = Take(rig);
  EXPECT_EQ(Story(events, first), "wait gpu-unbind evict");
  for (const EventKind kind : {EventKind::kWait, EventKind::kEvict}) {
    const Event event = One(events, kind);
    EXPECT_EQ(FenceName(rig, event), "work");
    EXPECT_EQ(event.fence_point, fence.point);
    EXPECT_EQ(event.waited_ns, 1'000'000'000u);
    EXPECT_EQ(event.for_bo, second->id());
  }
}

TEST(EventsTest, HandingOverAndFaultsAddUp) {
  RigOptions options = WithRings(RigOptions::Small(IommuMode::kAbsent));
  options.gpu.coherent = false;
  Rig rig(options);
  const BoRef bo = rig.Make(8 * kPageSize);
  std::vector<Event> all;
  const auto take = [&] {
    const std::vector<Event> some = Take(rig);
    all.insert(all.end(), some.begin(), some.end());
  };
  for (const DmaType type : {DmaType::kDynamic, DmaType::kNone}) {
    rig.CpuFill(bo, 1);
    ASSERT_TRUE(rig.Validate(bo, Tt(type)).ok());
    auto mapping = *CpuMapping::Create(bo);
    ASSERT_TRUE(mapping->Touch({2, 3}, Access::kWrite).ok());
    ASSERT_TRUE(rig.Validate(bo, Tt(type)).ok());
    ASSERT_TRUE(mapping->Touch({0, 1}, Access::kRead).ok());
    ASSERT_TRUE(rig.Validate(bo, kVram).ok());
    ASSERT_TRUE(rig.Validate(bo, kSystem).ok());
    take();
  }
  uint64_t for_device = 0;
  uint64_t for_cpu = 0;
  for (const DmaType type : {DmaType::kDynamic, DmaType::kNone}) {
    for_device += rig.host().binder(type).stats().pages_synced_for_device;
    for_cpu += rig.host().binder(type).stats().pages_synced_for_cpu;
  }
  EXPECT_GT(for_cpu, 3u);
  EXPECT_EQ(Pages(all, EventKind::kSyncForDevice), for_device);
  EXPECT_EQ(Pages(all, EventKind::kSyncForCpu), for_cpu);
  EXPECT_EQ(Pages(all, EventKind::kCpuFault), rig.host().stats().cpu_faults);
  uint64_t to_vram = 0;
  for (const Event& event : Of(all, EventKind::kMove)) {
    if (Name(rig, event.to) == "gpu0.vram") to_vram += event.bytes();
  }
  EXPECT_EQ(to_vram, rig.host().stats().to_fixed_bytes);
}

TEST(EventsTest, FailuresSayOfWhichClass) {
  Rig rig(WithRings());
  const BoRef bo = rig.Make(2 * kMiB);
  EXPECT_EQ(KindOf(rig.Validate(bo, kVram)), ErrorKind::kNeverFits);
  Event failure = One(Take(rig), EventKind::kFailure);
  EXPECT_EQ(failure.bo, bo->id());
  EXPECT_EQ(failure.error, static_cast<uint8_t>(ErrorKind::kNeverFits));
  EXPECT_FALSE(rig.host().CreateBo(0).ok());
  failure = One(Take(rig), EventKind::kFailure);
  EXPECT_EQ(failure.bo, 0u);
  EXPECT_EQ(failure.error, static_cast<uint8_t>(ErrorKind::kNeverFits));
}

TEST(EventsTest, AFailureSaysWhatWasShortAndWhoWasPassedOver) {
  Rig rig(WithRings());
  const BoRef pinned = rig.Make(kMiB / 2);
  const BoRef mine = rig.Make(kMiB / 4);
  ASSERT_TRUE(rig.Validate(pinned, kVram).ok());
  ASSERT_TRUE(rig.Validate(mine, kVram).ok());
  rig.Pin(pinned);
  const BoRef comes = rig.Make(kMiB / 2);
  Take(rig);
  {
    Exec exec(rig.device());
    exec.Add(*mine, {&kVram, 1}, FenceUse::kRead);
    exec.Add(*comes, {&kVram, 1}, FenceUse::kWrite);
    ValidateContext context;
    EXPECT_EQ(KindOf(exec.Run(&context)), ErrorKind::kCannotFit);
  }
  Event failure = One(Take(rig), EventKind::kFailure);
  EXPECT_EQ(failure.bo, comes->id());
  EXPECT_EQ(failure.limit, EventLimit::kMemoryType);
  EXPECT_EQ(Name(rig, static_cast<uint8_t>(failure.limit_of)), "gpu0.vram");
  EXPECT_EQ(failure.pass, 2);
  EXPECT_EQ(failure.pinned_pages, kMiB / 2 / kPageSize);
  EXPECT_EQ(failure.skipped.mine, 1);
  EXPECT_EQ(failure.for_bo, 0u);
  // That one was for want of room; this is not.
  ASSERT_TRUE(rig.Validate(comes, Tt(DmaType::kDynamic)).ok());
  rig.Pin(comes);
  EXPECT_EQ(KindOf(rig.Validate(comes, kVram)), ErrorKind::kPinned);
  failure = One(Take(rig), EventKind::kFailure);
  EXPECT_EQ(failure.limit, EventLimit::kNone);
  EXPECT_EQ(failure.pinned_pages, 0u);
}

TEST(EventsTest, ADeviceThatGoesIsTheReason) {
  Rig rig(WithRings());
  const BoRef bo = rig.Make(kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, kVram).ok());
  Take(rig);
  rig.device().Unplug({.contents = Unplugging::Contents::kBringHome,
                       .engine = Unplugging::CopyEngine::kWorks});
  const Event move = One(Take(rig), EventKind::kMove);
  EXPECT_EQ(move.limit, EventLimit::kDevice);
  EXPECT_EQ(Name(rig, move.to), "system");
}

TEST(EventsTest, ARingKeepsTheLatestAndCountsTheRest) {
  RigOptions options = WithRings();
  options.host.events.ring_events = 5;  // 8
  Rig rig(options);
  std::vector<BoRef> bos;
  for (int i = 0; i < 20; ++i) bos.push_back(rig.Make(kPageSize));
  Events::Taken taken = rig.host().events()->Take();
  EXPECT_EQ(taken.lost, 12u);
  ASSERT_EQ(taken.events.size(), 8u);
  EXPECT_EQ(taken.events.front().bo, bos[12]->id());
  EXPECT_EQ(taken.events.back().bo, bos[19]->id());
  taken = rig.host().events()->Take();
  EXPECT_EQ(taken.lost, 0u);
  EXPECT_TRUE(taken.events.empty());
}

TEST(EventsTest, ACallbackIsToldAtOnce) {
  std::vector<Event> heard;
  RigOptions options = RigOptions::Small();
  options.host.events.callback = [&](const Event& event) {
    heard.push_back(event);
  };
  Rig rig(options);
  const BoRef bo = rig.Make(kPageSize);
  rig.machine().clock().Charge(5000);
  ASSERT_TRUE(rig.Validate(bo, kVram).ok());
  EXPECT_EQ(Story(heard, bo), "create clear");
  EXPECT_EQ(heard[1].time_ns - heard[0].time_ns, 5000u);
  // There are no rings.
  EXPECT_TRUE(Take(rig).empty());
}

TEST(EventsTest, HostsKeepToThemselves) {
  Rig one(WithRings());
  Rig two(WithRings());
  Rig silent;
  const BoRef first = one.Make(kPageSize);
  const BoRef second = two.Make(kPageSize);
  const BoRef third = silent.Make(kPageSize);
  EXPECT_EQ(One(Take(one), EventKind::kCreate).bo, first->id());
  EXPECT_EQ(One(Take(two), EventKind::kCreate).bo, second->id());
}

TEST(EventsTest, ARealClockTellsRealTime) {
  RigOptions options = WithRings();
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  const uint64_t before = rig.machine().clock().now_ns();
  std::vector<BoRef> bos;
  for (int i = 0; i < 100; ++i) bos.push_back(rig.Make(kPageSize));
  const std::vector<Event> events = Take(rig);
  const uint64_t after = rig.machine().clock().now_ns();
  ASSERT_EQ(events.size(), 100u);
  uint64_t last = before - 1'000'000;
  for (const Event& event : events) {
    EXPECT_GE(event.time_ns, last);
    last = event.time_ns;
  }
  EXPECT_LE(last, after + 1'000'000);
}

TEST(EventsTest, AllThreadsAreHeard) {
  constexpr int kThreads = 4;
  constexpr int kBos = 500;
  RigOptions options = WithRings();
  options.host.events.ring_events = 1 << 16;
  Rig rig(options);
  Atomic<int> running{kThreads};
  // One that had ended would leave its number to the next.
  Atomic<int> started{0};
  std::vector<Event> all;
  {
    std::vector<Thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        started.fetch_add(1);
        for (uint64_t i = 0; started.load() != kThreads; ++i) YieldFor(i);
        for (int i = 0; i < kBos; ++i) {
          const BoRef bo = rig.Make(kMiB / 8);
          EXPECT_TRUE(rig.Validate(bo, kVram).ok());
        }
        running.fetch_sub(1);
        for (uint64_t i = 0; running.load() != 0; ++i) YieldFor(i);
      });
    }
    // While they write.
    while (running.load() != 0) {
      const std::vector<Event> some = Take(rig);
      all.insert(all.end(), some.begin(), some.end());
    }
  }
  const std::vector<Event> some = Take(rig);
  all.insert(all.end(), some.begin(), some.end());
  EXPECT_EQ(Of(all, EventKind::kCreate).size(), size_t{kThreads * kBos});
  EXPECT_EQ(Of(all, EventKind::kDestroy).size(), size_t{kThreads * kBos});
  // Each thread's are in order, and its own.
  std::vector<uint64_t> made(Events::kMaxThreads);
  int threads = 0;
  for (const Event& event : all) {
    if (event.kind == EventKind::kCreate) {
      threads += made[event.thread] == 0;
      EXPECT_GT(event.bo, made[event.thread]);
      made[event.thread] = event.bo;
    }
  }
  EXPECT_EQ(threads, kThreads);
  for (const Event& evict : Of(all, EventKind::kEvict)) {
    EXPECT_NE(evict.for_bo, 0u);
    EXPECT_NE(evict.for_bo, evict.bo);
  }
}

// The reader meets a writer that laps it: what it gets is whole.
TEST(EventsTest, WhatIsOverwrittenWhileReadIsLostNotTorn) {
  RigOptions options = WithRings();
  options.host.events.ring_events = 8;
  Rig rig(options);
  Atomic<bool> stop{false};
  uint64_t made = 0;
  Thread writer([&] {
    while (!stop.load()) {
      const BoRef bo = rig.Make((1 + made % 7) * kPageSize);
      ++made;
    }
  });
  uint64_t heard = 0;
  uint64_t lost = 0;
  for (int i = 0; i < 2000; ++i) {
    const Events::Taken taken = rig.host().events()->Take();
    lost += taken.lost;
    heard += taken.events.size();
    for (const Event& event : taken.events) {
      ASSERT_EQ(event.pages, 1 + (event.bo - 1) % 7);
    }
  }
  stop.store(true);
  writer.Join();
  const Events::Taken rest = rig.host().events()->Take();
  EXPECT_EQ(heard + lost + rest.events.size() + rest.lost, 2 * made);
}

TEST(EventsTest, ADeviceLeavesItsNamesBehind) {
  Rig rig(WithRings());
  const BoRef bo = rig.Make(kPageSize);
  ASSERT_TRUE(rig.Validate(bo, kVram).ok());
  const uint8_t vram = One(Take(rig), EventKind::kClear).to;
  ASSERT_TRUE(rig.Validate(bo, kSystem).ok());
  rig.DestroyDevice();
  EXPECT_EQ(Name(rig, vram), "gpu0.vram");
  // The next of the name has the number.
  auto device = *Device::Create(
      rig.host(),
      {.name = "gpu0", .vram_bytes = kMiB, .vram_visible_bytes = 0});
  Take(rig);
  bo->Reserve();
  ValidateContext context;
  ASSERT_TRUE(device->Validate(*bo, {&kVram, 1}, &context).ok());
  bo->Unreserve();
  EXPECT_EQ(One(Take(rig), EventKind::kMove).to, vram);
  bo->Reserve();
  ASSERT_TRUE(device->Validate(*bo, {&kSystem, 1}, &context).ok());
  bo->Unreserve();
}

}  // namespace
}  // namespace twostep
