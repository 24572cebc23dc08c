#ifndef STRESS_FAMILIES_H_
#define STRESS_FAMILIES_H_

// The scenarios that come with the project.

#include <vector>

#include "twostep/stress/scenario.h"

namespace twostep {

// All of them, family by family.
std::vector<Scenario> AllScenarios();
// Of them, those that no suite has: the family "twostep".
std::vector<Scenario> OurScenarios();

// Each appends its own.
void AddXeEvict(std::vector<Scenario>* scenarios);
void AddLmemSwapping(std::vector<Scenario>* scenarios);
void AddGemEvictEverything(std::vector<Scenario>* scenarios);
void AddGemEvictAlignment(std::vector<Scenario>* scenarios);
// kfd_evict, xe_evict_ccs, gem_lmem_evict.
void AddClientEvict(std::vector<Scenario>* scenarios);
// "twostep".
void AddContention(std::vector<Scenario>* scenarios);
void AddDmaUnits(std::vector<Scenario>* scenarios);
void AddHoles(std::vector<Scenario>* scenarios);
void AddDmaTenants(std::vector<Scenario>* scenarios);
void AddFailures(std::vector<Scenario>* scenarios);
void AddSharing(std::vector<Scenario>* scenarios);
void AddDeviceLife(std::vector<Scenario>* scenarios);

}  // namespace twostep

#endif  // STRESS_FAMILIES_H_
