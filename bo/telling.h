#ifndef BO_TELLING_H_
#define BO_TELLING_H_

// Where events come from: one line for each place in the library that has
// something to tell. With events off each is a test of one pointer of the
// host's. Private to the library.
//
// Why something happens is known further out than what happens. So each thread
// remembers what it is doing, a level for each eviction within an eviction, and
// all that it tells carries that along.

#include "absl/status/status.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/events.h"
#include "twostep/bo/host.h"
#include "twostep/machine/timeline.h"

namespace twostep {

class VictimSearch;

class Telling {
 public:
  // Memory types and DMA types by their address.
  static void Tell(const BufferObject& bo, EventKind kind, PageCount pages,
                   const void* from = nullptr, const void* to = nullptr,
                   const Fence& fence = {}) {
    if (Off(bo.host())) return;
    TellOf(bo, kind, pages, from, to, fence);
  }
  // What it is bound by is bound for it no more.
  static void LeftBehind(const BufferObject& bo) {
    if (!Off(bo.host())) TellLeftBehind(bo);
  }
  // OK is no news. `bo` is null when it could not be made.
  static void Outcome(const Host& host, const BufferObject* bo,
                      const absl::Status& status) {
    if (!status.ok() && !Off(host)) TellFailure(host, bo, status);
  }

  // Room is now made as Event::pass says.
  static void Pass(const Host& host, uint8_t pass) {
    if (!Off(host)) NotePass(*host.events(), pass);
  }
  // A search at the limit of `of`, a place or a Client; `stuck` were tried in
  // vain before, `pinned_pages` cannot go.
  static void Searched(const Host& host, const VictimSearch& search,
                       EventLimit limit, const void* of, size_t stuck,
                       uint64_t pinned_pages) {
    if (Off(host)) return;
    NoteSearch(*host.events(), search, limit, of, stuck, pinned_pages);
  }
  // `victim` goes, as the last search said, for the bo that was at work; until
  // it is settled, gone or not, it is at work itself.
  static void Victim(const BufferObject& victim) {
    if (!Off(victim.host())) EnterVictim(victim);
  }
  static void Settled(const BufferObject& victim, bool gone) {
    if (!Off(victim.host())) LeaveVictim(victim, gone);
  }

  // Names for what events speak of. `events` may be null.
  static void Name(Events* events, const void* place, std::string device,
                   const std::string& name) {
    if (events != nullptr) events->NamePlace(place, {std::move(device), name});
  }
  static void Forget(Events* events, const void* place) {
    if (events != nullptr) events->ForgetPlace(place);
  }
  static void NameClient(Events* events, uint32_t number,
                         const std::string& name) {
    if (events != nullptr) events->NameClient(number, name);
  }

  // While one lives, this thread is doing something that what it tells carries
  // along.
  class Scope {
   public:
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   protected:
    explicit Scope(const Host& host) : events_(host.events()) {}
    ~Scope() {
      if (events_ != nullptr) Leave(*events_);
    }
    Events* const events_;
  };
  // Room is made for `bo`.
  class AtWork : Scope {
   public:
    explicit AtWork(const BufferObject& bo) : Scope(bo.host()) {
      if (events_ != nullptr) EnterWork(*events_, bo);
    }
  };
  // What happens does because a device goes.
  class DeviceGoes : Scope {
   public:
    explicit DeviceGoes(const Host& host) : Scope(host) {
      if (events_ != nullptr) EnterDeviceGoes(*events_);
    }
  };

  // An Exec::Run.
  class Submission {
   public:
    explicit Submission(const Host& host) : events_(host.events()) {
      if (events_ != nullptr) number_ = Begin(*events_);
    }
    ~Submission() {
      if (events_ != nullptr) End(*events_);
    }
    Submission(const Submission&) = delete;
    Submission& operator=(const Submission&) = delete;

    uint32_t number() const { return number_; }

   private:
    static uint32_t Begin(Events& events);
    static void End(Events& events);

    Events* const events_;
    uint32_t number_ = 0;
  };

  // A wait for the fences of `bo`, told of when it is over.
  class Wait {
   public:
    explicit Wait(const BufferObject& bo) : events_(bo.host().events()) {
      if (events_ != nullptr) Begin(bo);
    }
    ~Wait() {
      if (events_ != nullptr) End();
    }
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

   private:
    void Begin(const BufferObject& bo);
    void End();

    Events* const events_;
    const BufferObject* bo_;
    Fence fence_;
    uint64_t began_ns_;
  };

 private:
  // All that an emission point costs when it is.
  static bool Off(const Host& host) {
    return __builtin_expect(host.events() == nullptr, true);
  }
  static void TellOf(const BufferObject& bo, EventKind kind, PageCount pages,
                     const void* from, const void* to, const Fence& fence);
  static void TellLeftBehind(const BufferObject& bo);
  static void TellFailure(const Host& host, const BufferObject* bo,
                          const absl::Status& status);
  static void NotePass(Events& events, uint8_t pass);
  static void NoteSearch(Events& events, const VictimSearch& search,
                         EventLimit limit, const void* of, size_t stuck,
                         uint64_t pinned_pages);
  static void EnterWork(Events& events, const BufferObject& bo);
  static void EnterVictim(const BufferObject& victim);
  static void LeaveVictim(const BufferObject& victim, bool gone);
  static void EnterDeviceGoes(Events& events);
  static void Leave(Events& events);
};

}  // namespace twostep

#endif  // BO_TELLING_H_
