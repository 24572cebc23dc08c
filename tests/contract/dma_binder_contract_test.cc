// The built-in DMA types, and the one of the example, join the contract.

#include "tests/contract/dma_binder_contract.h"

#include "examples/custom_dma_type/window_binder.h"
#include "twostep/dma_types/binders.h"
#include "twostep/eviction/policy_registry.h"

namespace twostep {
namespace {

using Scarce = BindOutcome::Scarce;
constexpr PageCount kPoolPages = DmaBinderCase::kPoolPages;

template <auto kMake>
std::unique_ptr<DmaBinder> Make(Machine& machine) {
  return kMake(machine, *MakeEvictionPolicy("lru"));
}

std::unique_ptr<DmaBinder> MakeWindow(Machine& machine) {
  return *example::WindowBinder::Create(machine, kPoolPages,
                                        *MakeEvictionPolicy("lru"));
}

const DmaBinderCase kCases[] = {
    {.name = "None", .make = Make<MakeNoneBinder>},
    {.name = "NoneNonCoherent",
     .make = Make<MakeNoneBinder>,
     .coherent = false},
    {.name = "NoneBesideIommu",
     .make = Make<MakeNoneBinder>,
     .iommu = IommuMode::kTranslated},
    {.name = "DynamicIommu",
     .make = Make<MakeDynamicBinder>,
     .iommu = IommuMode::kTranslated,
     .mask_bits = 34,
     .scarce = Scarce::kIova,
     .capacity = kPoolPages,
     .fragments = true},
    {.name = "DynamicIommuNonCoherent",
     .make = Make<MakeDynamicBinder>,
     .iommu = IommuMode::kTranslated,
     .mask_bits = 34,
     .coherent = false,
     .scarce = Scarce::kIova,
     .capacity = kPoolPages,
     .fragments = true},
    {.name = "DynamicSwiotlb",
     .make = Make<MakeDynamicBinder>,
     .bounce_all = true,
     .scarce = Scarce::kUnit,
     .capacity = kPoolPages},
    {.name = "DynamicSwiotlbBeyondTheMask",
     .make = Make<MakeDynamicBinder>,
     .scarce = Scarce::kUnit,
     .capacity = kPoolPages},
    {.name = "DynamicSwiotlbNonCoherent",
     .make = Make<MakeDynamicBinder>,
     .bounce_all = true,
     .coherent = false,
     .scarce = Scarce::kUnit,
     .capacity = kPoolPages},
    {.name = "Coherent",
     .make = Make<MakeCoherentBinder>,
     .scarce = Scarce::kUnit,
     .capacity = kPoolPages},
    {.name = "CoherentNonCoherent",
     .make = Make<MakeCoherentBinder>,
     .coherent = false,
     .scarce = Scarce::kUnit,
     .capacity = kPoolPages},
    {.name = "Cma",
     .make = Make<MakeCmaBinder>,
     .scarce = Scarce::kUnit,
     .capacity = kPoolPages,
     .fragments = true},
    {.name = "Window",
     .make = MakeWindow,
     .mask_bits = 30,
     .scarce = Scarce::kUnit,
     .capacity = kPoolPages,
     .fragments = true},
};

INSTANTIATE_TEST_SUITE_P(All, DmaBinderContract, testing::ValuesIn(kCases),
                         [](const testing::TestParamInfo<DmaBinderCase>& info) {
                           return info.param.name;
                         });

}  // namespace
}  // namespace twostep
