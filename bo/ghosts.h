#ifndef BO_GHOSTS_H_
#define BO_GHOSTS_H_

// Storage that left its bo while device work may still use it, until its fences
// have signalled. Knows which bos it was left by no more.
//
// Each ghost waits in the queue of one timeline, at a point that is pending
// there, and goes on to the next one when that has signalled: asking what is
// idle looks at the heads of the queues, and costs what is found. For those who
// are short of something each is listed with what it takes up: asking for one
// that has some of it costs the same for any number of others. Thread-safe.

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "boost/intrusive/list.hpp"
#include "boost/intrusive/set.hpp"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/client.h"
#include "twostep/dma_types/dma_binder.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/wait_limit.h"

namespace twostep {

class Host;

struct Ghost : boost::intrusive::set_base_hook<
                   boost::intrusive::link_mode<boost::intrusive::normal_link>> {
  explicit Ghost(BufferObject& bo);
  Ghost(Ghost&&) = default;
  void Release(Host& host);
  // Of the bo's client, for as long as it waits. Not for space: others may have
  // that at once.
  void TakeCharges(BufferObject& bo);

  Pages pages;
  DmaBinder* binder = nullptr;
  std::unique_ptr<DmaBinding> binding;
  MemoryManager* manager = nullptr;  // null: no space to give up
  SpaceBlock block;
  FenceSet fences;
  ClientRef client;  // whom it is charged to meanwhile, and for what
  std::array<bool, kResources> charged{};

 private:
  friend class Ghosts;

  // One of what it takes up.
  struct Tie : boost::intrusive::list_base_hook<
                   boost::intrusive::link_mode<boost::intrusive::normal_link>> {
    Ghost* ghost;
    const void* part;
  };

  Fence awaited;     // in whose timeline's queue it is
  uint64_t age = 0;  // who was left behind first has the lowest
  std::list<std::optional<Ghost>>::iterator here;
  absl::InlinedVector<Tie, 6> ties;
};

class Ghosts {
 public:
  explicit Ghosts(Host& host) : host_(host) {}
  Ghosts(const Ghosts&) = delete;
  Ghosts& operator=(const Ghosts&) = delete;

  void Add(Ghost ghost);
  // Gives up what is idle; false: nothing was. Adds to `frames` the ordinary
  // frames that came free.
  bool ReapIdle(uint64_t* frames = nullptr);
  // The same; where nothing is idle, waits for what has waited longest of all
  // that takes up some of `part`: the address of a memory manager, a binder, an
  // IOMMU domain, a port, a client's account, the machine's frames; null: of
  // all. kNotFound when there is none, kUnavailable naming the fence when
  // waiting is forbidden, kDeadlineExceeded and kCancelled as `limit` says.
  absl::Status Reap(const WaitLimit& limit, const void* part);

  // How many have left, in the hands of who gives them up.
  uint64_t left() const { return left_.load(std::memory_order_acquire); }
  bool none() const { return !any_.load(std::memory_order_acquire); }
  template <typename Visit>
  void ForEach(Visit visit) const {
    MutexLock lock(mutex_);
    for (const auto& ghost : all_) visit(*ghost);
  }

 private:
  static constexpr size_t kMaxSpares = 64;

  struct Sooner {
    bool operator()(const Ghost& a, const Ghost& b) const {
      return a.awaited.point != b.awaited.point
                 ? a.awaited.point < b.awaited.point
                 : a.age < b.age;
    }
  };
  using Queue =
      boost::intrusive::set<Ghost, boost::intrusive::compare<Sooner>,
                            boost::intrusive::constant_time_size<false>>;
  using Ties =
      boost::intrusive::list<Ghost::Tie,
                             boost::intrusive::constant_time_size<false>>;
  using Storage = std::list<std::optional<Ghost>>;
  struct TimelineQueue {
    Timeline* timeline;
    Queue queue;
  };

  // Of that timeline: where it is, or would be.
  std::vector<TimelineQueue>::iterator PlaceOf(Timeline* timeline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(Ghost& ghost) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Into the queue of the first fence that is pending; false: there is none.
  bool Await(Ghost& ghost) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  enum class End : uint8_t { kOldest, kYoungest };
  // Among all that take up what it does, and from among them.
  void Tie(Ghost& ghost, End end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Untie(Ghost& ghost) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Out of all_ and everything else: those that are idle, by age; and the
  // oldest with `part`, if any, which may be pending.
  Storage TakeIdle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeOldest(const WaitLimit& limit, const void* part,
                          Storage* taken) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // False: what was waited for in vain is pending no more.
  bool PutBack(Storage* taken);
  void Release(Storage taken, uint64_t* frames);

  Host& host_;
  mutable Mutex mutex_;
  // Every one of all_ has a value, none of spare_ has.
  Storage all_ ABSL_GUARDED_BY(mutex_);
  Storage spare_ ABSL_GUARDED_BY(mutex_);
  // None of these is empty. By the timelines' numbers: in which order fences
  // are asked is not to depend on addresses.
  std::vector<TimelineQueue> queues_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<const void*, Ties> with_ ABSL_GUARDED_BY(mutex_);
  uint64_t ages_ ABSL_GUARDED_BY(mutex_) = 0;
  Atomic<bool> any_{false};  // else the lock is spared
  Atomic<uint64_t> left_{0};
};

}  // namespace twostep

#endif  // BO_GHOSTS_H_
