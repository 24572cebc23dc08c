#ifndef TESTS_BO_DMA_MISUSE_RIG_H_
#define TESTS_BO_DMA_MISUSE_RIG_H_

// A DMA type whose parts a test can make wrong, on a machine that looks for
// wrong uses of DMA, and what has been reported of it.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/bo/platforms.h"
#include "twostep/dma_types/dma_binder.h"

namespace twostep {

// A sound DMA type, each part of which a test can replace.
class FaultyBinder final : public DmaBinder {
 public:
  explicit FaultyBinder(Host& host, Sharing sharing = Sharing::kHandedOver)
      : DmaBinder("faulty", host.machine(), sharing, CanRunOut::kYes,
                  host.MakePolicy()) {}

  using DmaBinder::MapFrames;
  void Unmap(std::span<const FrameNumber> frames, DmaBinding& binding) {
    UnmapFrames(frames, binding);
  }
  BindOutcome SoundBind(Pages& pages, DmaPort& port, DmaBinding* binding) {
    binding->direction = direction;
    return MapFrames(pages.frames(), port, binding);
  }
  void SoundSync(Pages& pages, DmaBinding& binding, ByteRange bytes, Sync to) {
    DmaBinder::DoSync(pages, binding, bytes, to);
  }

  DmaDirection direction = DmaDirection::kBoth;
  std::function<BindOutcome(Pages&, DmaPort&, DmaBinding*)> bind;
  std::function<void(Pages&, DmaBinding&)> unbind;
  std::function<void(Pages&, DmaBinding&, ByteRange, Sync)> sync;

 private:
  BindOutcome DoBind(Pages& pages, DmaPort& port, Contents contents,
                     DmaBinding* binding) override {
    EXPECT_EQ(TakeOrdinaryFrames(pages, kNoFrame - 1, contents),
              Shortage::Kind::kNone);
    return bind ? bind(pages, port, binding) : SoundBind(pages, port, binding);
  }
  BindOutcome DoUnbind(Pages& pages, DmaBinding& binding, Contents) override {
    if (unbind) {
      unbind(pages, binding);
    } else {
      UnmapFrames(pages.frames(), binding);
    }
    return {};
  }
  void DoSync(Pages& pages, DmaBinding& binding, ByteRange bytes,
              Sync to) override {
    if (sync) {
      sync(pages, binding, bytes, to);
    } else {
      SoundSync(pages, binding, bytes, to);
    }
  }
  Shortage DoDescribe(PageCount, const DmaPort&,
                      BindOutcome::Scarce) const override {
    return {};
  }
};

inline RigOptions Checked(MachineKind kind) {
  RigOptions options = OptionsOf(kind);
  options.options.check_dma = CheckDma::kOn;
  return options;
}

class DmaMisuseOf {
 public:
  explicit DmaMisuseOf(RigOptions options, DmaBinder::Sharing sharing =
                                               DmaBinder::Sharing::kHandedOver)
      : rig(std::move(options)) {
    auto made = std::make_unique<FaultyBinder>(rig.host(), sharing);
    binder = made.get();
    type = *rig.device().RegisterDmaType(std::move(made));
  }
  explicit DmaMisuseOf(MachineKind kind) : DmaMisuseOf(Checked(kind)) {}

  BoRef MakeBound(PageCount pages = 4) {
    BoRef bo = rig.Make(PagesToBytes(pages));
    rig.CpuFill(bo, 1);
    EXPECT_TRUE(rig.Validate(bo, Tt(type)).ok());
    return bo;
  }
  void Unbind(const BoRef& bo) { EXPECT_TRUE(rig.Validate(bo, kSystem).ok()); }
  // A misuse of that kind has been reported, and nothing else; it names all
  // that is known.
  void ExpectOne(DmaMisuse::Kind kind, const BoRef& bo) {
    ASSERT_EQ(rig.misuses().size(), 1u) << All();
    const Misuse& misuse = rig.misuses()[0];
    EXPECT_EQ(misuse.kind, Misuse::Kind::kDma);
    ASSERT_TRUE(misuse.dma.has_value());
    EXPECT_STREQ(NameOf(*misuse.dma), NameOf(kind));
    EXPECT_THAT(misuse.message, testing::HasSubstr(NameOf(kind)));
    EXPECT_THAT(misuse.message, testing::HasSubstr("gpu0"));
    EXPECT_THAT(misuse.message, testing::HasSubstr(mapper));
    if (bo != nullptr) {
      EXPECT_THAT(misuse.message,
                  testing::HasSubstr(absl::StrCat("bo ", bo->id())));
    }
    rig.misuses().clear();
  }
  std::string All() {
    std::string all;
    for (const Misuse& misuse : rig.misuses()) all += misuse.message + "\n";
    return all;
  }

  Rig rig;
  FaultyBinder* binder;
  DmaType type;
  std::string mapper = "mapped by faulty";
};

// Pages that a test binds by itself, as an author tries out a type.
struct Tried {
  Tried(DmaMisuseOf& with, PageCount count) : with(with), pages(count) {
    const DmaDebug::Scope scope(with.rig.machine().dma_debug(), {.bo = 77});
    EXPECT_TRUE(with.binder
                    ->Bind(pages, with.rig.device().port(),
                           DmaBinder::Contents::kKeep, &binding)
                    .ok());
  }
  ~Tried() {
    EXPECT_TRUE(
        with.binder->Unbind(pages, binding, DmaBinder::Contents::kKeep).ok());
    pages.Release(with.rig.machine().memory(), with.rig.machine().swap());
  }
  ByteRange all() const { return {0, PagesToBytes(pages.count())}; }

  DmaMisuseOf& with;
  Pages pages;
  DmaBinding binding;
};
inline constexpr auto kForDevice = DmaBinder::Sync::kForDevice;
inline constexpr auto kForCpu = DmaBinder::Sync::kForCpu;

}  // namespace twostep

#endif  // TESTS_BO_DMA_MISUSE_RIG_H_
