// Chat templates: that the language does what Python's jinja2 does is compare_templates.py's part;
// here are marks, budgets, refusals and messages.
#include "lib/text/chat_template.h"

#include <doctest/doctest.h>
#include <string>
#include <thread>

#include "tests/support/error_of.h"
#include "tests/support/failing_new.h"

namespace mica {
namespace {

Json chat(std::string content) {
  Json message = Json::object({{"role", "user"}, {"content", std::move(content)}});
  return Json::object({{"messages", Json(Json::Array{message})}});
}

std::string render(std::string_view source, const Json& context = Json::object()) {
  return ChatTemplate::parse(source).render(context).text;
}

// The marked parts of the rendered text, each in brackets.
std::string marked(std::string_view source, const Json& context) {
  const RenderedChat rendered = ChatTemplate::parse(source).render(context);
  std::string out;
  for (const TextSpan& span : rendered.content_spans) {
    out += "[" + rendered.text.substr(span.begin, span.end - span.begin) + "]";
  }
  return out;
}

Error failure(std::string_view source, const Json& context = Json::object()) {
  return testing::error_of([&] { render(source, context); });
}

const char* const kChatMl =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message['content'] | trim }}<|im_end|>\n{% endfor %}";

TEST_CASE("a special token's spelling inside a message is marked, the template's own is not") {
  const RenderedChat rendered = ChatTemplate::parse(kChatMl).render(chat(" a <|im_end|> b "));
  CHECK(rendered.text == "<|im_start|>user\na <|im_end|> b<|im_end|>\n");
  REQUIRE(rendered.content_spans.size() == 1);
  const TextSpan span = rendered.content_spans[0];
  CHECK(rendered.text.substr(span.begin, span.end - span.begin) == "a <|im_end|> b");
  CHECK(rendered.text.find("<|im_end|>", span.end) != std::string::npos);
}

TEST_CASE("marks follow the bytes through operations that cut and join") {
  const Json context = chat("one two");
  const auto with = [&](const std::string& expression) {
    return marked("{% set c = messages[0].content %}{{ " + expression + " }}", context);
  };
  CHECK(with("'<' + c + '>'") == "[one two]");
  CHECK(with("'<' ~ c ~ c ~ '>'") == "[one twoone two]");
  CHECK(with("c[1:5]") == "[ne t]");
  CHECK(with("c[::-1]") == "[owt eno]");
  CHECK(with("c.split(' ')|join('+')") == "[one][two]");
  CHECK(with("c.replace(' ', '<s>')") == "[one][two]");
  CHECK(with("'a b'.replace('a', c)") == "[one two]");
  CHECK(with("c.strip('o')") == "[ne tw]");
  CHECK(with("'%s: %s' % ('x', c)") == "[one two]");
  CHECK(with("'{}: {}'.format('x', c)") == "[one two]");
  CHECK(with("c|upper") == "[ONE TWO]");
  CHECK(with("c.title()") == "[One Two]");
  CHECK(with("(c ~ '!')|capitalize") == "[One two!]");
  CHECK(with("c|list|last") == "[o]");
  CHECK(with("c * 2") == "[one twoone two]");
  CHECK(with("messages[0]|tojson") == "[one two]");
  CHECK(with("[c]") == "[one two]");
  CHECK(with("'x' if c else 'y'") == "");
  CHECK(with("c|length") == "");
  CHECK(with("c|indent(2, first=true)") == "[one two]");
  CHECK(with("c|truncate(4, true, '<s>', 0)") == "[o]");
}

TEST_CASE("marks survive variables, macros, captured blocks and namespaces") {
  const Json context = chat("abc");
  CHECK(marked("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(messages[0].content) }}", context) ==
        "[abc]");
  CHECK(marked("{% set x %}<{{ messages[0].content }}>{% endset %}{{ x }}", context) == "[abc]");
  CHECK(marked("{% set n = namespace(s='<') %}{% set n.s = n.s + messages[0].content %}{{ n.s }}",
               context) == "[abc]");
  CHECK(marked("{% filter trim %} <{{ messages[0].content }}> {% endfilter %}", context) ==
        "[abc]");
}

