#ifndef BO_EVENTS_H_
#define BO_EVENTS_H_

// What happens to the bos of a host, and why: who was evicted for whom, at
// which limit, and who was passed over. Off unless HostOptions::events asks for
// them; docs/events.md has the price.
//
//   HostOptions{.events = {.ring_events = 4096}}
//   Events::Taken taken = host->events()->Take();
//
// Each thread writes to a ring of its own, which keeps the latest; or hands
// each event to a callback. Thread-safe.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "twostep/machine/clock.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/ticks.h"
#include "twostep/machine/types.h"

namespace twostep {

enum class EventKind : uint8_t {
  kCreate,
  kDestroy,
  kDmaBind,        // step 1, by the DMA type `to`
  kDmaUnbind,      // undone; what is busy is left behind until it is idle
  kGpuBind,        // step 2: shown in the aperture `to`
  kGpuUnbind,      // shown there no more
  kMove,           // contents copied; an engine's copy has a fence
  kClear,          // no contents: `to` is filled with zeros, behind the fence
  kDrop,           // contents given up
  kSwapOut,        // to the swap store
  kSwapIn,         // and back
  kEvict,          // `from` is free of it, for others; after what that took
  kSyncForDevice,  // pages handed over, where the two do not share
  kSyncForCpu,
  kCpuFault,  // pages that the CPU reached for and was given
  kWait,      // for the bo's fences, the one that was due last being named
  kFailure,   // a call failed, for the reason `error`
};
inline constexpr int kEventKinds = static_cast<int>(EventKind::kFailure) + 1;

// What was short. Of kMemoryType to kIova, limit_of is a place; of the
// clients', a client.
enum class EventLimit : uint8_t {
  kNone,
  kMemoryType,  // space in a memory type
  kDmaType,     // memory of the DMA type's own, or bounce pages
  kIova,        // addresses, for that DMA type
  kFrames,      // the host's page frames
  kClientHost,  // a client's limit of host memory, of DMA resources, of device
  kClientDma,   // memory
  kClientDevice,
  kReclaim,  // the host wants frames back: a watermark, or Host::Shrink
  kDevice,   // the device goes, or is suspended
};
inline constexpr int kEventLimits = static_cast<int>(EventLimit::kDevice) + 1;

// "dma-bind", "memory-type".
const char* NameOf(EventKind kind);
const char* NameOf(EventLimit limit);

// Whom a search passed over, up to 65,535 each.
struct EventSkips {
  uint16_t reserved;  // by other threads
  uint16_t mine;      // by this one: of the same exec, or tried before
  uint16_t stuck;     // those tried before: busy, or without a place to go to
  uint16_t protected_bos;  // of clients that have no more than is theirs
  uint16_t unhelpful;  // hold nothing of what is short, or in the wrong place
};

struct Event {
  // On a real clock, that of std::chrono::steady_clock.
  uint64_t time_ns;
  uint64_t bo;  // its id; 0: none
  // For whom room was made while this happened to `bo`; 0: for nobody else.
  uint64_t for_bo;
  // The fence: a point on the timeline of that number. 0: none.
  uint64_t fence_point;
  PageCount pages;
  // The Exec::Run on whose behalf, counted from 1 on; 0: none.
  uint32_t submission;
  uint32_t waited_ns;  // kWait, kEvict: for the fence; 2^32 - 1: or longer
  // kEvict, and kFailure for want of room: pinned in the place that was short,
  // and who was passed over by the search.
  uint32_t pinned_pages;
  EventSkips skipped;
  uint16_t fence_timeline;
  // The client of `for_bo`, of `bo` if there is none: Client::number, which is
  // given again once a client has gone. 0: none, or past 65,535.
  uint16_t client;
  uint16_t limit_of;
  uint16_t thread;  // of those that told of events, from 0 on
  EventKind kind;
  EventLimit limit;  // of for_bo; kFailure: of `bo`
  // Of the validation that room was made for, or that failed: 1 without
  // evicting for space, 2 with it; 0: it was no validation.
  uint8_t pass;
  // Memory types and DMA types by their number, see Events::Place.
  uint8_t from;
  uint8_t to;
  uint8_t error;  // kFailure: an ErrorKind

  uint64_t bytes() const { return PagesToBytes(pages); }
};
static_assert(sizeof(Event) == 72 && std::is_trivial_v<Event>);

struct EventOptions {
  // What the ring of each thread holds, rounded up to 2^n; 0: there are none.
  uint32_t ring_events = 0;
  // Called for each event, on the thread that it happens on and amid the move,
  // with bos reserved: it may look at accounts, and must neither reserve nor
  // wait for who does. Null: nobody is called.
  std::function<void(const Event&)> callback;
};

// Of a host, see Host::events.
class Events {
 public:
  // Threads beyond these at a time are not heard: what they tell is lost.
  static constexpr size_t kMaxThreads = 1024;

  Events(const Clock& clock, EventOptions options);
  ~Events();
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  struct Taken {
    std::vector<Event> events;  // in the order of their times
    // Events since the last Take that were overwritten by later ones.
    uint64_t lost = 0;
  };
  // What the rings hold, once: the next call has what came after.
  Taken Take();

  // A memory type or DMA type: its name, and whose it is if not the host's.
  struct Place {
    std::string device;
    std::string name;
  };
  // Of an event's `from` or `to`. Numbers stay when a device goes. kNowhere and
  // numbers that are not known have no name.
  static constexpr uint8_t kNowhere = 0;
  Place PlaceOf(uint8_t number) const;
  // Of the latest client of that number; empty where there is none.
  std::string ClientName(uint16_t number) const;

 private:
  friend class Telling;
  struct Thread;

  // The number of what has been named; kNowhere if it has not.
  uint8_t NumberOf(const void* what) const;
  // `what` is of no other place. All 255 being taken, it gets none.
  void NamePlace(const void* what, Place place);
  void ForgetPlace(const void* what);
  void NameClient(uint32_t number, const std::string& name);
  Thread* ThisThread();
  Thread* NewThread(uint32_t number);
  // An event of a thread beyond kMaxThreads.
  void CountUnheard();

  const Clock& clock_;
  const EventOptions options_;
  const TickScale scale_;
  // By ReservationHolder::number. Made by the threads themselves.
  std::array<Atomic<Thread*>, kMaxThreads> threads_{};
  std::array<Atomic<const void*>, 256> places_{};
  Atomic<uint32_t> submissions_{0};
  Atomic<uint64_t> unheard_{0};
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<Thread>> made_ ABSL_GUARDED_BY(mutex_);
  std::vector<Place> place_names_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> client_names_ ABSL_GUARDED_BY(mutex_);
  uint64_t unheard_taken_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace twostep

#endif  // BO_EVENTS_H_
