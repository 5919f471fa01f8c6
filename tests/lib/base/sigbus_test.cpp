// A SIGBUS that is not ours still ends the program where nothing handled it before.
#include <cstdio>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mapped_file.h"
#include "tests/support/temp_folder.h"

namespace {

[[noreturn]] void fault_in_child(const char* path) {
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const mica::MappedFile ours = mica::MappedFile::open("/proc/self/exe");
  std::FILE* file = std::fopen(path, "r");
  const void* pages = mmap(nullptr, 1, PROT_READ, MAP_SHARED, fileno(file), 0);
  if (pages == MAP_FAILED || truncate(path, 0) != 0) _exit(2);
  static_cast<void>(*static_cast<const volatile char*>(pages));
  _exit(0);
}

}  // namespace

int main() {
  const mica::testing::TempFolder folder;
  const std::string path = folder.put("cut", "x");
  const pid_t child = fork();
  if (child == 0) fault_in_child(path.c_str());
  int status = 0;
  waitpid(child, &status, 0);
  // Sanitizers handle the signal themselves and leave with a code of their own.
  const bool died = WIFSIGNALED(status) ? WTERMSIG(status) == SIGBUS
                                        : WEXITSTATUS(status) > 2 || WEXITSTATUS(status) == 1;
  if (!died) std::fprintf(stderr, "expected death by SIGBUS, found wait status %d\n", status);
  return died ? 0 : 1;
}
