/// Regions of code for an instruction set that the rest of the build does not assume.
///
/// What stands in one is compiled for it, and may only be called where the machine was found to have it.
/// GCC's lambdas do not take part. GCC and clang name the same thing differently, and each passes over the
/// other's way.
#pragma once

#define SCALECODEC_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define SCALECODEC_TARGET_BEGIN(set) \
  SCALECODEC_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define SCALECODEC_TARGET_END SCALECODEC_PRAGMA(clang attribute pop)
#else
#define SCALECODEC_TARGET_BEGIN(set) SCALECODEC_PRAGMA(GCC push_options) SCALECODEC_PRAGMA(GCC target(set))
#define SCALECODEC_TARGET_END SCALECODEC_PRAGMA(GCC pop_options)
#endif

#define SCALECODEC_AVX2 "avx2,bmi,bmi2,popcnt"
#define SCALECODEC_AVX2_FMA "avx2,fma,bmi,bmi2,popcnt"
#define SCALECODEC_AVX512 \
  "avx2,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2,avx512vnni,bmi,bmi2,popcnt"
