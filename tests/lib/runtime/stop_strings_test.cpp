#include "lib/runtime/stop_strings.h"

#include "tests/support/error_of.h"

namespace mica::testing {
namespace {

TEST_CASE("text is held back only while it might begin a stop string") {
  StopStrings stops({"STOP"});
  CHECK(stops.push("a") == "a");
  CHECK(stops.push("bS") == "b");
  CHECK(stops.push("T") == "");
  CHECK(stops.push("S") == "ST");
  CHECK(stops.push("TOP and more") == "");
  CHECK(stops.found());
  CHECK(stops.push("anything") == "");
  CHECK(stops.flush() == "");
}

TEST_CASE("what was held back comes out when nothing follows") {
  StopStrings stops({"\n\n"});
  CHECK(stops.push("line\n") == "line");
  CHECK_FALSE(stops.found());
  CHECK(stops.flush() == "\n");
  CHECK(stops.flush() == "");
}

TEST_CASE("the earliest of several stop strings counts") {
  StopStrings stops({"cd", "b"});
  CHECK(stops.push("abcd") == "a");
  CHECK(stops.found());
}

TEST_CASE("a stop string that overlaps its own beginning is found across pieces") {
  StopStrings stops({"aab"});
  std::string text;
  for (const char* piece : {"a", "a", "a", "a", "b", "c"}) text += stops.push(piece);
  CHECK(stops.found());
  CHECK(text == "aa");
}

TEST_CASE("the longest beginning of any stop string is held back") {
  StopStrings stops({"xyz", "yzzzz"});
  CHECK(stops.push("ayz") == "a");
  CHECK(stops.push("q") == "yzq");
}

TEST_CASE("without stop strings all text passes") {
  StopStrings stops({});
  CHECK(stops.push("text") == "text");
}

TEST_CASE("an empty stop string is refused") {
  CHECK(error_of([] { StopStrings({"a", ""}); }).code() == ErrorCode::kUsage);
}

}  // namespace
}  // namespace mica::testing
