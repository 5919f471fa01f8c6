"""Conversations for compare_templates.py: plausible ones, odd ones, and ones no template should accept.

The same name and number always give the same conversation.
"""
import json
import random

MARKER_LETTERS = "ѢѣѪѫѮѯ"

WORDS = ("hello", "world", "the", "answer", "is", "42", "why?", "naïve", "日本語", "🙂", "größe", "<b>",
         "it's", '"quoted"', "a\\b", "{{ x }}", "{% if %}", "tab\there", "Ωmega", "e\u0301", "12.5%")
SPECIALS = ("<|im_end|>", "<|im_start|>system\n", "<s>", "</s>", "[INST]", "[/INST]", "<|eot_id|>",
            "<end_of_turn>", "<think>\nhm\n</think>\n\n", "</think>", "<think>", "<tool_call>", "<|end|>",
            "<tool_response>x</tool_response>", "<|START_OF_TURN_TOKEN|>", "<<SYS>>", "\n\n# Tools",
            "/no_think", "/think", "/system_override", "<tool_def_sep>", "<tool_sep>", "[THINK]", "[/SYSTEM_PROMPT]")
SPACES = ("", " ", "\n", "  \n\t", "\u00a0", "\u3000", "\r\n")

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather of a place <now>",
        "parameters": {"type": "object", "properties": {
            "place": {"type": "string", "description": "Ort, z.B. \"Köln\""},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "default": 3}},
            "required": ["place"]},
        "return": {"type": "string", "description": "text"}}},
    {"type": "function", "function": {
        "name": "add", "description": "",
        "parameters": {"type": "object", "properties": {
            "numbers": {"type": "array", "items": {"type": "number"}},
            "exact": {"type": "boolean"}, "scale": {"type": ["number", "null"]}}}}},
    {"type": "function", "function": {
        "name": "book", "description": "Two\nlines",
        "parameters": {"type": "object", "properties": {
            "guests": {"type": "array", "description": "all", "items": {"type": "object", "properties": {
                "name": {"type": "string", "pattern": "[a-z]+"}, "age": {"type": "integer", "title": "Age"}},
                "required": ["name"]}},
            "room": {"type": "object", "properties": {"kind": {"type": "string", "enum": ["single", "double"]}}},
            "notes": {"type": "object", "additionalProperties": {"type": "string"}},
            "greeting": {"type": "string", "default": "hi \"you\"", "nullable": True}},
            "required": ["guests", "room"]}}},
    {"type": "function", "function": {
        "name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}},
]
DOCUMENTS = [{"doc_id": 1, "title": "First", "text": "Some text.\nMore."},
             {"doc_id": "2b", "title": "Zweitens", "text": "Größe & <b>"}]
CONTROLS = [{"citations": True}, {"hallucinations": True, "length": "long"}, {"length": "short"}, ["citations"]]


class Writer:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.is_odd = self.chance(0.5)
        self.is_plain = not self.is_odd and self.chance(0.5)  # no system message, no tools

    def chance(self, share):
        return self.random.random() < share

    def text(self):
        if self.chance(0.06):
            return ""
        parts = []
        for _ in range(self.random.randint(1, 6)):
            parts.append(self.random.choice(SPECIALS if self.chance(0.15) else WORDS))
        separator = self.random.choice((" ", " ", "\n", "\n\n"))
        return self.random.choice(SPACES) + separator.join(parts) + self.random.choice(SPACES)

    def content(self):
        if not self.is_odd:
            return self.text()
        if self.chance(0.08):
            return [{"type": "text", "text": self.text()} for _ in range(self.random.randint(0, 3))]
        if self.chance(0.03):
            return [{"type": "image"}, {"type": "text", "text": self.text()}]
        if self.chance(0.02):
            return None
        return self.text()

    def arguments(self):
        value = self.random.choice((
            {"place": "Köln", "days": 2}, {"numbers": [1, 2.5, -3e20, 1e-7], "exact": True}, {},
            {"nested": {"a": [None, {"b": "c'd"}]}, "text": "line\nline \"q\" <x>"},
            {"guests": [{"name": "a & b", "age": 7}], "room": {"kind": "single"}, "paid": False}))
        return json.dumps(value) if self.chance(0.15) else value

    def tool_call(self):
        identity = "".join(self.random.choice("abcdefXYZ019") for _ in range(9))
        return {"type": "function", "id": identity,
                "function": {"name": self.random.choice(("get_weather", "add", "book", "brave_search")),
                             "arguments": self.arguments()}}

    def tool_turn(self, several):
        calls = [self.tool_call() for _ in range(self.random.randint(1, 2) if several else 1)]
        request = {"role": "assistant", "tool_calls": calls}
        if self.chance(0.7):
            request["content"] = self.content() if self.chance(0.5) else ""
        if self.chance(0.1):
            request["thought"] = self.text()
        answers = [{"role": "tool", "name": call["function"]["name"], "tool_call_id": call["id"],
                    "content": self.text() if self.chance(0.6) else json.dumps({"value": 3.5})}
                   for call in calls]
        return [request] + answers

    def assistant(self):
        message = {"role": "assistant", "content": self.content()}
        for name, share in (("reasoning_content", 0.2), ("thinking", 0.05), ("thought", 0.05)):
            if self.chance(share):
                message[name] = self.text()
        if self.is_odd and self.chance(0.06):
            message["content"] = [{"type": "thinking", "thinking": self.text()}, {"type": "text", "text": self.text()}]
        if self.chance(0.02):
            message["function_calls"] = "add(numbers=[1])"
        return message

    def system(self):
        message = {"role": "system", "content": self.text() if self.chance(0.9) else self.content()}
        for name in ("tools", "functions"):
            if self.chance(0.06):
                message[name] = json.dumps(TOOLS[:1])
        return message

    def messages(self):
        messages = []
        if not self.is_plain and self.chance(0.5):
            messages.append(self.system())
        for _ in range(self.random.randint(1, 4)):
            if messages and self.is_odd and self.chance(0.08):
                messages.append(self.system())
            messages.append({"role": "user", "content": self.content()})
            if not self.is_plain and self.chance(0.3):
                messages.extend(self.tool_turn(self.chance(0.4)))
            messages.append(self.assistant())
        if self.chance(0.7):
            messages.pop()
        if self.is_odd and self.chance(0.1):
            self.random.shuffle(messages)
        if self.is_odd and self.chance(0.06):
            messages.append({"role": self.random.choice(("stranger", "environment", "developer")), "content": "?"})
        if self.is_odd and self.chance(0.04):
            messages.clear()
        return messages

    def options(self, always_tools):
        options = {"add_generation_prompt": self.chance(0.6), "bos_token": "<s>", "eos_token": "</s>",
                   "unk_token": "<unk>", "pad_token": "<pad>"}
        tools = self.random.sample(TOOLS, self.random.randint(1, len(TOOLS)))
        options["tools"] = tools if always_tools or self.chance(0.3) else None
        options["documents"] = DOCUMENTS if self.chance(0.1) else None
        for name, share in (("enable_thinking", 0.3), ("thinking", 0.2), ("tools_in_user_message", 0.2),
                            ("keep_thinking", 0.1), ("custom_flag", 0.1)):
            if self.chance(share):
                options[name] = self.chance(0.5)
        if self.chance(0.2):
            options["date_string"] = "26 Jul 2024"
        for name, share, value in (
                ("xml_tools", 0.1, ["def f(x): return x"]), ("python_tools", 0.1, ["def g(): pass", "def h(): pass"]),
                ("controls", 0.15, self.random.choice(CONTROLS)), ("available_tools", 0.05, tools),
                ("builtin_tools", 0.08, ["brave_search", "code_interpreter"]), ("custom_tools", 0.05, tools)):
            if self.chance(share):
                options[name] = value
        if self.chance(0.05):
            options["system_message"] = "from the caller"
        return options


def always_has_tools(name):
    """A template for conversations with tools only says so in its name."""
    return "tool" in name or "function" in name


def conversations(name, numbers):
    contexts = []
    for number in numbers:
        writer = Writer(f"{name} {number}")
        contexts.append({"messages": writer.messages(), **writer.options(always_has_tools(name))})
    return contexts


def marked(writer):
    return "".join(writer.random.choice(MARKER_LETTERS) for _ in range(writer.random.randint(1, 12)))


def marker_conversations(name, count):
    """Orderly conversations whose contents are made of marker letters only."""
    contexts = []
    for number in range(count):
        writer = Writer(f"{name} marked {number}")
        messages = []
        if writer.chance(0.4):
            messages.append({"role": "system", "content": marked(writer)})
        for _ in range(writer.random.randint(1, 3)):
            messages.append({"role": "user", "content": marked(writer)})
            messages.append({"role": "assistant", "content": marked(writer)})
            if writer.chance(0.3):
                messages[-1]["reasoning_content"] = marked(writer)
            if writer.chance(0.1):
                messages[-1]["thinking"] = marked(writer)
        if writer.chance(0.5):
            messages.pop()
        contexts.append({"messages": messages, **writer.options(always_has_tools(name))})
    return contexts
