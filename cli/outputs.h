#ifndef CLI_OUTPUTS_H_
#define CLI_OUTPUTS_H_

// The files that options name, as outputs and as inputs: what is wrong with
// them before anything is run, and how outputs are written.

#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace twostep {

// As an output: standard output, which then has nothing else on it.
inline constexpr char kStdout[] = "-";

struct NamedFile {
  std::string option;
  std::string path;  // empty: the option was not given
};

// Whether all outputs can be had, without touching what is there.
// kInvalidArgument, with the options and files at fault, where two are the same
// file, one is also an input, or one cannot be written.
absl::Status CheckOutputs(const std::vector<NamedFile>& outputs,
                          const std::vector<NamedFile>& inputs);

// Whether one of them is standard output, so that no table goes there.
bool TakesStdout(const std::vector<NamedFile>& outputs);

// An output while it is written. What was in the file goes.
class OutputFile {
 public:
  // REQUIRES: the path is not empty.
  explicit OutputFile(NamedFile name);

  std::ostream& stream() { return *stream_; }
  // kInvalidArgument naming option and file when not all could be written.
  absl::Status Close();

 private:
  const NamedFile name_;
  std::ofstream file_;
  std::ostream* const stream_;
};

// All at once. Does nothing where the path is empty; errors as OutputFile's.
absl::Status WriteFile(const NamedFile& name, const std::string& text);

// kInvalidArgument unless all that was printed so far got through to standard
// output.
absl::Status FlushStdout();

}  // namespace twostep

#endif  // CLI_OUTPUTS_H_
