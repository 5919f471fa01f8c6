// The one exception type of Mica.
//
// Every failure that a user can cause or meet is an Error: a stable code and one full sentence that
// names the thing, the expected and the found, as in
//   model.mica: tensor 'layers.3.attn.q': expected [4096, 4096], file has [1024, 4096]
// Exceptions stay inside the library; lib/api turns them into a status and the same sentence.
#pragma once

#include <exception>
#include <string>

namespace mica {

// The values are the program's exit codes and do not change.
enum class ErrorCode : int {
  kRuntime = 1,       // I/O failed, memory exhausted, a file changed underneath
  kUsage = 2,         // the caller asked for something that cannot be asked
  kInvalidFile = 3,   // bytes of a file are not what its format says
  kDoesNotFit = 4,    // context or memory too small
  kUnsupported = 5,   // architecture, tokenizer, weight type or ISA not known here
  kVerification = 6,  // a checksum disagrees
  kInterrupted = 130,
};

class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  ErrorCode code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
};

}  // namespace mica
