// Products of a few tokens with weights in panels: a kernel a format and number of columns.
#pragma once

#include "backends/cuda/kernels/launchers.h"
#include "backends/cuda/kernels/stream.h"

namespace mica::cuda {

// BLOCKS: of the two kernels with most columns that a multiprocessor should hold, which bounds
// their registers; q8 has twice the words in flight.
#define MICA_STREAM(NAME, FORMAT, BLOCKS)                                                       \
  MICA_KERNEL(mica_stream_##NAME##_1, stream_threads(1), 2, StreamArgs, stream<FORMAT, 1>)      \
  MICA_KERNEL(mica_stream_##NAME##_2, stream_threads(2), 2, StreamArgs, stream<FORMAT, 2>)      \
  MICA_KERNEL(mica_stream_##NAME##_4, stream_threads(4), BLOCKS, StreamArgs, stream<FORMAT, 4>) \
  MICA_KERNEL(mica_stream_##NAME##_8, stream_threads(8), BLOCKS, StreamArgs, stream<FORMAT, 8>) \
  static bool launch_stream_##NAME(const LaunchShape& shape, int columns,                       \
                                   const StreamArgs& args) {                                    \
    return columns == 1   ? launch_mica_stream_##NAME##_1(shape, args)                          \
           : columns == 2 ? launch_mica_stream_##NAME##_2(shape, args)                          \
           : columns == 4 ? launch_mica_stream_##NAME##_4(shape, args)                          \
                          : launch_mica_stream_##NAME##_8(shape, args);                         \
  }
MICA_STREAM(q4, Format::kQ4, 2)
MICA_STREAM(q4m, Format::kQ4m, 2)
MICA_STREAM(q8, Format::kQ8, 1)
#undef MICA_STREAM

void launch_stream(const LaunchShape& shape, Format format, int columns, const StreamArgs& args) {
  switch (format) {
    case Format::kQ4:
    case Format::kQ4s:
      launch_stream_q4(shape, columns, args);
      return;
    case Format::kQ4m:
      launch_stream_q4m(shape, columns, args);
      return;
    default:
      launch_stream_q8(shape, columns, args);
      return;
  }
}

int stream_shared_bytes(Format format, int columns) {
  return stream_shared(format, columns);
}

}  // namespace mica::cuda
