#ifndef CLI_DMA_TYPE_OPTION_H_
#define CLI_DMA_TYPE_OPTION_H_

#include <string>

#include "CLI/CLI.hpp"
#include "twostep/dma_types/bind_outcome.h"
#include "twostep/placement/placement.h"

namespace twostep {

// --dma-type: one of none, dynamic, coherent, cma; what *name is at first
// otherwise.
CLI::Option* AddDmaTypeOption(CLI::App* command, std::string* name);

// --dma-exhaustion: one of evict, purge, fail; what *name is at first
// otherwise.
CLI::Option* AddDmaExhaustionOption(CLI::App* command, std::string* name);

// Of a name that passed the option's check.
DmaType DmaTypeOf(const std::string& name);
DmaExhaustion DmaExhaustionOf(const std::string& name);

}  // namespace twostep

#endif  // CLI_DMA_TYPE_OPTION_H_
