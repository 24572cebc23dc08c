#include "twostep/cli/progress.h"

#include <cstdio>
#include <string>

#include "gtest/gtest.h"

namespace twostep {
namespace {

std::string Said(std::FILE* file) {
  std::rewind(file);
  std::string text(1000, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  return text;
}

TEST(Progress, IsLinesWhereThereIsNoTerminal) {
  std::FILE* const file = std::tmpfile();
  Progress progress(/*quiet=*/false, file, std::chrono::milliseconds(0));
  progress.Show(0.25, "of a sweep");
  progress.Show(1.5, "of a sweep");
  progress.Clear();
  EXPECT_EQ(Said(file), " 25 %  of a sweep\n100 %  of a sweep\n");
  std::fclose(file);
}

TEST(Progress, SaysNothingToTheQuietAndNotTooOften) {
  std::FILE* const file = std::tmpfile();
  Progress quiet(/*quiet=*/true, file, std::chrono::milliseconds(0));
  quiet.Show(0.5, "unheard");
  Progress seldom(/*quiet=*/false, file, std::chrono::hours(1));
  seldom.Show(0.5, "unheard");
  EXPECT_EQ(Said(file), "");
  std::fclose(file);
}

}  // namespace
}  // namespace twostep