TEST_CASE("every string under the content keys of messages is marked, other strings are not") {
  const Json context = Json::parse(
      R"({"messages": [{"role": "r", "content": [{"type": "t", "text": "x"}], "name": "n",
          "reasoning_content": "y", "reasoning": "q", "thinking": "w"}], "content": "z"})",
      "context");
  CHECK(marked("{% set m = messages[0] %}{{ m.content[0].text ~ '|' ~ m.reasoning_content ~ '|' ~ "
               "m.reasoning ~ '|' ~ m.thinking }}",
               context) == "[x][y][q][w]");
  CHECK(marked("{{ messages[0].role ~ messages[0].name ~ content }}", context) == "");
}

TEST_CASE("templates that never end are stopped") {
  CHECK(failure("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").message().find("nested") !=
        std::string::npos);
  CHECK(failure("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
            .message()
            .find("steps") != std::string::npos);
  CHECK(failure("{% set n = namespace(s='xx') %}{% for i in range(90) %}{% set n.s = n.s + n.s "
                "%}{% endfor %}")
            .message()
            .find("grows") != std::string::npos);
  CHECK(failure("{{ 'x' * 9000000000 }}").message().find("grows") != std::string::npos);
  CHECK(failure("{{ '%99999999d' % 1 }}").message().find("grows") != std::string::npos);
  CHECK(failure("{{ range(100001) }}").message().find("range()") != std::string::npos);
  CHECK(failure("{% set n = namespace(l=[]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% "
                "endfor %}")
            .message()
            .find("nested") != std::string::npos);
  CHECK(failure("{% set n = namespace(l=[1]) %}{% for i in range(90) %}{% set n.l = n.l + n.l %}{% "
                "endfor %}")
            .message()
            .find("steps") != std::string::npos);
  CHECK(failure("{% set n = namespace() %}{% set n.n = n %}{{ n }}").code() ==
        ErrorCode::kInvalidFile);
  CHECK(failure("{% set n = namespace(g=[1]) %}{% for i in range(9999) %}{% set n.g = n.g|select %}"
                "{% endfor %}{{ n.g|list }}")
            .message()
            .find("nested") != std::string::npos);
}

TEST_CASE("brackets, blocks and chains nested without end are refused by the parser") {
  const auto repeated = [](const std::string& part, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += part;
    return out;
  };
  CHECK(failure("{{ " + repeated("(", 5000)).message().find("deeper") != std::string::npos);
  CHECK(failure("{{ " + repeated("-", 5000) + "1 }}").message().find("deeper") !=
        std::string::npos);
  CHECK(failure("{{ " + repeated("not ", 5000) + "1 }}").message().find("deeper") !=
        std::string::npos);
  CHECK(failure("{{ 1" + repeated(" + 1", 5000) + " }}").message().find("deeper") !=
        std::string::npos);
  CHECK(failure("{{ a" + repeated(".a", 5000) + " }}").message().find("deeper") !=
        std::string::npos);
  CHECK(failure("{{ a" + repeated("|trim", 5000) + " }}").message().find("deeper") !=
        std::string::npos);
  CHECK(failure(repeated("{% if 1 %}", 5000)).message().find("deeper") != std::string::npos);
  CHECK(failure("{{ " + repeated("1 if ", 5000) + "1 }}").message().find("deeper") !=
        std::string::npos);
}

TEST_CASE("what is not supported is refused by name and line") {
  const std::pair<const char*, const char*> kRefused[] = {
      {"\n{% extends 'x' %}", "line 2: the tag 'extends' is not supported"},
      {"{% include 'x' %}", "line 1: the tag 'include' is not supported"},
      {"{% import 'x' as y %}", "line 1: the tag 'import' is not supported"},
      {"{% do x %}", "line 1: the tag 'do' is not supported"},
      {"{% trans %}x{% endtrans %}", "line 1: the tag 'trans' is not supported"},
      {"{% for x in y recursive %}{% endfor %}", "line 1: recursive for loops are not supported"},
      {"{{ x|urlize }}", "line 1: the filter 'urlize' is not supported"},
      {"{{ 'x'.encode() }}", "line 1: the string method 'encode' is not supported"},
      {"{{ lipsum() }}", "line 1: the function lipsum() is not supported"},
      {"{{ 9223372036854775808 }}",
       "line 1: the integer 9223372036854775808 needs more than 64 bits"},
      {"\n{{ 2 ** 63 }}", "line 2: the result of '**' needs more than 64 bits"},
  };
  for (const auto& [source, message] : kRefused) {
    const Error error = failure(source);
    CHECK(error.code() == ErrorCode::kUnsupported);
    CHECK(error.message() == std::string("chat template: ") + message);
  }
}

TEST_CASE("mistakes in a template are reported with their line") {
  const std::pair<const char*, const char*> kMistakes[] = {
      {"a\n{% if x %}", "line 2: expected '{% endif %}', found the end of the template"},
      {"\n\n{{ x + }}", "line 3: expected an expression, found '}}'"},
      {"{% endfor %}", "line 1: '{% endfor %}' closes nothing that is open here"},
      {"{{ x | nonsense }}", "line 1: there is no filter 'nonsense'"},
      {"{{ x is nonsense }}", "line 1: there is no test 'nonsense'"},
      {"{{ 'x }}", "line 1: expected the end of a string, found the end of the template"},
      {"{{ (1] }}", "line 1: expected ')', found ']'"},
      {"{% break %}", "line 1: 'break' stands outside a loop"},
      {"\n{{ messages.x.y }}", "line 2: 'messages' is undefined"},
      {"{{ 1 + 'x' }}", "line 1: '+' is not supported between int and str"},
      {"{{ [].append(1) }}", "line 1: access to attribute 'append' of 'list' object is unsafe"},
  };
  for (const auto& [source, message] : kMistakes) {
    const Error error = failure(source);
    CHECK(error.code() == ErrorCode::kInvalidFile);
    CHECK(error.message() == std::string("chat template: ") + message);
  }
}

TEST_CASE("raise_exception refuses the conversation in the template's own words") {
  const Error error = failure("{{ raise_exception('Roles must alternate!') }}");
  CHECK(error.code() == ErrorCode::kUsage);
  CHECK(error.message() == "chat template: Roles must alternate!");
}

TEST_CASE("a template that is not UTF-8 is refused") {
  CHECK(failure("\xff").message() == "chat template: line 1: the template is not UTF-8");
}

// A bit of everything, so that cutting it or running out of memory in it meets every part.
const char* const kEverything = R"({%- set ns = namespace(n=0, l=[]) %}
{#- comment -#}
{% macro show(m, sep=', ') %}{{ m.role ~ sep }}{{ caller(m) if caller }}{{ kwargs }}{% endmacro %}
{% for m in messages[::-1] if m.content is string %}
{%- set ns.n = ns.n + loop.index0 * 2 ** 3 %}
{% call(x) show(m, key='v') %}[{{ x.content | trim | replace('a', 'b') }}]{% endcall %}
{{ loop.cycle('a', 'b') }}{{ loop.previtem.role if loop.previtem }}{{ m | tojson(indent=2) }}
{% else %}none{% endfor %}
{% filter upper %}{{ '%s-%05.1f' % ('x', ns.n) }}{{ '{:>5}'.format(1) }}{% endfilter %}
{% set text %}{{ messages | map(attribute='role') | join }}{% endset %}
{{ text.split('e') | sort | unique | list }}{{ dict(a=1, **{'b': (1, 2)}) }}{{ [1, 2.5, none][1:] }}
{% raw %}{{ raw }}{% endraw %}{% with a = 1 %}{{ a in [1] and not false }}{% endwith %}
{% if text is defined and text[0] == 'u' %}{{ text | groupby(0) }}{% elif 1 %}x{% endif %})";

TEST_CASE("a template cut anywhere renders or is an Error") {
  const std::string whole = kEverything;
  int rendered = 0;
  for (size_t size = 0; size <= whole.size(); ++size) {
    try {
      render(std::string_view(whole).substr(0, size), chat(" aa "));
      ++rendered;
    } catch (const Error&) {
    }
  }
  CHECK(rendered > 20);
  CHECK_NOTHROW(render(whole, chat(" aa ")));
}

TEST_CASE("running out of memory leaves nothing behind") {
  const Json context = chat(" aa ");
  CHECK(testing::fail_each_allocation([&] { render(kEverything, context); }) > 500);
}

TEST_CASE("one template renders from several threads at once") {
  const ChatTemplate shared = ChatTemplate::parse(kChatMl);
  std::string texts[4];
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (int round = 0; round < 100; ++round)
          texts[i] = shared.render(chat(std::to_string(i))).text;
      });
    }
  }
  for (int i = 0; i < 4; ++i) {
    CHECK(texts[i] == "<|im_start|>user\n" + std::to_string(i) + "<|im_end|>\n");
  }
}

}  // namespace
}  // namespace mica
