#ifndef TESTS_CONTRACT_DMA_BINDER_CONTRACT_H_
#define TESTS_CONTRACT_DMA_BINDER_CONTRACT_H_

// What every DMA binder promises, ours or a user's, shown on pages and a port
// alone. To join, in a test that links :dma_binder_contract:
//
//   INSTANTIATE_TEST_SUITE_P(Mine, DmaBinderContract,
//                            testing::Values(DmaBinderCase{...}));

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/dma_types/dma_binder.h"
#include "twostep/machine/dma_port.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/page_pattern.h"

namespace twostep {

// A binder, and the smallest machine that makes it work for its living: page
// frames come from above 4 GiB as long as there are any.
struct DmaBinderCase {
  std::string name;
  std::function<std::unique_ptr<DmaBinder>(Machine&)> make;
  IommuMode iommu = IommuMode::kAbsent;
  bool bounce_all = false;  // the SWIOTLB, by force
  // Below 32 for a window at the start of memory; 34 to reach IOVAs.
  int mask_bits = 32;
  bool coherent = true;
  // What binding runs out of first, with how many pages bound; kNothing: of
  // nothing but page frames.
  BindOutcome::Scarce scarce = BindOutcome::Scarce::kNothing;
  PageCount capacity = 0;
  // Whether it needs neighbouring pages there: 16 at a multiple of 16 must do.
  bool fragments = false;

  // Pools and the IOVA space hold this many pages.
  static constexpr PageCount kPoolPages = 64;
};

// One bo's worth: its pages and, while it is bound, its binding.
struct Bound {
  explicit Bound(PageCount count) : pages(count) {}
  bool is_bound() const { return binding.port != nullptr; }
  PageRange all() const { return PageRange{0, pages.count()}; }

  Pages pages;
  DmaBinding binding;
};

class DmaBinderContract : public testing::TestWithParam<DmaBinderCase> {
 protected:
  using Contents = DmaBinder::Contents;

  DmaBinderContract();
  // Gives everything back, and expects that nothing is missing.
  void TearDown() override;

  Machine& machine() { return *machine_; }
  DmaPort& port() { return *port_; }
  DmaBinder& binder() { return *binder_; }

  Bound& Make(PageCount pages);
  BindOutcome Bind(Bound& bo, Contents contents = Contents::kKeep) {
    return binder_->Bind(bo.pages, *port_, contents, &bo.binding);
  }
  BindOutcome Unbind(Bound& bo, Contents contents = Contents::kKeep) {
    return binder_->Unbind(bo.pages, bo.binding, contents);
  }
  // A bo with the pattern of `seed`, bound.
  Bound& MakeBound(PageCount pages, uint64_t seed);
  // Takes all page frames but `left`; and gives them back.
  void TakeFrames(uint64_t left = 0);
  void ReturnFrames();

  // The pattern of `seed`, written as the CPU or the device does, and the pages
  // that do not hold it as the CPU or the device sees them.
  void CpuWrite(Bound& bo, uint64_t seed);
  uint64_t CpuWrong(Bound& bo, uint64_t seed);
  bool CpuSees(Bound& bo, PageCount page, uint64_t seed);
  void DeviceWrite(Bound& bo, uint64_t seed);
  uint64_t DeviceWrong(Bound& bo, uint64_t seed);
  bool DeviceSees(Bound& bo, PageCount page, uint64_t seed);

  // Of a test that plays a device that does that. No other wrong use of DMA may
  // be reported, but for accesses that fault, which the port counts.
  void Expect(DmaMisuse::Kind kind) { expected_.push_back(kind); }

  // Everything anybody counts, in a fixed order.
  std::vector<uint64_t> Accounts();
  Shortage Describe(PageCount pages, BindOutcome::Scarce scarce) {
    return binder_->Describe(pages, *port_, scarce);
  }
  bool runs_out() const {
    return GetParam().scarce != BindOutcome::Scarce::kNothing;
  }

 private:
  std::vector<DmaMisuse> misuses_;
  std::vector<DmaMisuse::Kind> expected_ = {DmaMisuse::Kind::kUseAfterUnmap,
                                            DmaMisuse::Kind::kBeyondMask};
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<DmaPort> port_;
  std::unique_ptr<DmaBinder> binder_;
  std::vector<std::unique_ptr<Bound>> bos_;
  std::vector<FrameNumber> taken_;
  std::vector<uint64_t> at_start_;
};

inline void PrintTo(const DmaBinderCase& param, std::ostream* out) {
  *out << param.name;
}

}  // namespace twostep

#endif  // TESTS_CONTRACT_DMA_BINDER_CONTRACT_H_
