// mica chat: a conversation on the terminal, or one answer for -p TEXT or a pipe.
#include <fmt/core.h>
#include <iostream>

#include "cli/command.h"
#include "cli/results.h"
#include "cli/terminal.h"
#include "lib/base/json.h"

namespace mica::cli {
namespace {

struct Options : GenerationOptions {
  std::string system;
};

Json message(std::string_view role, std::string_view content) {
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

// A line, or lines between """ and """; false at the end of input or on Ctrl-C.
bool read_message(std::string& text) {
  text.clear();
  fmt::print(stderr, "> ");
  if (!std::getline(std::cin, text)) return false;
  if (!text.starts_with("\"\"\"")) return true;
  text.erase(0, 3);
  std::string line;
  while (!text.ends_with("\"\"\"")) {
    fmt::print(stderr, "... ");
    if (!std::getline(std::cin, line)) return false;
    text += "\n" + line;
  }
  text.resize(text.size() - 3);
  return true;
}

void print_chat_help() {
  fmt::print(stderr,
             "Type a message and press Enter; begin and end several lines with \"\"\".\n"
             "Ctrl-C stops an answer, twice leaves.\n"
             "  /clear  forget the conversation\n"
             "  /help   this text\n"
             "  /bye    leave (or Ctrl-D)\n");
}

int converse(Options& options, api::Session& session) {
  Conversation conversation(options, session);
  fmt::print(stderr, "Chatting with {}. /help shows what else can be typed.\n", options.model.path);
  std::string text;
  while (true) {
    const InterruptHandler on_interrupt([&] { session.cancel(); });
    if (!read_message(text)) break;
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (text == "/bye" || text == "/exit" || text == "/quit") break;
    if (text == "/clear") {
      conversation.clear();
      continue;
    }
    if (text == "/help" || text == "/?") {
      print_chat_help();
      continue;
    }
    try {
      const std::string json = conversation.ask(text, Stream::kText);
      finish_output(Stream::kText, json, options.statistics);
    } catch (const api::Failure& failure) {
      fmt::print(stderr, "\nmica: {}\n", failure.what());
    }
    if (InterruptHandler::count() > 1) return MICA_INTERRUPTED;
  }
  fmt::print(stderr, "\n");
  return InterruptHandler::count() > 0 ? MICA_INTERRUPTED : MICA_OK;
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
                 "A Jinja file to use instead of the model's template");
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
