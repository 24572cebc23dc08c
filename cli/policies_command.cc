// `twostep policies`: what there is to name, a line each.

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "twostep/cli/command.h"
#include "twostep/eviction/policy_registry.h"
#include "twostep/lab/replay.h"
#include "twostep/placement/placement_registry.h"

namespace twostep {
namespace {

std::string Defaults(const std::vector<PolicyParameter>& parameters) {
  if (parameters.empty()) return "";
  return absl::StrCat(
      " [",
      absl::StrJoin(parameters, ",",
                    [](std::string* out, const PolicyParameter& parameter) {
                      absl::StrAppend(out, parameter.name, "=",
                                      parameter.fallback);
                    }),
      "]");
}

template <typename Info>
void Print(const char* title, const std::vector<Info>& policies) {
  absl::PrintF("%s\n", title);
  for (const Info& policy : policies) {
    absl::PrintF("  %-12s %s%s\n", policy.name, policy.summary,
                 Defaults(policy.parameters));
  }
}

}  // namespace

void AddPolicies(CLI::App& app, ExitCode* code) {
  CLI::App* policies = app.add_subcommand(
      "policies", "List the policies, and their parameters with defaults");
  policies->footer("Example: twostep replay --eviction s3fifo:small=0.3");
  policies->callback([code] {
    Print("eviction: who goes when room is short", EvictionPolicies());
    absl::PrintF("  %-12s %s\n", "belady",
                 "what is used again last; knows the trace beforehand");
    Print("placement: where bos may go", PlacementPolicies());
    *code = kExitClean;
  });
}

}  // namespace twostep
