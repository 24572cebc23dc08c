#include "twostep/cli/outputs.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

namespace fs = std::filesystem;

std::string Shown(const NamedFile& file) {
  return file.path == kStdout ? "standard output" : file.path;
}

absl::Status CannotWrite(const NamedFile& file, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(file.option, ": cannot write ",
                                                 Shown(file),
                                                 why.empty() ? "" : ": ", why));
}

// Without links, of a file that may not be there; empty: there is no such
// folder.
std::string Canonical(const std::string& path) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  if (error) return "";
  const fs::path canonical = fs::weakly_canonical(whole, error);
  return error ? "" : canonical.string();
}

// Whether what is written to one is lost in the other: not of terminals, pipes,
// /dev/null.
bool SameFile(const NamedFile& a, const NamedFile& b) {
  if (a.path == kStdout || b.path == kStdout) return a.path == b.path;
  std::error_code ignored;
  const fs::file_status status = fs::status(a.path, ignored);
  if (fs::exists(status) && !fs::is_regular_file(status)) return false;
  if (fs::equivalent(a.path, b.path, ignored)) return true;
  const std::string known = Canonical(a.path);
  return !known.empty() && known == Canonical(b.path);
}

absl::Status CheckWritable(const NamedFile& file) {
  if (file.path == kStdout) return absl::OkStatus();
  std::error_code ignored;
  const fs::file_status status = fs::status(file.path, ignored);
  if (fs::is_directory(status)) return CannotWrite(file, "it is a folder");
  if (fs::exists(status)) {
    if (access(file.path.c_str(), W_OK) == 0) return absl::OkStatus();
    return CannotWrite(file, std::strerror(errno));
  }
  const fs::path parent = fs::path(file.path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  if (!fs::is_directory(folder, ignored)) {
    return CannotWrite(file, absl::StrCat("there is no folder ", folder));
  }
  if (access(folder.c_str(), W_OK | X_OK) == 0) return absl::OkStatus();
  return CannotWrite(file, absl::StrCat(folder, ": ", std::strerror(errno)));
}

}  // namespace

absl::Status CheckOutputs(const std::vector<NamedFile>& outputs,
                          const std::vector<NamedFile>& inputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const NamedFile& output = outputs[i];
    if (output.path.empty()) continue;
    for (size_t j = 0; j < i; ++j) {
      if (outputs[j].path.empty() || !SameFile(outputs[j], output)) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          outputs[j].option, " and ", output.option, " would both be written ",
          "to ", Shown(output), "; name two files"));
    }
    for (const NamedFile& input : inputs) {
      if (input.path.empty() || output.path == kStdout ||
          !SameFile(output, input)) {
        continue;
      }
      return absl::InvalidArgumentError(absl::StrCat(
          output.option, " would overwrite ", output.path,
          ", which is read as ", input.option, "; name another file"));
    }
    absl::Status writable = CheckWritable(output);
    if (!writable.ok()) return writable;
  }
  return absl::OkStatus();
}

bool TakesStdout(const std::vector<NamedFile>& outputs) {
  for (const NamedFile& output : outputs) {
    if (output.path == kStdout) return true;
  }
  return false;
}

OutputFile::OutputFile(NamedFile name)
    : name_(std::move(name)),
      stream_(name_.path == kStdout ? &std::cout : &file_) {
  if (name_.path != kStdout) file_.open(name_.path);
}

absl::Status OutputFile::Close() {
  errno = 0;
  stream_->flush();
  if (stream_ == &file_) file_.close();
  if (*stream_) return absl::OkStatus();
  return CannotWrite(name_, errno == 0 ? "" : std::strerror(errno));
}

absl::Status WriteFile(const NamedFile& name, const std::string& text) {
  if (name.path.empty()) return absl::OkStatus();
  OutputFile file(name);
  file.stream() << text;
  return file.Close();
}

absl::Status FlushStdout() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("standard output: cannot be written",
                   errno == 0 ? "" : absl::StrCat(": ", std::strerror(errno))));
}

}  // namespace twostep
