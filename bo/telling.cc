#include "twostep/bo/telling.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "twostep/bo/error.h"
#include "twostep/bo/event_thread.h"
#include "twostep/bo/victim_search.h"

namespace twostep {
namespace {

template <typename Narrow>
Narrow Most(uint64_t count) {
  return static_cast<Narrow>(
      std::min<uint64_t>(count, std::numeric_limits<Narrow>::max()));
}

uint16_t NumberOf(const Client* client) {
  const uint32_t number = client == nullptr ? 0 : client->number();
  return static_cast<uint16_t>(number > UINT16_MAX ? 0 : number);
}

// Where its contents are.
const void* PlaceOf(const BufferObject& bo) {
  if (bo.manager().kind() != MemoryManager::Kind::kNowhere) {
    return &bo.manager();
  }
  if (bo.binder() != nullptr) return bo.binder();
  switch (bo.pages().home()) {
    case Pages::Home::kNone:
      return nullptr;
    case Pages::Home::kSwapped:
      return &bo.host().machine().swap();
    default:
      return &bo.manager();
  }
}

// What it leaves where that limit is short.
const void* LeftAt(EventLimit limit, const BufferObject& bo) {
  const bool dma = limit == EventLimit::kDmaType ||
                   limit == EventLimit::kIova ||
                   limit == EventLimit::kClientDma;
  if (dma) return bo.binder();
  return &bo.manager();
}

bool IsForWantOfRoom(ErrorKind kind) {
  return kind == ErrorKind::kCannotFit || kind == ErrorKind::kBusy ||
         kind == ErrorKind::kContended || kind == ErrorKind::kOverLimit;
}

}  // namespace

void Telling::TellOf(const BufferObject& bo, EventKind kind, PageCount pages,
                     const void* from, const void* to, const Fence& fence) {
  Events& events = *bo.host().events();
  Events::Thread* const thread = events.ThisThread();
  if (thread == nullptr) return events.CountUnheard();
  Event event{.bo = bo.id(),
              .pages = pages,
              .client = NumberOf(bo.client().get()),
              .kind = kind,
              .from = thread->NumberOf(events, from),
              .to = thread->NumberOf(events, to)};
  if (fence.timeline != nullptr) {
    event.fence_timeline = fence.timeline->number();
    event.fence_point = fence.point;
  }
  thread->Tell(events, event);
}

void Telling::TellLeftBehind(const BufferObject& bo) {
  if (bo.manager().kind() == MemoryManager::Kind::kAperture) {
    Tell(bo, EventKind::kGpuUnbind, bo.page_count(), &bo.manager());
  }
  if (bo.binder() != nullptr) {
    Tell(bo, EventKind::kDmaUnbind, bo.page_count(), bo.binder());
  }
}

void Telling::TellFailure(const Host& host, const BufferObject* bo,
                          const absl::Status& status) {
  Events& events = *host.events();
  Events::Thread* const thread = events.ThisThread();
  if (thread == nullptr) return events.CountUnheard();
  Event event{.kind = EventKind::kFailure,
              .error = static_cast<uint8_t>(KindOf(status))};
  if (bo != nullptr) {
    event.bo = bo->id();
    event.pages = bo->page_count();
    event.client = NumberOf(bo->client().get());
    event.from = thread->NumberOf(events, PlaceOf(*bo));
    const Events::Thread::Doing* const tried = thread->Ended(bo->id());
    if (tried != nullptr && IsForWantOfRoom(KindOf(status))) {
      event.pinned_pages = tried->found.pinned_pages;
      event.skipped = tried->found.skipped;
      event.limit = tried->found.limit;
      event.limit_of = tried->found.limit_of;
      event.pass = tried->pass;
    }
  }
  thread->Tell(events, event);
}

void Telling::NotePass(Events& events, uint8_t pass) {
  Events::Thread* const thread = events.ThisThread();
  if (thread != nullptr) thread->now().pass = pass;
}

void Telling::NoteSearch(Events& events, const VictimSearch& search,
                         EventLimit limit, const void* of, size_t stuck,
                         uint64_t pinned_pages) {
  Events::Thread* const thread = events.ThisThread();
  if (thread == nullptr) return;
  Events::Thread::Cause& found = thread->now().found;
  found.limit = limit;
  switch (limit) {
    case EventLimit::kMemoryType:
    case EventLimit::kDmaType:
    case EventLimit::kIova:
      found.limit_of = thread->NumberOf(events, of);
      break;
    case EventLimit::kClientHost:
    case EventLimit::kClientDma:
    case EventLimit::kClientDevice:
      found.limit_of = NumberOf(static_cast<const Client*>(of));
      break;
    default:
      found.limit_of = 0;
  }
  const VictimSearch::Skipped skipped = search.skipped();
  found.skipped.reserved = Most<uint16_t>(skipped.reserved);
  found.skipped.mine = Most<uint16_t>(skipped.mine);
  found.skipped.stuck = Most<uint16_t>(stuck);
  found.skipped.protected_bos = Most<uint16_t>(search.ProtectedNow());
  found.skipped.unhelpful = Most<uint16_t>(skipped.unhelpful);
  found.pinned_pages = Most<uint32_t>(pinned_pages);
}

void Telling::EnterWork(Events& events, const BufferObject& bo) {
  Events::Thread* const thread = events.ThisThread();
  if (thread == nullptr) return;
  Events::Thread::Doing& now = thread->Enter();
  now = thread->outer();
  now.bo = bo.id();
  now.client = NumberOf(bo.client().get());
  now.pass = 0;
  now.found = {};
}

void Telling::EnterVictim(const BufferObject& victim) {
  Events& events = *victim.host().events();
  Events::Thread* const thread = events.ThisThread();
  if (thread == nullptr) return;
  Events::Thread::Doing& now = thread->Enter();
  const Events::Thread::Doing& by = thread->outer();
  now = {};
  now.bo = victim.id();
  now.client = NumberOf(victim.client().get());
  now.from = thread->NumberOf(events, LeftAt(by.found.limit, victim));
  now.why = by.found;
  now.why.for_bo = by.bo;
  now.why.client = by.client;
  now.why.pass = by.pass;
}

void Telling::LeaveVictim(const BufferObject& victim, bool gone) {
  Events& events = *victim.host().events();
  Events::Thread* const thread = events.ThisThread();
  if (thread == nullptr) return gone ? events.CountUnheard() : void();
  if (gone) {
    const Events::Thread::Doing& now = thread->now();
    Event event{.bo = victim.id(),
                .fence_point = now.fence_point,
                .pages = victim.page_count(),
                .waited_ns = now.waited_ns,
                .pinned_pages = now.why.pinned_pages,
                .skipped = now.why.skipped,
                .fence_timeline = now.fence_timeline,
                .client = NumberOf(victim.client().get()),
                .kind = EventKind::kEvict,
                .from = now.from,
                .to = thread->NumberOf(events, PlaceOf(victim))};
    thread->Tell(events, event);
  }
  Leave(events);
}

void Telling::EnterDeviceGoes(Events& events) {
  Events::Thread* const thread = events.ThisThread();
  if (thread == nullptr) return;
  Events::Thread::Doing& now = thread->Enter();
  now = thread->outer();
  now.why.limit = EventLimit::kDevice;
}

void Telling::Leave(Events& events) {
  Events::Thread* const thread = events.ThisThread();
  if (thread != nullptr) --thread->depth;
}

uint32_t Telling::Submission::Begin(Events& events) {
  const uint32_t number =
      events.submissions_.fetch_add(1, std::memory_order_relaxed) + 1;
  Events::Thread* const thread = events.ThisThread();
  if (thread != nullptr) thread->submission = number;
  return number;
}

void Telling::Submission::End(Events& events) {
  Events::Thread* const thread = events.ThisThread();
  if (thread != nullptr) thread->submission = 0;
}

void Telling::Wait::Begin(const BufferObject& bo) {
  bo_ = &bo;
  absl::InlinedVector<Fence, 4> fences;
  bo.fences().AppendDependencies(FenceUse::kWrite, &fences);
  uint64_t last_ns = 0;
  for (const Fence& fence : fences) {
    const uint64_t due_ns =
        fence.Signalled() ? 0 : fence.timeline->DueNs(fence.point);
    if (fence_.timeline != nullptr && due_ns <= last_ns) continue;
    fence_ = fence;
    last_ns = due_ns;
  }
  began_ns_ = bo.host().machine().clock().now_ns();
}

void Telling::Wait::End() {
  Events::Thread* const thread = events_->ThisThread();
  if (thread == nullptr) return events_->CountUnheard();
  Event event{
      .bo = bo_->id(), .pages = bo_->page_count(), .kind = EventKind::kWait};
  event.client = NumberOf(bo_->client().get());
  if (fence_.timeline != nullptr) {
    event.fence_timeline = fence_.timeline->number();
    event.fence_point = fence_.point;
  }
  event.waited_ns =
      Most<uint32_t>(bo_->host().machine().clock().now_ns() - began_ns_);
  thread->Tell(*events_, event);
  Events::Thread::Doing& now = thread->now();
  now.fence_timeline = event.fence_timeline;
  now.fence_point = event.fence_point;
  now.waited_ns = event.waited_ns;
}

}  // namespace twostep
