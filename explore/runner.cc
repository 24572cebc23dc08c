#include "twostep/explore/runner.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "twostep/explore/fibers.h"
#include "twostep/machine/check.h"

namespace twostep::explore {
namespace {

// Of the child, while a schedule runs.
constinit Fibers* running = nullptr;

// Addresses and counts differ between two schedules that fail alike.
std::string WithoutNumbers(const std::string& message) {
  std::string text = message.substr(0, message.find('\n'));
  text.erase(std::remove_if(text.begin(), text.end(),
                            [](unsigned char c) { return std::isdigit(c); }),
             text.end());
  return text;
}

}  // namespace

void Fail(absl::string_view why) {
  TWOSTEP_CHECK(running != nullptr);
  running->Finish(End::kFailed, why);
}

void Progress() { running->Progress(); }

bool Outcome::SameAs(const Outcome& other) const {
  return kind == other.kind &&
         WithoutNumbers(message) == WithoutNumbers(other.message);
}

const char* NameOf(Outcome::Kind kind) {
  switch (kind) {
    case Outcome::Kind::kDone:
      return "done";
    case Outcome::Kind::kFailed:
      return "failed";
    case Outcome::Kind::kCrashed:
      return "crashed";
    case Outcome::Kind::kDeadlock:
      return "deadlock";
    case Outcome::Kind::kLivelock:
      return "livelock";
    case Outcome::Kind::kStuck:
      return "stuck";
  }
  return "";
}

Runner::Runner()
    : report_(static_cast<Report*>(mmap(nullptr, sizeof(Report),
                                        PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0))),
      output_(memfd_create("output", MFD_CLOEXEC)) {
  TWOSTEP_CHECK(report_ != MAP_FAILED);
  TWOSTEP_CHECK(output_ >= 0);
}

Runner::~Runner() {
  munmap(report_, sizeof(Report));
  close(output_);
}

void Runner::RunInChild(const Case& one, Strategy& strategy,
                        const Limits& limits) {
  TWOSTEP_CHECK(dup2(output_, STDOUT_FILENO) >= 0);
  TWOSTEP_CHECK(dup2(output_, STDERR_FILENO) >= 0);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const rlimit a_minute{60, 60};
  setrlimit(RLIMIT_CPU, &a_minute);
  for (const int crash : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    std::signal(crash, SIG_DFL);
  }
  Fibers fibers(strategy, limits, *report_);
  running = &fibers;
  fibers.Run(one.body);
  std::_Exit(0);
}

std::string Runner::TakeOutput() {
  const off_t size = lseek(output_, 0, SEEK_CUR);
  std::string text(static_cast<size_t>(size), '\0');
  TWOSTEP_CHECK(pread(output_, text.data(), text.size(), 0) == size);
  TWOSTEP_CHECK(ftruncate(output_, 0) == 0);
  TWOSTEP_CHECK(lseek(output_, 0, SEEK_SET) == 0);
  return text;
}

Outcome Runner::Run(const Case& one, Strategy& strategy, const Limits& limits) {
  report_->Clear();
  const pid_t child = fork();
  TWOSTEP_CHECK(child >= 0);
  if (child == 0) RunInChild(one, strategy, limits);
  int status = 0;
  TWOSTEP_CHECK(waitpid(child, &status, 0) == child);
  const std::string output = TakeOutput();

  Outcome outcome;
  outcome.message = std::string(report_->text());
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    outcome.kind = signal == SIGXCPU || signal == SIGKILL
                       ? Outcome::Kind::kStuck
                       : Outcome::Kind::kCrashed;
    outcome.message = absl::StrCat(output.empty() ? strsignal(signal) : output,
                                   outcome.message);
    return outcome;
  }
  switch (report_->end) {
    case End::kDone:
      outcome.kind = Outcome::Kind::kDone;
      break;
    case End::kFailed:
      outcome.kind = Outcome::Kind::kFailed;
      break;
    case End::kDeadlock:
      outcome.kind = Outcome::Kind::kDeadlock;
      break;
    case End::kLivelock:
      outcome.kind = Outcome::Kind::kLivelock;
      break;
    case End::kNone:
      outcome.kind = Outcome::Kind::kCrashed;
      outcome.message = absl::StrCat(output, "the process exited by itself");
      break;
  }
  return outcome;
}

Script Runner::ScriptOf(const Case& one) const {
  TWOSTEP_CHECK(report_->lost_decisions == 0);
  return Script{one.name, SwitchesOf(report_->decisions()), report_->trace};
}

}  // namespace twostep::explore
