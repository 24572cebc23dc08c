#ifndef TESTS_DOCS_GIVEN_H_
#define TESTS_DOCS_GIVEN_H_

// What the code in docs/ may use without saying so: tools/check_docs.py puts it
// before the fragments. Declared only: nothing of it is linked or run.

#include <memory>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "tests/contract/eviction_policy_contract.h"
#include "tests/contract/placement_policy_contract.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/device.h"
#include "twostep/bo/error.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/gpu_runs.h"
#include "twostep/bo/host.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/model_gpu.h"

namespace ts = twostep;

extern ts::Host& host;
extern ts::Device& device;
extern ts::BoRef bo;
extern ts::Fence fence;
extern const std::vector<ts::Placement> places;
extern ts::ValidateContext context;
// The reader's own.
struct TextureCache {
  uint64_t GiveBack(uint64_t pages);
};
extern TextureCache& cache;

#endif  // TESTS_DOCS_GIVEN_H_
