#ifndef BO_EVENT_THREAD_H_
#define BO_EVENT_THREAD_H_

// What one thread has to do with the events of a host: the ring that it writes,
// and what it is doing. Private to the library.

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "twostep/bo/events.h"

namespace twostep {

// The latest events of one thread. Add is for that thread, Take for one other
// at a time, meanwhile: what is overwritten while it is read counts as lost.
class EventRing {
 public:
  // `events` is 2^n, or 0: nothing is kept, and nothing is lost.
  explicit EventRing(size_t events)
      : size_(events),
        words_(events == 0
                   ? nullptr
                   : std::make_unique<Atomic<uint64_t>[]>(events * kWords)) {}

  // REQUIRES: not 0.
  void Add(const Event& event) {
    using Word [[gnu::may_alias]] = uint64_t;
    const auto* const from = reinterpret_cast<const Word*>(&event);
    const uint64_t at = ended_.load(std::memory_order_relaxed);
    begun_.store(at + 1, std::memory_order_relaxed);
    // Whoever reads one of these sees that they were begun.
    Atomic<uint64_t>* const to = &words_[(at & (size_ - 1)) * kWords];
#pragma GCC unroll 16
    for (size_t i = 0; i < kWords; ++i) {
      to[i].store(from[i], std::memory_order_release);
    }
    ended_.store(at + 1, std::memory_order_release);
  }

  // Returns how many were lost since the last Take.
  uint64_t Take(std::vector<Event>* events) {
    const uint64_t end = ended_.load(std::memory_order_acquire);
    const uint64_t oldest = end < size_ ? 0 : end - size_;
    uint64_t lost = 0;
    if (taken_ < oldest) {
      lost = oldest - taken_;
      taken_ = oldest;
    }
    for (; taken_ < end; ++taken_) {
      const Atomic<uint64_t>* const from =
          &words_[(taken_ & (size_ - 1)) * kWords];
      uint64_t to[kWords];
      for (size_t i = 0; i < kWords; ++i) {
        to[i] = from[i].load(std::memory_order_acquire);
      }
      if (begun_.load(std::memory_order_relaxed) > taken_ + size_) {
        ++lost;
        continue;
      }
      std::memcpy(&events->emplace_back(), to, sizeof(Event));
    }
    return lost;
  }

 private:
  static constexpr size_t kWords = sizeof(Event) / sizeof(uint64_t);
  static_assert(sizeof(Event) % sizeof(uint64_t) == 0);

  const size_t size_;
  const std::unique_ptr<Atomic<uint64_t>[]> words_;
  // Events whose writing has begun, and has ended.
  Atomic<uint64_t> begun_{0};
  Atomic<uint64_t> ended_{0};
  uint64_t taken_ = 0;  // the reader's
};

struct Events::Thread {
  Thread(uint16_t number, size_t ring_events)
      : number(number), ring(ring_events) {}

  // Of an Event what says why.
  struct Cause {
    uint64_t for_bo = 0;
    uint32_t pinned_pages = 0;
    EventSkips skipped{};
    uint16_t client = 0;
    uint16_t limit_of = 0;
    EventLimit limit = EventLimit::kNone;
    uint8_t pass = 0;
  };
  struct Doing {
    // The bo at work, and its client.
    uint64_t bo = 0;
    uint16_t client = 0;
    uint8_t pass = 0;
    // Of a victim: what it leaves, and the fence that was waited for.
    uint8_t from = 0;
    uint16_t fence_timeline = 0;
    uint32_t waited_ns = 0;
    uint64_t fence_point = 0;
    // Whatever is told carries from for_bo to pass along.
    Cause why;
    // What the last search for the bo at work came to.
    Cause found;
  };

  // Events::Emit on this thread, which completes `event`: when, on whose
  // behalf, and why.
  void Tell(const Events& events, Event& event);
  // Events::NumberOf, most often without a search.
  uint8_t NumberOf(const Events& events, const void* what) {
    if (what == nullptr) return kNowhere;
    // Places are far apart. That of a hint may have gone since.
    uint8_t& hint = hints[(reinterpret_cast<uintptr_t>(what) >> 6) % kHints];
    if (events.places_[hint].load(std::memory_order_relaxed) != what) {
      hint = events.NumberOf(what);
    }
    return hint;
  }

  // What the last work on the bo came to; null if something else was at work
  // since.
  const Doing* Ended(uint64_t bo) const {
    if (depth + 1 == levels.size() || levels[depth + 1].bo != bo) {
      return nullptr;
    }
    return &levels[depth + 1];
  }
  Doing& now() { return levels[depth]; }
  Doing& outer() { return levels[depth - 1]; }
  // One level in; whoever enters says what it is at work on.
  Doing& Enter() {
    if (++depth == levels.size()) levels.emplace_back();
    return levels[depth];
  }

  static constexpr size_t kHints = 16;

  const uint16_t number;
  uint32_t submission = 0;
  std::array<uint8_t, kHints> hints{};
  // Those past `depth` are left over, and used again.
  std::vector<Doing> levels = std::vector<Doing>(1);
  size_t depth = 0;
  EventRing ring;
};

}  // namespace twostep

#endif  // BO_EVENT_THREAD_H_
