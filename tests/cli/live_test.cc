// --live as its user meets it, on a terminal and without one.

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/run_twostep.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kShowCursor[] = "\033[?25h";
constexpr char kHideCursor[] = "\033[?25l";

// The command on a terminal of its own.
class OnTerminal {
 public:
  OnTerminal(const char* term, winsize size,
             std::vector<std::string> arguments) {
    pid_ = forkpty(&terminal_, nullptr, nullptr, &size);
    if (pid_ != 0) return;
    setenv("TERM", term, 1);
    std::vector<char*> argv;
    arguments.insert(arguments.begin(), "cli/twostep");
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  ~OnTerminal() { close(terminal_); }

  // Reads until `text` was seen, or the end. Whether it was.
  bool ReadTo(const std::string& text) {
    char buffer[4096];
    while (!absl::StrContains(output_, text)) {
      const ssize_t size = read(terminal_, buffer, sizeof(buffer));
      if (size <= 0) return false;
      output_.append(buffer, static_cast<size_t>(size));
    }
    return true;
  }
  void Type(const std::string& keys) {
    ASSERT_EQ(write(terminal_, keys.data(), keys.size()),
              static_cast<ssize_t>(keys.size()));
  }
  // As waitpid has it, after reading all.
  int Wait() {
    char buffer[4096];
    ssize_t size;
    while ((size = read(terminal_, buffer, sizeof(buffer))) > 0) {
      output_.append(buffer, static_cast<size_t>(size));
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    return status;
  }
  const std::string& output() const { return output_; }
  // What was drawn, without what steers the terminal, line by line.
  std::vector<std::string> Lines() const {
    std::string plain;
    for (size_t i = 0; i < output_.size(); ++i) {
      if (output_[i] == '\033') {
        while (i < output_.size() && !isalpha(output_[i])) ++i;
      } else {
        plain += output_[i];
      }
    }
    return absl::StrSplit(plain, absl::ByAnyChar("\r\n"), absl::SkipEmpty());
  }

 private:
  int terminal_ = -1;
  pid_t pid_ = -1;
  std::string output_;
};

const std::vector<std::string> kLong = {"stress", "evict-small", "--duration",
                                        "600", "--live"};

TEST(Live, AViewThatFitsTheTerminalAndLeavesItAsItWasOnCtrlC) {
  for (const auto& [columns, rows] :
       std::vector<std::pair<int, int>>{{80, 24}, {40, 10}}) {
    SCOPED_TRACE(columns);
    OnTerminal run("xterm",
                   {.ws_row = static_cast<unsigned short>(rows),
                    .ws_col = static_cast<unsigned short>(columns)},
                   kLong);
    // Drawn twice: the second time over the first.
    ASSERT_TRUE(run.ReadTo("vram"));
    ASSERT_TRUE(run.ReadTo("A"));
    EXPECT_THAT(run.output(), HasSubstr(kHideCursor));
    EXPECT_THAT(run.output(), HasSubstr("submissions"));
    run.Type("\003");
    const int status = run.Wait();
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
    EXPECT_GT(run.output().rfind(kShowCursor), run.output().rfind(kHideCursor));
    EXPECT_THAT(run.output(), Not(HasSubstr("\033[?1049h")));
    for (const std::string& line : run.Lines()) {
      EXPECT_LT(line.size(), static_cast<size_t>(columns)) << line;
    }
  }
}

TEST(Live, TheTerminalIsRestoredAtTheEndAndTheTableFollows) {
  OnTerminal run("xterm", {.ws_row = 24, .ws_col = 100},
                 {"stress", "evict-small", "--seeds", "30", "--live"});
  const int status = run.Wait();
  EXPECT_EQ(status, 0);
  EXPECT_THAT(run.output(), HasSubstr(kHideCursor));
  const size_t restored = run.output().rfind(kShowCursor);
  EXPECT_GT(restored, run.output().rfind(kHideCursor));
  EXPECT_GT(run.output().rfind("0 of them wrong"), restored);
}

// Of two traces that are read in one go each: what counts is what was replayed.
TEST(Live, PercentagesGrowFromNothingToAll) {
  const std::string trace = "examples/traces/glmark2.botrace";
  OnTerminal run("xterm", {.ws_row = 24, .ws_col = 100},
                 {"replay", "--live", "--quiet", trace, trace});
  EXPECT_EQ(run.Wait(), 0);
  int before = 0;
  bool of_first = false;
  bool of_second = false;
  for (const std::string& line : run.Lines()) {
    int part = 0;
    char sign = ' ';
    std::sscanf(line.c_str(), "%d %c", &part, &sign);
    if (sign != '%') continue;
    EXPECT_GE(part, before) << line;
    of_first |= part > 0 && part < 50;
    of_second |= part > 50 && part < 100;
    before = part;
  }
  EXPECT_TRUE(of_first);
  EXPECT_TRUE(of_second);
}

TEST(Live, LinesWhereThereIsNoTerminalOrADumbOne) {
  const Ran ran = Twostep("replay --unbacked --live --quiet");
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output,
              HasSubstr("100 %  examples/traces/glmark2.botrace, "));
  EXPECT_THAT(ran.output, HasSubstr(" evicted, "));
  EXPECT_THAT(ran.output, Not(HasSubstr("\033")));
  OnTerminal dumb("dumb", {.ws_row = 24, .ws_col = 80},
                  {"stress", "evict-small", "--live"});
  EXPECT_EQ(dumb.Wait(), 0);
  EXPECT_THAT(dumb.output(), HasSubstr("xe_evict/evict-small seed 0, "));
  EXPECT_THAT(dumb.output(), Not(HasSubstr("\033")));
}

// A view that watches a run must not outlive what it watches.
TEST(Live, ARunThatFailsEndsTheViewToo) {
  OnTerminal run(
      "xterm", {.ws_row = 24, .ws_col = 80},
      {"replay", "--live", "--placement", "vram", "--vram", "4 KiB"});
  const int status = run.Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 2) << status;
  EXPECT_THAT(run.output(), HasSubstr("twostep: "));
}

}  // namespace
}  // namespace twostep
