#ifndef BO_DMA_OWNERS_H_
#define BO_DMA_OWNERS_H_

// Who has memory and addresses in DMA units beside the bos, and who of all is
// to give some up: the one furthest above its fair share. Private to the
// library, but for DmaOwner. Thread-safe.

#include <functional>
#include <string>
#include <vector>

#include "twostep/machine/dma_domain.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/types.h"

namespace twostep {

class DmaOwners;

// What is short, and so what has to be given up.
enum class Relief : uint8_t {
  kUnbind,     // addresses: unbinding is enough
  kFreePages,  // memory
};

class DmaOwner {
 public:
  static constexpr uint64_t kUnlimited = ~uint64_t{0};
  struct Options {
    std::string name;
    // What it may have; the kernel's own owners have no limit.
    uint64_t max_pages = kUnlimited;
    // What is fair: it is asked for what it has above, before bos and owners
    // that are less above theirs.
    uint64_t share_pages = 0;
    // Gives up some of its allocations, at least `pages` if it can, by
    // unbinding or freeing them. Called on the thread that is short, under
    // reservations of that: it must not reserve, validate or allocate. One call
    // at a time. Null: it is never asked.
    std::function<void(uint64_t pages, Relief relief)> reclaim;
  };

  ~DmaOwner();
  DmaOwner(const DmaOwner&) = delete;
  DmaOwner& operator=(const DmaOwner&) = delete;

  const std::string& name() const { return options_.name; }
  // Of memory, and of addresses.
  uint64_t pages() const { return pages_.load(std::memory_order_relaxed); }
  uint64_t bound_pages() const {
    return bound_pages_.load(std::memory_order_relaxed);
  }
  uint64_t times_asked() const {
    return asked_.load(std::memory_order_relaxed);
  }

 private:
  friend class DmaAllocation;
  friend class DmaOwners;
  friend class DmaUnit;

  DmaOwner(DmaOwners& owners, const DmaDomain& domain, Options options);
  bool TryCharge(uint64_t pages);
  uint64_t Has(Relief relief) const {
    return relief == Relief::kUnbind ? bound_pages() : pages();
  }

  DmaOwners& owners_;
  const DmaDomain& domain_;
  const Options options_;
  Atomic<uint64_t> pages_{0};
  Atomic<uint64_t> bound_pages_{0};
  Atomic<uint64_t> direct_pages_{0};  // of bound_pages_, those without IOVAs
  Atomic<uint64_t> asked_{0};
  bool at_work_ = false;  // guarded by the mutex of owners_
};

class DmaOwners {
 public:
  DmaOwners() = default;
  // REQUIRES: no owner is left.
  ~DmaOwners();
  DmaOwners(const DmaOwners&) = delete;
  DmaOwners& operator=(const DmaOwners&) = delete;

  // What is fair for all bos together, of addresses and of coherent memory.
  void SetBoShare(uint64_t pages) {
    bo_share_.store(pages, std::memory_order_relaxed);
  }

  // Asks owners, those first that are furthest above their shares, until one
  // has given something up. With kFurtherThanBos only those that are further
  // above theirs than the bos, which have `bo_pages`. Memory is everybody's,
  // addresses those of `domain`. False when nobody gave anything.
  enum class Whom : uint8_t { kFurtherThanBos, kAnybody };
  bool Ask(Relief relief, const DmaDomain& domain, uint64_t pages,
           uint64_t bo_pages, Whom whom);

  // For audits: what all owners have, of a domain's IOVAs and direct addresses.
  uint64_t pages() const;
  uint64_t iova_pages(const DmaDomain& domain) const;
  uint64_t direct_pages(const DmaDomain& domain) const;
  // "nic has 256 KiB, gpu has 64 KiB": one clause an owner.
  std::string Describe(Relief relief, const DmaDomain& domain) const;

 private:
  friend class DmaOwner;
  static int64_t Excess(uint64_t has, uint64_t share) {
    return static_cast<int64_t>(has) - static_cast<int64_t>(share);
  }

  mutable Mutex mutex_;
  CondVar done_;
  std::vector<DmaOwner*> owners_ ABSL_GUARDED_BY(mutex_);
  Atomic<size_t> count_{0};
  Atomic<uint64_t> bo_share_{0};
};

}  // namespace twostep

#endif  // BO_DMA_OWNERS_H_
