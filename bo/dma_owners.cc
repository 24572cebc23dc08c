#include "twostep/bo/dma_owners.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"

namespace twostep {

DmaOwner::DmaOwner(DmaOwners& owners, const DmaDomain& domain, Options options)
    : owners_(owners), domain_(domain), options_(std::move(options)) {
  MutexLock lock(owners_.mutex_);
  owners_.owners_.push_back(this);
  owners_.count_.store(owners_.owners_.size(), std::memory_order_release);
}

DmaOwner::~DmaOwner() {
  TWOSTEP_CHECK(pages() == 0);  // its allocations go first
  MutexLock lock(owners_.mutex_);
  while (at_work_) owners_.done_.Wait(owners_.mutex_);
  auto& all = owners_.owners_;
  all.erase(std::find(all.begin(), all.end(), this));
  owners_.count_.store(all.size(), std::memory_order_release);
}

bool DmaOwner::TryCharge(uint64_t pages) {
  uint64_t has = pages_.load(std::memory_order_relaxed);
  do {
    if (has > options_.max_pages || pages > options_.max_pages - has) {
      return false;
    }
  } while (!pages_.compare_exchange_weak(has, has + pages,
                                         std::memory_order_relaxed));
  return true;
}

DmaOwners::~DmaOwners() {
  TWOSTEP_CHECK(count_.load(std::memory_order_acquire) == 0);
}

bool DmaOwners::Ask(Relief relief, const DmaDomain& domain, uint64_t pages,
                    uint64_t bo_pages, Whom whom) {
  // Most hosts have none.
  if (count_.load(std::memory_order_acquire) == 0) return false;
  const int64_t bos =
      Excess(bo_pages, bo_share_.load(std::memory_order_relaxed));
  std::vector<const DmaOwner*> asked;
  MutexLock lock(mutex_);
  for (;;) {
    DmaOwner* furthest = nullptr;
    for (DmaOwner* owner : owners_) {
      if (owner->options_.reclaim == nullptr || owner->at_work_ ||
          owner->Has(relief) == 0 ||
          (relief == Relief::kUnbind && &owner->domain_ != &domain) ||
          std::find(asked.begin(), asked.end(), owner) != asked.end()) {
        continue;
      }
      const auto excess = [&](const DmaOwner& each) {
        return Excess(each.Has(relief), each.options_.share_pages);
      };
      if (whom == Whom::kFurtherThanBos && excess(*owner) <= bos) continue;
      if (furthest == nullptr || excess(*owner) > excess(*furthest)) {
        furthest = owner;
      }
    }
    if (furthest == nullptr) return false;
    asked.push_back(furthest);
    const uint64_t had = furthest->Has(relief);
    furthest->at_work_ = true;
    furthest->asked_.fetch_add(1, std::memory_order_relaxed);
    mutex_.unlock();
    furthest->options_.reclaim(pages, relief);
    const bool gave = furthest->Has(relief) < had;
    mutex_.lock();
    furthest->at_work_ = false;
    done_.NotifyAll();
    if (gave) return true;
  }
}

uint64_t DmaOwners::pages() const {
  MutexLock lock(mutex_);
  uint64_t pages = 0;
  for (const DmaOwner* owner : owners_) pages += owner->pages();
  return pages;
}

uint64_t DmaOwners::iova_pages(const DmaDomain& domain) const {
  MutexLock lock(mutex_);
  uint64_t pages = 0;
  for (const DmaOwner* owner : owners_) {
    if (&owner->domain_ != &domain) continue;
    pages += owner->bound_pages() -
             owner->direct_pages_.load(std::memory_order_relaxed);
  }
  return pages;
}

uint64_t DmaOwners::direct_pages(const DmaDomain& domain) const {
  MutexLock lock(mutex_);
  uint64_t pages = 0;
  for (const DmaOwner* owner : owners_) {
    if (&owner->domain_ != &domain) continue;
    pages += owner->direct_pages_.load(std::memory_order_relaxed);
  }
  return pages;
}

std::string DmaOwners::Describe(Relief relief, const DmaDomain& domain) const {
  std::string text;
  MutexLock lock(mutex_);
  for (const DmaOwner* owner : owners_) {
    const uint64_t has = owner->Has(relief);
    if (has == 0 || (relief == Relief::kUnbind && &owner->domain_ != &domain)) {
      continue;
    }
    absl::StrAppend(&text, text.empty() ? "" : ", ", owner->name(), " has ",
                    has * (kPageSize / kKiB), " KiB");
  }
  return text;
}

}  // namespace twostep
