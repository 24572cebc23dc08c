#ifndef BO_GPU_RUNS_H_
#define BO_GPU_RUNS_H_

// Between bos and the model GPU: where the GPU finds the pages of a bo, and a
// GPU that has what a device has.

#include <memory>

#include "twostep/bo/buffer_object.h"
#include "twostep/bo/device.h"
#include "twostep/machine/model_gpu.h"

namespace twostep {

// The pages of `bo` as the GPU sees them now, in the order of the bo; empty
// when the GPU does not see it. Good until the bo moves: for jobs whose fence
// the bo gets. The built-in TT and VRAM only: the GPU has one space of each
// kind. REQUIRES: reserved, or nobody else uses the bo.
GpuRuns RunsOf(const BufferObject& bo);

// Behind the port, aperture and video memory of `device`, which must outlive
// it.
std::unique_ptr<ModelGpu> MakeModelGpu(Device& device, int queues);

}  // namespace twostep

#endif  // BO_GPU_RUNS_H_
