#include "twostep/bo/events.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "twostep/bo/event_thread.h"
#include "twostep/machine/reservation_lock.h"

namespace twostep {

const char* NameOf(EventKind kind) {
  static constexpr const char* kNames[kEventKinds] = {
      "create",     "destroy", "dma-bind",        "dma-unbind",   "gpu-bind",
      "gpu-unbind", "move",    "clear",           "drop",         "swap-out",
      "swap-in",    "evict",   "sync-for-device", "sync-for-cpu", "cpu-fault",
      "wait",       "failure"};
  return kNames[static_cast<int>(kind)];
}

const char* NameOf(EventLimit limit) {
  static constexpr const char* kNames[kEventLimits] = {
      "none",        "memory-type", "dma-type",      "iova",    "frames",
      "client-host", "client-dma",  "client-device", "reclaim", "device"};
  return kNames[static_cast<int>(limit)];
}

Events::Events(const Clock& clock, EventOptions options)
    : clock_(clock), options_(std::move(options)) {
  // Number 0 of both is nobody's.
  place_names_.resize(1);
  client_names_.resize(1);
}

Events::~Events() = default;

Events::Taken Events::Take() {
  Taken taken;
  MutexLock lock(mutex_);
  for (const auto& thread : made_) {
    taken.lost += thread->ring.Take(&taken.events);
  }
  const uint64_t unheard = unheard_.load(std::memory_order_relaxed);
  taken.lost += unheard - std::exchange(unheard_taken_, unheard);
  if (!clock_.is_virtual()) {
    const TickScale::Rate rate = scale_.RateNow();
    for (Event& event : taken.events) {
      event.time_ns = rate.ToNs(event.time_ns);
    }
  }
  std::stable_sort(
      taken.events.begin(), taken.events.end(),
      [](const Event& a, const Event& b) { return a.time_ns < b.time_ns; });
  return taken;
}

Events::Place Events::PlaceOf(uint8_t number) const {
  MutexLock lock(mutex_);
  return number < place_names_.size() ? place_names_[number] : Place{};
}

std::string Events::ClientName(uint16_t number) const {
  MutexLock lock(mutex_);
  return number < client_names_.size() ? client_names_[number] : "";
}

uint8_t Events::NumberOf(const void* what) const {
  if (what == nullptr) return kNowhere;
  for (size_t i = 1; i < places_.size(); ++i) {
    if (places_[i].load(std::memory_order_relaxed) == what) {
      return static_cast<uint8_t>(i);
    }
  }
  return kNowhere;
}

void Events::NamePlace(const void* what, Place place) {
  // What was at its address has gone, without a word if it never came to be.
  ForgetPlace(what);
  MutexLock lock(mutex_);
  // One that has gone leaves its number to the next of its name.
  size_t number = 1;
  while (number < place_names_.size() &&
         (places_[number].load(std::memory_order_relaxed) != nullptr ||
          place_names_[number].name != place.name ||
          place_names_[number].device != place.device)) {
    ++number;
  }
  if (number == places_.size()) return;
  if (number == place_names_.size()) place_names_.push_back(std::move(place));
  places_[number].store(what, std::memory_order_relaxed);
}

void Events::ForgetPlace(const void* what) {
  MutexLock lock(mutex_);
  const uint8_t number = NumberOf(what);
  if (number == kNowhere) return;
  places_[number].store(nullptr, std::memory_order_relaxed);
}

void Events::NameClient(uint32_t number, const std::string& name) {
  if (number > UINT16_MAX) return;
  MutexLock lock(mutex_);
  if (client_names_.size() <= number) client_names_.resize(number + 1);
  client_names_[number] = name;
}

Events::Thread* Events::ThisThread() {
  const uint32_t number = internal::ThisHolder()->number;
  if (number >= kMaxThreads) return nullptr;
  Thread* const thread = threads_[number].load(std::memory_order_acquire);
  return thread != nullptr ? thread : NewThread(number);
}

Events::Thread* Events::NewThread(uint32_t number) {
  MutexLock lock(mutex_);
  const size_t size =
      options_.ring_events == 0 ? 0 : std::bit_ceil(options_.ring_events);
  made_.push_back(
      std::make_unique<Thread>(static_cast<uint16_t>(number), size));
  threads_[number].store(made_.back().get(), std::memory_order_release);
  return made_.back().get();
}

void Events::CountUnheard() {
  unheard_.fetch_add(1, std::memory_order_relaxed);
}

void Events::Thread::Tell(const Events& events, Event& event) {
  const Cause& why = now().why;
  if (why.for_bo != 0) {
    event.for_bo = why.for_bo;
    event.client = why.client;
  }
  if (why.limit != EventLimit::kNone) {
    event.limit = why.limit;
    event.limit_of = why.limit_of;
    event.pass = why.pass;
  }
  event.submission = submission;
  event.thread = number;
  if (events.options_.ring_events != 0) {
    event.time_ns =
        events.clock_.is_virtual() ? events.clock_.now_ns() : TicksNow();
    ring.Add(event);
  }
  if (events.options_.callback != nullptr) {
    event.time_ns = events.clock_.now_ns();
    events.options_.callback(event);
  }
}

}  // namespace twostep
