// One test for each file of a corpus: what the fuzzer has found interesting,
// and what it has found.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Path = std::filesystem::path;

std::vector<Path> Files() {
  std::vector<Path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(TWOSTEP_CORPUS)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string TestNameOf(const testing::TestParamInfo<Path>& info) {
  std::string name = info.param.stem().string();
  std::replace_if(
      name.begin(), name.end(),
      [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

class Corpus : public testing::TestWithParam<Path> {};

TEST_P(Corpus, HoldsFor) {
  std::ifstream file(GetParam(), std::ios::binary);
  ASSERT_TRUE(file.good()) << GetParam();
  const std::string bytes((std::istreambuf_iterator<char>(file)),
                          std::istreambuf_iterator<char>());
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()),
                         bytes.size());
}

INSTANTIATE_TEST_SUITE_P(Files, Corpus, testing::ValuesIn(Files()), TestNameOf);

// What a fuzzer tries first.
TEST(NoBytes, HoldFor) { LLVMFuzzerTestOneInput(nullptr, 0); }

}  // namespace
