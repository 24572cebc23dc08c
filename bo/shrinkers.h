#ifndef BO_SHRINKERS_H_
#define BO_SHRINKERS_H_

// Who else can give page frames back when the host runs short: caches outside
// of the library, each with a name and a callback. Knows neither bos nor
// frames. Thread-safe.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "twostep/machine/sync.h"

namespace twostep {

class Shrinkers {
 public:
  // Gives up to `pages` frames back to the machine and returns how many these
  // were. Called on a thread that ran short, under whatever reservations it
  // has and no other lock of the library: it must not reserve, validate or
  // wait for who does. One call at a time.
  using Callback = std::function<uint64_t(uint64_t pages)>;

  // Asked as long as it lives. Gone, it is not asked any more, nor still at
  // work: not to be destroyed by its own callback.
  class Registration {
   public:
    ~Registration();
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

   private:
    friend class Shrinkers;
    Registration(Shrinkers& shrinkers, std::string name, Callback callback);

    Shrinkers& shrinkers_;
    const std::string name_;
    const Callback callback_;
    // Guarded by the mutex of shrinkers_.
    uint64_t given_pages_ = 0;
    bool at_work_ = false;
  };

  Shrinkers() = default;
  // REQUIRES: no registration is left.
  ~Shrinkers();
  Shrinkers(const Shrinkers&) = delete;
  Shrinkers& operator=(const Shrinkers&) = delete;

  std::unique_ptr<Registration> Register(std::string name, Callback callback);
  // Asks them in turn, beginning behind the one asked last, until they have
  // given `pages`; one that is at work for another thread is passed over. How
  // many pages they gave.
  uint64_t Ask(uint64_t pages);
  // One line a shrinker: its name and the pages it has given so far.
  std::string Report() const;

 private:
  mutable Mutex mutex_;
  CondVar done_;
  std::vector<Registration*> registrations_ ABSL_GUARDED_BY(mutex_);
  size_t turn_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace twostep

#endif  // BO_SHRINKERS_H_
