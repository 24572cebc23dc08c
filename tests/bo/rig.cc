#include "tests/bo/rig.h"

#include <algorithm>
#include <utility>

namespace twostep {

Rig::Rig(RigOptions options) {
  options.host.misuse_handler = [this](const Misuse& misuse) {
    MutexLock lock(misuse_mutex_);
    misuses_.push_back(misuse);
  };
  machine_ = *Machine::Create(options.machine, options.options);
  host_ = *Host::Create(*machine_, options.host);
  device_ = *Device::Create(*host_, options.gpu, options.hooks);
}

Rig::~Rig() {
  device_.reset();
  host_.reset();
  // Accesses that fault are counted (R7), which the audit sees.
  Expect(DmaMisuse::Kind::kUseAfterUnmap);
  Expect(DmaMisuse::Kind::kBeyondMask);
  for (const Misuse& misuse : misuses_) {
    if (!misuse.dma.has_value() || std::find(expected_.begin(), expected_.end(),
                                             *misuse.dma) != expected_.end()) {
      continue;
    }
    ADD_FAILURE() << misuse.message;
  }
}

absl::Status Rig::Validate(const BoRef& bo, std::vector<Placement> placements,
                           ValidateContext* context) {
  ValidateContext own;
  bo->Reserve();
  absl::Status status =
      device_->Validate(*bo, placements, context == nullptr ? &own : context);
  bo->Unreserve();
  return status;
}

Fence Rig::PendingWork(uint64_t ns) {
  Timeline& timeline = machine_->NewTimeline("work");
  const Fence fence = timeline.Emit(machine_->clock().now_ns() + ns);
  timeline.Complete(fence.point);
  return fence;
}

Fence Rig::KeepBusy(const BoRef& bo, FenceUse use) {
  const Fence fence = PendingWork();
  bo->Reserve();
  bo->fences().Add(fence, use);
  bo->Unreserve();
  return fence;
}

void Rig::FillAt(std::byte* at, uint64_t bytes, uint64_t seed, uint64_t first) {
  for (uint64_t i = 0; i < bytes; ++i) at[i] = PatternByte(seed, first + i);
}

uint64_t Rig::WrongAt(const std::byte* at, uint64_t bytes, uint64_t seed,
                      uint64_t first) {
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < bytes; ++i) {
    wrong += at[i] != PatternByte(seed, first + i);
  }
  return wrong;
}

std::vector<BoRef> Rig::MakePages(uint64_t count, const Placement& placement) {
  std::vector<BoRef> bos;
  for (uint64_t i = 0; i < count; ++i) {
    bos.push_back(Make(kPageSize));
    CpuFill(bos[i], i);
    EXPECT_EQ(Validate(bos[i], placement), absl::OkStatus());
  }
  return bos;
}

void Rig::CpuFill(const BoRef& bo, uint64_t seed) {
  auto mapping = *CpuMapping::Create(bo);
  ASSERT_TRUE(WaitForCpu(*bo, Access::kWrite).ok());
  FillAt(mapping->data(), bo->size_bytes(), seed);
}

uint64_t Rig::CpuWrongBytes(const BoRef& bo, uint64_t seed) {
  auto mapping = *CpuMapping::Create(bo);
  EXPECT_TRUE(WaitForCpu(*bo, Access::kRead).ok());
  return WrongAt(mapping->data(), bo->size_bytes(), seed);
}

std::byte* Rig::DevicePage(const BoRef& bo, PageCount page, Access access) {
  MemoryManager* vram = device_->manager(MemoryType::kVram);
  MemoryManager* tt = device_->manager(MemoryType::kTt);
  if (&bo->manager() == vram) {
    uint64_t skipped = 0;
    uint64_t at = 0;
    vram->ForEachSegment(bo->block(), bo->page_count(),
                         [&](uint64_t start, uint64_t count) {
                           if (page >= skipped && page < skipped + count) {
                             at = start + page - skipped;
                           }
                           skipped += count;
                         });
    return vram->vram()->data() + PagesToBytes(at);
  }
  if (&bo->manager() != tt) return nullptr;
  return device_->port().Resolve(
      tt->aperture()->Get(uint64_t{bo->start_page()} + page), access);
}

void Rig::DeviceFill(const BoRef& bo, uint64_t seed) {
  ASSERT_TRUE(WaitForCpu(*bo, Access::kWrite).ok());
  for (PageCount page = 0; page < bo->page_count(); ++page) {
    std::byte* at = DevicePage(bo, page, Access::kWrite);
    ASSERT_NE(at, nullptr);
    FillAt(at, kPageSize, seed, PagesToBytes(page));
  }
}

uint64_t Rig::DeviceWrongBytes(const BoRef& bo, uint64_t seed) {
  EXPECT_TRUE(WaitForCpu(*bo, Access::kRead).ok());
  uint64_t wrong = 0;
  for (PageCount page = 0; page < bo->page_count(); ++page) {
    const std::byte* at = DevicePage(bo, page, Access::kRead);
    wrong += at == nullptr ? kPageSize
                           : WrongAt(at, kPageSize, seed, PagesToBytes(page));
  }
  return wrong;
}

std::string Rig::Broken() {
  std::string text;
  for (const Violation& violation : Audit::Run(*host_)) {
    text += violation.rule + ": " + violation.what + "\n";
  }
  return text;
}

}  // namespace twostep
