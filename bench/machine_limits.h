// What this machine can do at most: the yardsticks beside which kernels are reported.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mica::bench {

// Reads [data, data + bytes) once; the result keeps the compiler from leaving it out.
uint64_t read_all(const std::byte* data, uint64_t bytes);

// Runs `rounds` rounds of independent int8 products in registers; returns the operations done (two
// a product): vpdpbusd where the machine has AVX-512 VNNI, vpmaddubsw and vpaddw with AVX2, else 0.
uint64_t multiply_bytes(uint64_t rounds);

// The same with float fused multiply-adds.
uint64_t multiply_floats(uint64_t rounds);

}  // namespace mica::bench
