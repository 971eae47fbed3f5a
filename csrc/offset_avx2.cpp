/// The kernels of reconstruction offsets for AVX2.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "offset_kernels.hpp"
#include "quantize_step.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX2)

namespace scalecodec {

namespace {

#include "offset_body.hpp"

}  // namespace

}  // namespace scalecodec

SCALECODEC_TARGET_END

namespace scalecodec {

const OffsetKernels kAvx2Offsets = kOffsets;

}  // namespace scalecodec

#endif
