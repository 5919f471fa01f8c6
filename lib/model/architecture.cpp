#include "lib/model/architecture.h"

#include <fmt/format.h>
#include <string>

#include "lib/base/error.h"

namespace mica {

const Architecture& find_architecture(std::string_view name, std::string_view file) {
  std::string known;
  for (const Architecture* architecture : architectures()) {
    if (name == architecture->name) return *architecture;
    known += fmt::format("{}'{}'", known.empty() ? "" : ", ", architecture->name);
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{}: model.architecture: expected {}, found '{}'", file, known, name));
}

}  // namespace mica
