#include "twostep/cli/play_guard.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

// What a signal handler writes, in turn: it may come while the next is made.
char texts[2][1024];
constinit Atomic<const char*> text{nullptr};

void Died(int signal_number) {
  const char* const says = text.load();
  if (says != nullptr) {
    [[maybe_unused]] const auto written =
        write(STDERR_FILENO, says, std::strlen(says));
  }
  // What ends the process comes once more.
  signal(signal_number, SIG_DFL);
  if (signal_number == SIGABRT) raise(signal_number);
}

// Once, as the library's own handler of faults calls the one that it finds. One
// that is there already stays, and reports in its own way.
void InstallHandlers() {
  for (const int signal_number : {SIGABRT, SIGSEGV, SIGBUS}) {
    struct sigaction known = {};
    sigaction(signal_number, nullptr, &known);
    if ((known.sa_flags & SA_SIGINFO) != 0 || known.sa_handler != SIG_DFL) {
      continue;
    }
    struct sigaction ours = {};
    ours.sa_handler = Died;
    sigaction(signal_number, &ours, nullptr);
  }
}

}  // namespace

PlayGuard::PlayGuard(std::FILE* to, std::chrono::milliseconds patience)
    : to_(to),
      patience_(patience),
      began_(std::chrono::steady_clock::now()),
      thread_([this] { Watch(); }) {
  InstallHandlers();
}

PlayGuard::~PlayGuard() {
  text.store(nullptr);
  {
    MutexLock lock(mutex_);
    over_ = true;
    changed_.NotifyAll();
  }
  thread_.Join();
}

void PlayGuard::Playing(const std::string& repeat) {
  char* const next = text.load() == texts[0] ? texts[1] : texts[0];
  std::snprintf(
      next, sizeof(texts[0]),
      "\nended the process before --json and --report; again with: %s\n",
      repeat.c_str());
  text.store(next);
  MutexLock lock(mutex_);
  repeat_ = repeat;
  told_ = 0;
  began_ = std::chrono::steady_clock::now();
}

void PlayGuard::Watch() {
  MutexLock lock(mutex_);
  while (!over_) {
    if (changed_.WaitUntil(mutex_, began_ + patience_)) continue;
    const auto now = std::chrono::steady_clock::now();
    if (now < began_ + patience_) continue;
    began_ = now;
    if (repeat_.empty()) continue;
    const auto minutes =
        std::chrono::duration_cast<std::chrono::minutes>(++told_ * patience_)
            .count();
    const std::string says = absl::StrCat("\nhas not ended in ", minutes,
                                          " minutes: ", repeat_, "\n");
    std::fputs(says.c_str(), to_);
    std::fflush(to_);
    // Nobody is there to look: a deadlock is a failure like any other, and
    // leaves a core.
    if (told_ == kMostPatiences) std::abort();
  }
}

}  // namespace twostep
