#ifndef TESTS_SCRIPT_PLAY_H_
#define TESTS_SCRIPT_PLAY_H_

// Plays a script on the library, through its public interface, beside the
// simplest model of a bo: what each page holds, where the bo was pinned,
// whether it may be purged, whom it is charged to. After every step the audit
// is asked, and the model; in the end every page of every bo is read and
// nothing may be left behind.

#include <cstddef>
#include <string>

#include "tests/script/script.h"

namespace twostep {

// How a script ended. `what` empty: well. Otherwise in words, those before the
// first colon saying what kind of failure it is.
struct Ending {
  size_t step = 0;
  std::string what;

  bool ok() const { return what.empty(); }
  // Of the same kind, but for numbers.
  bool SameKindAs(const Ending& other) const;
};

// `driver` are the first device's hooks, null: the default. Bugs that end in a
// CHECK end the process.
Ending Play(const Script& script, RecordingHooks* driver = nullptr);

// The same in a process of its own, so that a crash is an ending, too.
// REQUIRES: the calling process has one thread.
Ending PlayApart(const Script& script, RecordingHooks* driver = nullptr);

}  // namespace twostep

#endif  // TESTS_SCRIPT_PLAY_H_
