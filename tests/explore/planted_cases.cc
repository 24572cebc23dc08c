// Toys that are wrong, each as a library of this kind could be, and right.

#include "tests/explore/cases.h"
#include "twostep/machine/sync.h"

namespace twostep::explore {
namespace {

enum class Bug : bool { kNo, kYes };

// The device's copy of a page, brought up to date when it is marked.
void LostSync(Bug bug) {
  Atomic<int> cpu{0};
  Atomic<int> device{0};
  Atomic<bool> stale{false};
  const auto sync_for_device = [&] {
    if (!stale.load()) return;
    if (bug == Bug::kNo) stale.store(false);
    device.store(cpu.load());
    // What the CPU wrote since the load is forgotten.
    if (bug == Bug::kYes) stale.store(false);
  };
  Thread writer([&] {
    for (int i = 1; i <= 2; ++i) {
      cpu.store(i);
      stale.store(true);
    }
  });
  Thread user([&] { sync_for_device(); });
  writer.Join();
  user.Join();
  sync_for_device();
  Expect(device.load() == cpu.load(), "the device reads stale bytes");
}

// Two that move something between the same two spaces.
void LockOrder(Bug bug) {
  Mutex spaces[2];
  int pages[2] = {8, 8};
  const auto move = [&](int from, int to) {
    const bool turn = bug == Bug::kNo && from > to;
    MutexLock first(spaces[turn ? to : from]);
    MutexLock second(spaces[turn ? from : to]);
    --pages[from];
    ++pages[to];
  };
  Thread there([&] { move(0, 1); });
  Thread back([&] { move(1, 0); });
  there.Join();
  back.Join();
  Expect(pages[0] == 8 && pages[1] == 8, "pages are lost");
}

// Room for one, taken by one that can be evicted. Two want it in turn; whoever
// has it gives it back.
void StealOfFreedSpace(Bug bug) {
  SpinLock lock;
  bool free = false;
  bool squatter = true;
  Mutex gate;
  const auto take = [&] {
    SpinLockHolder hold(lock);
    const bool had = free;
    free = false;
    return had;
  };
  const auto evict = [&] {
    SpinLockHolder hold(lock);
    const bool had = squatter;
    squatter = false;
    free |= had;
    return had;
  };
  const auto use_once = [&] {
    if (bug == Bug::kNo) gate.lock();
    // What was freed here may be gone by the time it is asked for again.
    const bool took = take() || (evict() && take());
    Expect(took, "nothing left to evict, and it would fit");
    {
      SpinLockHolder hold(lock);
      squatter = true;
    }
    if (bug == Bug::kNo) gate.unlock();
  };
  Thread one(use_once);
  Thread other(use_once);
}

// The last of two references ends what they refer to.
void DoubleDestroy(Bug bug) {
  Atomic<int> references{2};
  Atomic<int> destroyed{0};
  const auto release = [&] {
    if (bug == Bug::kNo) {
      if (references.fetch_sub(1) == 1) ++destroyed;
    } else {
      references.fetch_sub(1);
      if (references.load() == 0) ++destroyed;
    }
  };
  Thread one(release);
  Thread other(release);
  one.Join();
  other.Join();
  Expect(destroyed.load() == 1, "not destroyed once");
}

// One waits for what the other does.
void MissedWakeUp(Bug bug) {
  Mutex mutex;
  CondVar changed;
  Atomic<bool> done{false};
  Thread waiter([&] {
    if (bug == Bug::kYes) {
      // Done and notified between the question and the wait.
      if (done.load()) return;
      MutexLock lock(mutex);
      changed.Wait(mutex);
    } else {
      MutexLock lock(mutex);
      while (!done.load()) changed.Wait(mutex);
    }
  });
  Thread worker([&] {
    MutexLock lock(mutex);
    done.store(true);
    changed.NotifyAll();
  });
}

// Lock order again, of locks that are polled: nobody sleeps, nobody gets on.
void PolledOrder(Bug bug) {
  Atomic<bool> taken[2]{};
  const auto take_both = [&](int first) {
    for (const int which : {first, 1 - first}) {
      while (taken[which].exchange(true)) CpuRelax();
    }
    taken[0].store(false);
    taken[1].store(false);
  };
  Thread one([&] { take_both(0); });
  Thread other([&] { take_both(bug == Bug::kYes ? 1 : 0); });
}

struct Toy {
  const char* name;
  const char* about;
  void (*run)(Bug bug);
};
const Toy kToys[] = {
    {"lost_sync", "a write while the page is synced", LostSync},
    {"lock_order", "two locks in both orders", LockOrder},
    {"stolen_space", "room is freed and taken in two steps", StealOfFreedSpace},
    {"double_destroy", "two releases both see the last one", DoubleDestroy},
    {"missed_wake_up", "a wait begins after what it waits for", MissedWakeUp},
    {"polled_order", "two polled locks in both orders", PolledOrder},
};

std::vector<Case> Toys(const char* folder, Bug bug) {
  std::vector<Case> cases;
  for (const Toy& toy : kToys) {
    cases.push_back(Case{std::string(folder) + toy.name, toy.about,
                         [run = toy.run, bug] { run(bug); }});
  }
  return cases;
}

}  // namespace

std::vector<Case> PlantedCases() { return Toys("planted/", Bug::kYes); }
std::vector<Case> MendedCases() { return Toys("mended/", Bug::kNo); }

}  // namespace twostep::explore
