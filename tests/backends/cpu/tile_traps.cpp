#include "tests/backends/cpu/tile_traps.h"

#include <cstdint>
#include <cstring>
#include <ucontext.h>

#include "tests/backends/cpu/tile_emulator.h"

namespace mica::testing {
namespace {

// Registers in the order of their numbers in instructions.
constexpr int kRegisters[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                              REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                              REG_R12, REG_R13, REG_R14, REG_R15};

// An instruction with a three-byte VEX prefix of map 0F38 (SDM volume 2, 2.3).
struct Instruction {
  int prefix;  // 0: none, 1: 66, 2: F3, 3: F2
  int opcode;
  int mod, reg, rm;
  int second;               // register named by the prefix
  std::byte* address = {};  // of a memory operand without its index
  int64_t index = 0;
  int bytes = 5;  // of the whole instruction
};

bool decode(const uint8_t* code, const greg_t* registers, Instruction& found) {
  if (code[0] != 0xc4 || (code[1] & 0x1f) != 2 || (code[2] & 0x84) != 0) return false;
  found.prefix = code[2] & 3;
  found.opcode = code[3];
  found.second = ~code[2] >> 3 & 15;
  found.mod = code[4] >> 6, found.reg = code[4] >> 3 & 7, found.rm = code[4] & 7;
  if (found.mod == 3) return true;
  const auto value = [&](int number) { return registers[kRegisters[number]]; };
  const int high_base = (code[1] & 0x20) ? 0 : 8, high_index = (code[1] & 0x40) ? 0 : 8;
  int base = found.rm;
  if (found.rm == 4) {
    const int sib = code[found.bytes++], index = (sib >> 3 & 7) + high_index;
    base = sib & 7;
    if (index != 4) found.index = value(index) << (sib >> 6);
  }
  if (found.mod == 0 && base == 5) return false;  // relative to the instruction, or absolute
  int64_t offset = 0;
  if (found.mod == 1) {
    offset = static_cast<int8_t>(code[found.bytes]);
    found.bytes += 1;
  } else if (found.mod == 2) {
    int32_t wide;
    std::memcpy(&wide, code + found.bytes, 4);
    offset = wide;
    found.bytes += 4;
  }
  found.address = reinterpret_cast<std::byte*>(value(base + high_base) + offset);
  return true;
}

bool execute(const Instruction& i) {
  TileFile& tiles = thread_tiles();
  const bool memory = i.mod != 3;
  if (i.opcode == 0x49 && i.prefix == 0 && memory && i.reg == 0) {
    tiles.configure(i.address);
  } else if (i.opcode == 0x49 && i.prefix == 0 && !memory && i.reg == 0 && i.rm == 0) {
    tiles.release();
  } else if (i.opcode == 0x49 && i.prefix == 3 && !memory && i.rm == 0) {
    tiles.zero(i.reg);
  } else if (i.opcode == 0x4b && i.prefix == 3 && memory && i.rm == 4) {
    tiles.load(i.reg, i.address, i.index);
  } else if (i.opcode == 0x4b && i.prefix == 2 && memory && i.rm == 4) {
    tiles.store(i.reg, i.address, i.index);
  } else if (i.opcode == 0x5e && i.prefix == 3 && !memory) {
    tiles.add_products(i.reg, i.rm, i.second);
  } else {
    return false;
  }
  return true;
}

void trap(int, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  Instruction found{};
  if (decode(reinterpret_cast<const uint8_t*>(registers[REG_RIP]), registers, found) &&
      execute(found)) {
    registers[REG_RIP] += found.bytes;
  } else {
    std::signal(SIGILL, SIG_DFL);  // met again, it ends the program
  }
}

}  // namespace

TileTraps::TileTraps() {
  struct sigaction action = {};
  action.sa_sigaction = &trap;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, &before_);
}

TileTraps::~TileTraps() {
  sigaction(SIGILL, &before_, nullptr);
}

}  // namespace mica::testing
