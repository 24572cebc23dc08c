#include "twostep/mem_types/managers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/machine/buddy_allocator.h"
#include "twostep/machine/range_allocator.h"

namespace twostep {
namespace {

class SystemManager final : public MemoryManager {
 public:
  explicit SystemManager(std::unique_ptr<EvictionPolicy> policy)
      : MemoryManager("system", Kind::kNowhere, 0, std::move(policy)) {}

 private:
  Shortage::Kind DoAllocate(const SpaceRequest&, SpaceBlock* block) override {
    *block = SpaceBlock{};
    return Shortage::Kind::kNone;
  }
  void DoFree(const SpaceBlock&) override {}
  Shortage DoDescribe(const SpaceRequest&) const override { return {}; }
};

// A memory type whose space an allocator hands out.
template <typename Allocator>
class SpaceManager : public MemoryManager {
 public:
  SpaceManager(std::string name, Kind kind, uint64_t pages,
               std::unique_ptr<EvictionPolicy> policy)
      : MemoryManager(std::move(name), kind, pages, std::move(policy)),
        space_(0, pages) {}

 private:
  Shortage::Kind DoAllocate(const SpaceRequest& request,
                            SpaceBlock* block) final {
    SpinLockHolder hold(lock_);
    return space_.Allocate(request, block);
  }
  void DoFree(const SpaceBlock& block) final {
    SpinLockHolder hold(lock_);
    space_.Free(block.node);
  }
  Shortage DoDescribe(const SpaceRequest& request) const final {
    SpinLockHolder hold(lock_);
    return space_.Describe(request);
  }
  void DoForEachSegment(
      const SpaceBlock& block, PageCount,
      absl::FunctionRef<void(uint64_t, uint64_t)> visit) const final {
    SpinLockHolder hold(lock_);
    space_.ForEachSegment(block.node, visit);
  }
  bool DoWithSpace(absl::FunctionRef<void(RangeAllocator&)> use) final {
    if constexpr (std::is_same_v<Allocator, RangeAllocator>) {
      SpinLockHolder hold(lock_);
      use(space_);
      return true;
    } else {
      return false;
    }
  }

  mutable SpinLock lock_;
  Allocator space_ ABSL_GUARDED_BY(lock_);
};

class TtManager final : public SpaceManager<RangeAllocator> {
 public:
  TtManager(uint64_t pages, std::unique_ptr<EvictionPolicy> policy)
      : SpaceManager("tt", Kind::kAperture, pages, std::move(policy)),
        table_(pages) {}
  ApertureTable* aperture() override { return &table_; }

 private:
  void DoBind(const SpaceBlock& block,
              absl::Span<const DmaAddress> addresses) override {
    for (size_t i = 0; i < addresses.size(); ++i) {
      table_.Set(block.start + i, addresses[i]);
    }
  }
  void DoUnbind(const SpaceBlock& block, PageCount pages) override {
    for (PageCount i = 0; i < pages; ++i) {
      table_.Set(block.start + i, kNoDmaAddress);
    }
  }

  ApertureTable table_;
};

template <typename Allocator>
class VramManager final : public SpaceManager<Allocator> {
 public:
  VramManager(std::unique_ptr<Vram> vram,
              std::unique_ptr<EvictionPolicy> policy)
      : SpaceManager<Allocator>("vram", MemoryManager::Kind::kFixed,
                                vram->bytes() >> kPageShift, std::move(policy)),
        vram_(std::move(vram)) {}
  Vram* vram() override { return vram_.get(); }

 private:
  std::unique_ptr<Vram> vram_;
};

}  // namespace

std::unique_ptr<MemoryManager> MakeSystemManager(
    std::unique_ptr<EvictionPolicy> policy) {
  return std::make_unique<SystemManager>(std::move(policy));
}

absl::StatusOr<std::unique_ptr<MemoryManager>> MakeTtManager(
    uint64_t bytes, std::unique_ptr<EvictionPolicy> policy) {
  if (bytes == 0 || bytes % kPageSize != 0 ||
      bytes >> kPageShift > ~PageCount{0}) {
    return absl::InvalidArgumentError(
        absl::StrCat("aperture_bytes: ", bytes, " is no positive multiple of ",
                     kPageSize, " below 16 TiB"));
  }
  return std::make_unique<TtManager>(bytes >> kPageShift, std::move(policy));
}

absl::StatusOr<std::unique_ptr<MemoryManager>> MakeVramManager(
    const VramSizes& sizes, SpaceAllocator allocator, Backing backing,
    std::unique_ptr<EvictionPolicy> policy) {
  if (sizes.bytes >> kPageShift > ~PageCount{0}) {
    return absl::InvalidArgumentError(
        absl::StrCat("vram_bytes: ", sizes.bytes, " is not below 16 TiB"));
  }
  absl::StatusOr<std::unique_ptr<Vram>> vram =
      Vram::Create(sizes.bytes, sizes.visible_bytes, backing);
  if (!vram.ok()) return vram.status();
  if (allocator == SpaceAllocator::kBuddy) {
    return std::make_unique<VramManager<BuddyAllocator>>(*std::move(vram),
                                                         std::move(policy));
  }
  return std::make_unique<VramManager<RangeAllocator>>(*std::move(vram),
                                                       std::move(policy));
}

}  // namespace twostep
