/// The kernels of reconstruction offsets for plain C++, which runs everywhere.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "offset_kernels.hpp"
#include "quantize_step.hpp"

namespace scalecodec {

namespace {

#include "offset_body.hpp"

}  // namespace

const OffsetKernels kScalarOffsets = kOffsets;

}  // namespace scalecodec
