// mica chat: a conversation on the terminal, or one answer for -p TEXT or a pipe.
#include <cerrno>
#include <fmt/core.h>
#include <iostream>

#include "cli/command.h"
#include "cli/results.h"
#include "cli/terminal.h"
#include "lib/base/json.h"
#include "lib/base/utf8.h"

namespace mica::cli {
namespace {

struct Options : GenerationOptions {
  std::string system;
};

Json message(std::string_view role, std::string_view content) {
  if (const size_t at = find_invalid_utf8(content); at != kValid) {
    throw api::Failure(MICA_USAGE,
                       fmt::format("the {} message is not UTF-8: found 0x{:02x} at byte {}", role,
                                   static_cast<unsigned char>(content[at]), at));
  }
  return Json::object({{"role", role}, {"content", content}});
}

class Conversation {
 public:
  Conversation(Options& options, api::Session& session) : options_(options), session_(session) {
    clear();
  }

  void clear() {
    messages_ = Json::array();
    if (!options_.system.empty()) messages_.push_back(message("system", options_.system));
  }

  // The answer as JSON; the turn is kept, also when it was cut short.
  std::string ask(std::string_view text, Stream stream) {
    messages_.push_back(message("user", text));
    try {
      const std::string json = session_.chat(messages_.dump(), sampling_, piece_printer(stream));
      messages_.push_back(message("assistant", Json::parse(json, "result")["text"].as_string()));
      return json;
    } catch (...) {
      messages_.as_array().pop_back();  // a question that failed is not part of the conversation
      throw;
    }
  }

 private:
  Options& options_;
  api::Session& session_;
  const mica_generate_options& sampling_ = to_api(options_.sampling);
  Json messages_;
};

enum class Input { kText, kEnd, kInterrupted };

Input read_line(const char* prompt, std::string& line) {
  fmt::print(stderr, "{}", prompt);
  if (!InterruptHandler::wait_for_input()) return Input::kInterrupted;
  errno = 0;
  if (std::getline(std::cin, line)) return Input::kText;
  // The read may return before the handler has run (under ThreadSanitizer it does).
  const bool interrupted = errno == EINTR || InterruptHandler::count() > 0;
  std::cin.clear();
  std::clearerr(stdin);
  return interrupted ? Input::kInterrupted : Input::kEnd;
}

// A line, or lines between """ and """.
Input read_message(std::string& text) {
  Input input = read_line("> ", text);
  if (input != Input::kText || !text.starts_with("\"\"\"")) return input;
  text.erase(0, 3);
  std::string line;
  while (!text.ends_with("\"\"\"")) {
    input = read_line("... ", line);
    if (input != Input::kText) return input;
    text += "\n" + line;
  }
  text.resize(text.size() - 3);
  return Input::kText;
}

void print_chat_help() {
  fmt::print(stderr,
             "Type a message and press Enter; begin and end several lines with \"\"\".\n"
             "Ctrl-C stops an answer, twice leaves.\n"
             "  /clear  forget the conversation\n"
             "  /help   this text\n"
             "  /bye    leave (or Ctrl-D)\n");
}

// Prints an answer, or why there is none.
void answer(const Options& options, Conversation& conversation, std::string_view text) {
  try {
    finish_output(Stream::kText, conversation.ask(text, Stream::kText), options.statistics);
  } catch (const api::Failure& failure) {
    print_message(std::string("mica: ") + failure.what());
    if (failure.status() == MICA_DOES_NOT_FIT) print_message("/clear makes room.");
  }
}

int converse(Options& options, api::Session& session) {
  Conversation conversation(options, session);
  fmt::print(stderr, "Chatting with {}. /help shows what else can be typed.\n", options.model.path);
  std::string text;
  bool interrupted = false;  // in the turn before
  while (true) {
    const InterruptHandler on_interrupt([&] { session.cancel(); });
    const Input input = read_message(text);
    if (input == Input::kEnd) break;
    if (input == Input::kInterrupted && interrupted) return MICA_INTERRUPTED;
    interrupted = input == Input::kInterrupted;
    const size_t first = text.find_first_not_of(" \t\r");
    if (interrupted) {
      fmt::print(stderr, "\n(Ctrl-C again, Ctrl-D or /bye leaves.)\n");
    } else if (text == "/bye" || text == "/exit" || text == "/quit") {
      return MICA_OK;
    } else if (text == "/clear") {
      conversation.clear();
    } else if (text == "/help" || text == "/?") {
      print_chat_help();
    } else if (text.starts_with('/') && text.find_first_of(" /", 1) == text.npos) {
      fmt::print(stderr, "{} is not known here; /help shows what is.\n", text);
    } else if (first != text.npos) {
      answer(options, conversation, text);
      if (InterruptHandler::count() > 1) return MICA_INTERRUPTED;
      interrupted = InterruptHandler::count() > 0;
    }
  }
  fmt::print(stderr, "\n");
  return MICA_OK;
}

int run(Options& options) {
  api::Session session = open_session(options);
  if (!options.prompt && is_terminal(0)) return converse(options, session);

  const std::string prompt = options.prompt ? *options.prompt : read_standard_input();
  if (prompt.empty()) throw api::Failure(MICA_USAGE, "chat: expected a question, found none");
  const InterruptHandler on_interrupt([&] { session.cancel(); });
  const Stream stream = stream_of(options);
  return finish_output(stream, Conversation(options, session).ask(prompt, stream),
                       options.statistics);
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_generation(
      app, *options,
      "Ask this once and leave (default: a conversation, or one question from a pipe)");
  app.add_option("-s,--system", options->system, "The system prompt");
  app.add_option("--chat-template", options->session.chat_template_file,
                 "A Jinja file to use instead of the model's template")
      ->type_name("FILE");
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_chat;
const Command kCommand_chat = {
    "chat", "Talk to a model",
    "  mica chat model.mica\n"
    "  mica chat model.mica -p \"What is the capital of France?\"\n"
    "  mica chat model.mica --system \"Answer in one sentence.\" < question.txt",
    &declare};

}  // namespace mica::cli
