#include "twostep/cli/live_view.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

constexpr auto kBetweenDraws = std::chrono::milliseconds(100);
constexpr size_t kRateSamples = 10;
constexpr size_t kWorstStalls = 5;

// The cursor is where the view begins whenever nothing is being drawn, so that
// this is all it takes to leave the terminal as it was.
constexpr char kRestore[] = "\r\033[J\033[?25h";
constexpr char kHideCursor[] = "\033[?25l";
constexpr char kToEndOfLine[] = "\033[K";

// Only what a signal handler may do: no lock, no allocation.
volatile sig_atomic_t terminal_to_restore = -1;

void RestoreTerminal(int signal) {
  if (terminal_to_restore >= 0) {
    // That it fails means that there is no terminal any more.
    [[maybe_unused]] const ssize_t written =
        write(terminal_to_restore, kRestore, sizeof(kRestore) - 1);
  }
  if (signal == SIGTSTP) {
    raise(SIGSTOP);
    return;
  }
  // SA_RESETHAND: as it would have been without a view.
  raise(signal);
}

void HandleSignals(int terminal) {
  terminal_to_restore = terminal;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP}) {
    struct sigaction before = {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_DFL) continue;  // nohup's, or an embedder's
    struct sigaction action = {};
    action.sa_handler = RestoreTerminal;
    action.sa_flags =
        SA_RESTART | (signal == SIGTSTP ? 0 : static_cast<int>(SA_RESETHAND));
    sigaction(signal, &action, nullptr);
  }
}

void UnhandleSignals() {
  terminal_to_restore = -1;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP}) {
    struct sigaction is = {};
    sigaction(signal, nullptr, &is);
    if (is.sa_handler != RestoreTerminal) continue;
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(signal, &action, nullptr);
  }
}

bool IsTerminal(std::FILE* file) {
  const char* const term = std::getenv("TERM");
  return isatty(fileno(file)) != 0 && term != nullptr && *term != '\0' &&
         std::strcmp(term, "dumb") != 0;
}

// As it is now: people resize windows.
std::pair<size_t, size_t> ColumnsAndRows(int terminal) {
  winsize size = {};
  if (ioctl(terminal, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 ||
      size.ws_row == 0) {
    return {80, 24};
  }
  return {size.ws_col, size.ws_row};
}

}  // namespace

LiveView::LiveView(std::FILE* to, std::chrono::milliseconds between_lines)
    : to_(to),
      terminal_(IsTerminal(to)),
      between_(terminal_ ? kBetweenDraws : between_lines),
      began_(SteadyNow()),
      thread_([this] { Run(); }) {
  if (terminal_) HandleSignals(fileno(to));
}

LiveView::~LiveView() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.Join();
  Clear();
  if (terminal_) UnhandleSignals();
  MutexLock lock(mutex_);
  last_.part = part_.load(std::memory_order_relaxed);
  if (!terminal_ && !last_.run.empty()) {
    Put(absl::StrCat(LiveLine(last_), "\n"));
  }
}

void LiveView::Run() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    const Time next = SteadyNow() + between_;
    while (!stopping_ && changed_.WaitUntil(mutex_, next)) {
    }
    if (!stopping_ && host_ != nullptr) Draw();
  }
}

void LiveView::Put(const std::string& text) {
  // At once: a signal must not find half of it written.
  std::fflush(to_);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t written =
        write(fileno(to_), text.data() + done, text.size() - done);
    if (written <= 0) return;
    done += static_cast<size_t>(written);
  }
}

void LiveView::Clear() {
  MutexLock lock(mutex_);
  if (drawn_) Put(kRestore);
  drawn_ = false;
}

LiveState LiveView::Look() {
  LiveState state;
  state.run = run_;
  state.part = part_.load(std::memory_order_relaxed);
  state.seconds = std::chrono::duration<double>(SteadyNow() - began_).count();
  state.submissions = submissions_.load(std::memory_order_relaxed);
  state.frames = frames_.load(std::memory_order_relaxed);
  state.failures = failures_.load(std::memory_order_relaxed);
  state.moved_bytes =
      host_->stats().to_fixed_bytes + host_->stats().from_fixed_bytes;
  for (Device* device : devices_) {
    const std::string of =
        device == devices_.front() ? "" : absl::StrCat(device->name(), " ");
    for (MemoryManager* manager : MemoryTypesOf(*device)) {
      state.memory.push_back({absl::StrCat(of, manager->name()),
                              PagesToBytes(manager->used_pages()),
                              PagesToBytes(manager->pages()),
                              manager->evictions()});
    }
  }
  for (DmaBinder* binder : host_->Binders()) {
    LiveGauge gauge{binder->name(), PagesToBytes(binder->bound_pages_now()),
                    binder->unit_bytes(), binder->stats().evictions};
    if (gauge.used_bytes != 0 || gauge.evictions != 0) {
      state.dma.push_back(std::move(gauge));
    }
  }
  SpinLockHolder lock(stalls_lock_);
  state.stalls = stalls_;
  return state;
}

