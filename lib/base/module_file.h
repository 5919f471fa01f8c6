// Where the shared libraries that Mica loads at run time lie.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mica {

// Folders of MICA_MODULE_DIR, separated by ':'; empty when it is not set.
std::vector<std::string> chosen_module_folders();

// Places where the module `file_name` may be, best first: in chosen_module_folders() alone if there
// are any; else `build_folder` ("backends/cpu/blas") beside the running program or library in a
// build folder, where the file is there; then the installed library folder.
std::vector<std::string> module_paths(std::string_view file_name, std::string_view build_folder);

}  // namespace mica
