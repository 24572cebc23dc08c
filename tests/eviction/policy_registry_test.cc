#include "twostep/eviction/policy_registry.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "twostep/eviction/fifo_policy.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

std::string MessageOf(absl::string_view spec) {
  return std::string(ParseEvictionPolicy(spec).status().message());
}

absl::StatusCode CodeOf(absl::string_view spec) {
  return ParseEvictionPolicy(spec).status().code();
}

TEST(PolicyRegistry, AnUnknownNameListsThoseThereAre) {
  EXPECT_EQ(CodeOf("LRU"), absl::StatusCode::kNotFound);
  EXPECT_THAT(MessageOf("LRU"), HasSubstr("'LRU'"));
  for (const EvictionPolicyInfo& known : EvictionPolicies()) {
    EXPECT_THAT(MessageOf("LRU"), HasSubstr(known.name));
  }
  EXPECT_THAT(MessageOf("LRU"), HasSubstr("lru, fifo, mru"));
  EXPECT_EQ(CodeOf(""), absl::StatusCode::kNotFound);
  EXPECT_EQ(CodeOf(":"), absl::StatusCode::kNotFound);
}

TEST(PolicyRegistry, TheFirstIsTheDefault) {
  EXPECT_EQ(EvictionPolicies()[0].name, "lru");
}

// What was made last, by its parameters.
struct Made {
  double depth = 0;
  double share = 0;
};
Made made;

void RegisterProbe() {
  static const absl::Status once = RegisterEvictionPolicy(
      {.name = "probe",
       .summary = "of a test",
       .make = [](const PolicyParameters& parameters)
           -> std::unique_ptr<EvictionPolicy> {
         made = {parameters["depth"], parameters["share"]};
         return std::make_unique<FifoPolicy>();
       },
       .parameters = {
           {.name = "depth",
            .summary = "in entries",
            .fallback = 3,
            .least = 1,
            .whole = true},
           {.name = "share", .summary = "of all", .fallback = .5, .most = 1}}});
  ASSERT_TRUE(once.ok()) << once;
}

TEST(PolicyRegistry, APolicyRegisteredFromOutsideIsMadeByItsName) {
  RegisterProbe();
  EXPECT_EQ(EvictionPolicies().back().name, "probe");
  ASSERT_TRUE(MakeEvictionPolicy("probe").ok());
  EXPECT_EQ(made.depth, 3);
  EXPECT_EQ(made.share, .5);
}

TEST(PolicyRegistry, ParametersReachThePolicyAndOthersKeepTheirDefaults) {
  RegisterProbe();
  ASSERT_TRUE(MakeEvictionPolicy("probe:share=0.25").ok());
  EXPECT_EQ(made.depth, 3);
  EXPECT_EQ(made.share, .25);
  ASSERT_TRUE(MakeEvictionPolicy("probe:depth=9,share=1").ok());
  EXPECT_EQ(made.depth, 9);
  EXPECT_EQ(made.share, 1);
  auto factory = ParseEvictionPolicy("probe:depth=2");
  made = {};
  ASSERT_NE((*factory)(), nullptr);
  EXPECT_EQ(made.depth, 2);
}

TEST(PolicyRegistry, AnUnknownParameterListsThoseThereAre) {
  RegisterProbe();
  EXPECT_EQ(CodeOf("probe:width=1"), absl::StatusCode::kNotFound);
  EXPECT_THAT(MessageOf("probe:width=1"), HasSubstr("'width'"));
  EXPECT_THAT(MessageOf("probe:width=1"), HasSubstr("depth, share"));
  EXPECT_EQ(CodeOf("fifo:depth=1"), absl::StatusCode::kNotFound);
  EXPECT_THAT(MessageOf("fifo:depth=1"), HasSubstr("it has none"));
}

TEST(PolicyRegistry, AValueThatIsNoNumberOrOutOfRangeIsRefused) {
  RegisterProbe();
  for (const char* spec :
       {"probe:depth", "probe:depth=", "probe:depth=x", "probe:depth=nan",
        "probe:depth=inf", "probe:depth=0", "probe:depth=1.5",
        "probe:share=1.1", "probe:share=-0.1", "probe:share=1=1"}) {
    EXPECT_EQ(CodeOf(spec), absl::StatusCode::kInvalidArgument) << spec;
    EXPECT_THAT(MessageOf(spec), HasSubstr("probe:")) << spec;
  }
  EXPECT_THAT(MessageOf("probe:share=2"), HasSubstr("between 0 and 1"));
  EXPECT_THAT(MessageOf("probe:depth=0"), HasSubstr("below 1"));
}

TEST(PolicyRegistry, ANameMeansOnePolicyAndMustBeSpeakable) {
  RegisterProbe();
  EXPECT_EQ(RegisterEvictionPolicy({.name = "lru"}).code(),
            absl::StatusCode::kAlreadyExists);
  for (const char* name : {"", "a:b", "a,b", "a=b", "a b"}) {
    EXPECT_EQ(RegisterEvictionPolicy({.name = name}).code(),
              absl::StatusCode::kInvalidArgument)
        << name;
  }
}

TEST(PolicyRegistryDeathTest, AskingForAParameterThatIsNotDeclaredIsABug) {
  RegisterProbe();
  EXPECT_DEATH(
      {
        absl::Status added = RegisterEvictionPolicy(
            {.name = "forgetful",
             .make = [](const PolicyParameters& parameters)
                 -> std::unique_ptr<EvictionPolicy> {
               parameters["depth"];
               return nullptr;
             }});
        (void)MakeEvictionPolicy("forgetful");
      },
      "");
}

}  // namespace
}  // namespace twostep