void LiveView::Draw() {
  LiveState state = Look();
  Sample now{SteadyNow(), state.submissions, 0, state.moved_bytes};
  for (const auto* gauges : {&state.memory, &state.dma}) {
    for (const LiveGauge& gauge : *gauges) now.evictions += gauge.evictions;
  }
  // Counters begin anew with each machine.
  if (!samples_.empty() && (now.evictions < samples_.back().evictions ||
                            now.moved_bytes < samples_.back().moved_bytes)) {
    samples_.clear();
  }
  if (!samples_.empty()) {
    const Sample& then = samples_.front();
    const double seconds =
        std::max(std::chrono::duration<double>(now.at - then.at).count(), 1e-3);
    const auto rate = [seconds](uint64_t is, uint64_t was) {
      return static_cast<double>(is - was) / seconds;
    };
    state.submissions_per_s = rate(now.submissions, then.submissions);
    state.evictions_per_s = rate(now.evictions, then.evictions);
    state.moved_bytes_per_s = rate(now.moved_bytes, then.moved_bytes);
  }
  samples_.push_back(now);
  if (samples_.size() > kRateSamples) samples_.pop_front();
  last_ = state;
  if (!terminal_) {
    Put(absl::StrCat(LiveLine(state), "\n"));
    return;
  }
  const auto [columns, rows] = ColumnsAndRows(fileno(to_));
  // The last column stays free: some terminals wrap when it is written to.
  const std::vector<std::string> lines = LiveLines(state, columns - 1, rows);
  std::string text = absl::StrCat(kHideCursor, "\r");
  for (size_t i = 0; i < lines.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : "\r\n", lines[i], kToEndOfLine);
  }
  absl::StrAppend(&text, "\033[J\r");
  if (lines.size() > 1) absl::StrAppend(&text, "\033[", lines.size() - 1, "A");
  drawn_ = true;
  Put(text);
}

void LiveView::Next(const std::string& name) {
  MutexLock lock(mutex_);
  run_ = name;
}

void LiveView::Began(Host& host, Device& device) {
  MutexLock lock(mutex_);
  host_ = &host;
  devices_ = {&device};
  samples_.clear();
  SpinLockHolder stalls_lock(stalls_lock_);
  stalls_.clear();
  stalls_before_.Clear();
}

void LiveView::Added(Device& device) {
  MutexLock lock(mutex_);
  if (host_ != nullptr) devices_.push_back(&device);
}

void LiveView::Leaving(Device& device) {
  MutexLock lock(mutex_);
  std::erase(devices_, &device);
}

void LiveView::Happened(const Event& event) {
  if (event.kind == EventKind::kFailure) {
    failures_.fetch_add(1, std::memory_order_relaxed);
  }
}

void LiveView::Submitted(const Job& job) {
  if (job.submission == 0) return;
  submissions_.fetch_add(1, std::memory_order_relaxed);
  if (job.fence.timeline == nullptr) return;
  SpinLockHolder lock(stalls_lock_);
  const LiveStall stall{stalls_before_.Before(job), job.submission};
  if (stall.ns == 0) return;
  if (stalls_.size() == kWorstStalls && stall.ns <= stalls_.back().ns) return;
  const auto at = std::find_if(
      stalls_.begin(), stalls_.end(),
      [&stall](const LiveStall& one) { return one.ns < stall.ns; });
  stalls_.insert(at, stall);
  if (stalls_.size() > kWorstStalls) stalls_.pop_back();
}

void LiveView::FrameEnded() { frames_.fetch_add(1, std::memory_order_relaxed); }

void LiveView::Ending() {
  MutexLock lock(mutex_);
  if (host_ == nullptr) return;
  last_ = Look();
  host_ = nullptr;
  devices_.clear();
}

}  // namespace twostep
