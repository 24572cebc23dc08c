#ifndef MACHINE_FIBER_SCHEDULER_H_
#define MACHINE_FIBER_SCHEDULER_H_

// What the primitives of sync_fibers.h ask of the one who decides which fiber
// runs. Knows nothing of how it decides (explore/ does). All fibers share one
// thread: what lies between two calls of this interface is not interrupted.

#include <chrono>
#include <cstdint>
#include <functional>

namespace twostep::fibers {

// What a fiber is about to do, or has just done.
enum class Op : uint8_t {
  kLoad,       // about to read an atomic
  kStore,      // about to write one
  kReadWrite,  // about to read and write one
  kLock,       // about to take a lock
  kUnlocked,   // has given one back
  kNotify,     // about to wake those who wait
  kStart,      // has made another fiber
};

// A value of each fiber's own.
struct LocalKey {
  void* (*make)();
  void (*destroy)(void* value);
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;

  // Another fiber may run before this returns.
  virtual void Point(Op op, bool relaxed) = 0;
  // The running fiber polls: it goes on once another one has written
  // something, or has nothing else to wait for.
  virtual void Poll(uint64_t microseconds) = 0;
  // Stops the running fiber until `where` is woken. False: `deadline` came
  // first. `what` names it in reports, `owner` is the fiber that has it, or -1.
  virtual bool Block(const void* where, const char* what, int owner,
                     std::chrono::steady_clock::time_point deadline) = 0;
  // All that are blocked there may run.
  virtual void WakeAll(const void* where) = 0;

  virtual int Start(std::function<void()> body) = 0;
  virtual void Join(int fiber) = 0;
  virtual int current() const = 0;
  virtual std::chrono::steady_clock::time_point now() const = 0;
  // This fiber's value of `key`, made when first asked for and destroyed when
  // the fiber ends, the last one made first.
  virtual void* Local(const LocalKey& key) = 0;
};

// Null outside of a schedule: then nothing may block, and nobody races.
inline constinit Scheduler* scheduler = nullptr;

}  // namespace twostep::fibers

#endif  // MACHINE_FIBER_SCHEDULER_H_
