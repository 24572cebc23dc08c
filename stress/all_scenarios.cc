#include "twostep/stress/families.h"

namespace twostep {

std::vector<Scenario> AllScenarios() {
  std::vector<Scenario> all;
  AddXeEvict(&all);
  AddLmemSwapping(&all);
  AddGemEvictEverything(&all);
  AddGemEvictAlignment(&all);
  AddClientEvict(&all);
  AddOurs(&all);
  return all;
}

}  // namespace twostep
