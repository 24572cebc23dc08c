#include <utility>

#include "twostep/stress/families.h"

namespace twostep {

std::vector<Scenario> AllScenarios() {
  std::vector<Scenario> all;
  AddXeEvict(&all);
  AddLmemSwapping(&all);
  AddGemEvictEverything(&all);
  AddGemEvictAlignment(&all);
  AddClientEvict(&all);
  for (Scenario& ours : OurScenarios()) all.push_back(std::move(ours));
  return all;
}

std::vector<Scenario> OurScenarios() {
  std::vector<Scenario> ours;
  AddDmaUnits(&ours);
  AddHoles(&ours);
  AddDmaTenants(&ours);
  AddContention(&ours);
  AddFailures(&ours);
  AddSharing(&ours);
  AddDeviceLife(&ours);
  for (Scenario& one : ours) one.own_machine = true;
  return ours;
}

}  // namespace twostep
