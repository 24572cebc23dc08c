#ifndef EVICTION_EVICTION_ACCOUNT_H_
#define EVICTION_EVICTION_ACCOUNT_H_

// What one client has of one resource, in pages, and what it may and is sure to
// have. Thread-safe.

#include <cstdint>

#include "twostep/machine/sync.h"

namespace twostep {

struct Budget {
  static constexpr uint64_t kUnlimited = ~uint64_t{0};

  // Nobody else can take the client below this,
  uint64_t min_pages = 0;
  // nor below this while there are others above theirs.
  uint64_t low_pages = 0;
  uint64_t max_pages = kUnlimited;
};

class EvictionAccount {
 public:
  explicit EvictionAccount(const Budget& budget) : budget_(budget) {}

  const Budget& budget() const { return budget_; }
  uint64_t used_pages() const {
    return used_pages_.load(std::memory_order_relaxed);
  }
  // False, and nothing is charged, where that would exceed the limit.
  bool TryCharge(uint64_t pages) {
    uint64_t used = used_pages();
    do {
      if (pages > budget_.max_pages || used > budget_.max_pages - pages) {
        return false;
      }
    } while (!used_pages_.compare_exchange_weak(used, used + pages,
                                                std::memory_order_relaxed));
    return true;
  }
  void Uncharge(uint64_t pages) {
    used_pages_.fetch_sub(pages, std::memory_order_relaxed);
  }

  // Whether it would have its min without `pages`, and without what others are
  // taking now.
  bool CanLose(uint64_t pages) const {
    return used_pages() >= budget_.min_pages + taking_pages_.load() + pages;
  }

  // While it lives others count these pages as taken from the account already.
  class Taking {
   public:
    // Not held where the account would be left with less than its min, with all
    // that others are taking from it. Null: nothing is protected.
    Taking(const EvictionAccount* account, uint64_t pages)
        : account_(account), pages_(pages) {
      if (account == nullptr) return;
      // First said, then asked: whoever is done by then has uncharged, all
      // others are counted.
      const uint64_t taking = account->taking_pages_.fetch_add(pages) + pages;
      held_ = account->used_pages() >= account->budget_.min_pages + taking;
      if (!held_) account->taking_pages_.fetch_sub(pages);
    }
    ~Taking() {
      if (account_ != nullptr && held_) {
        account_->taking_pages_.fetch_sub(pages_);
      }
    }
    Taking(const Taking&) = delete;
    Taking& operator=(const Taking&) = delete;

    bool held() const { return held_; }

   private:
    const EvictionAccount* const account_;
    const uint64_t pages_;
    bool held_ = true;
  };

 private:
  const Budget budget_;
  Atomic<uint64_t> used_pages_{0};
  mutable Atomic<uint64_t> taking_pages_{0};
};

}  // namespace twostep

#endif  // EVICTION_EVICTION_ACCOUNT_H_
