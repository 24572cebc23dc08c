#ifndef MACHINE_SWAP_FILE_H_
#define MACHINE_SWAP_FILE_H_

// A swap store in a file without a name, each page compressed on its own with
// zstd: slower than memory, and it takes none.

#include <memory>

#include "absl/status/statusor.h"
#include "twostep/machine/swap_store.h"

namespace twostep {

// In $TMPDIR, or /tmp. The file grows as pages come, keeps its largest size,
// and goes with the store. kUnavailable naming the folder when there can be no
// file.
absl::StatusOr<std::unique_ptr<SwapStore>> MakeSwapFile(uint64_t pages,
                                                        PhysicalMemory& memory);

}  // namespace twostep

#endif  // MACHINE_SWAP_FILE_H_
